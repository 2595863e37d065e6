"""How well incidents are found and named: seeded scenarios of the twin, in virtual time, the real code.

    PYTHONPATH=tests python -m benchmarks.diagnosis FIRST LAST [--classes] [--worst] [--workers N]

Scenarios are drawn in `benchmarks.plays`: one fault on a tray; with `--classes` also two that overlap, of
which the second ends first or last, one while a source tells nothing for a minute, and one on a tray of a
rack of four.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from agent.measure.incident import Bounds
from agent.twin import scenario
from benchmarks.careful_rules import RULES, Rules
from benchmarks.figures import BIG, is_far_off, summary
from benchmarks.plays import AFTER_SECONDS, CLASSES, ONE, WARM_SECONDS, Play, Want, play_of
from benchmarks.quick_rack import QuickRack
from benchmarks.shares import are_felt
from benchmarks.virtual_tray import WALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.measure.incident import Incident

EARLY_SECONDS, LATE_SECONDS = 5, 30
"""What began so much before a fault, or so long after its end, is of it."""
ALSO = "also"
BESIDE_METRICS = {
    "thermal": {"gpu_temperature_celsius"},
    "power_cap": {"gpu_power_limit_watts"},
    "power_brake": {"gpu_throttled_seconds_total"},
    "clocks_low": {"gpu_clock_hertz"},
    "gpu_lost": {"gpu_up", "gpu_xid_errors_total"},
    "nvlink": {"gpu_xid_errors_total"},
    "engine_down": {"engine_up"},
}
"""What an incident shows of a cause that it names beside its own."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one scenario."""

    seed: int
    faults: tuple[str, ...]
    load: str
    size: float
    """Share of what was asked for, and a healthy tray could have made, that was lost."""
    found: bool
    right_cause: bool
    """Of the costliest incident: it is the cause of one of the faults."""
    right_place: bool
    every_cause: bool
    """Each fault was told by its cause, at some time …"""
    every_place: bool
    """… and at its place."""
    felt: tuple[bool, ...]
    """Of each fault, whether it costs something beside the other …"""
    own: tuple[bool, ...]
    """… whether an incident of its own tells it at its place, to the end …"""
    named: tuple[bool, ...]
    """… and whether the incident of the other names it, with its place."""
    strangers: int
    """Drops that are told of what was no fault."""
    seconds_to_detect: float | None
    lost_ratio: float | None
    """Told loss over true loss."""
    lost_bounded: bool | None
    """Whether the true loss is within the bounds that were told; None of none."""
    false: int
    """Incidents that are not information, outside the fault."""
    told: str
    rules: dict[str, tuple[float | None, int]]
    """Of each rule in PromQL: seconds until it told of the fault, and its false alerts."""


def result_of(seed: int, kind: str = ONE) -> Result:
    """Play a scenario and judge what was told."""
    play = play_of(seed, kind)
    rack = QuickRack(scenario.parse(play.text, f"seed {seed}"), {play.tray: play.missing})
    rules = [Rules() for _ in rack.nodes]
    lost_before = due_before = lost = due = 0.0
    told: dict[str, Incident] = {}
    said: set[tuple[str, str, str, int | None]] = set()
    for second in range(1, play.over + AFTER_SECONDS + 1):
        truths, incidents = rack.step(second)
        truth = truths[play.tray]
        if second <= WARM_SECONDS:
            lost_before, due_before = truth.lost_tokens, truth.due_tokens
        elif second <= play.over:
            lost, due = truth.lost_tokens - lost_before, truth.due_tokens - due_before
        for each in incidents:
            told[each.id] = each
            said.add((each.id, str(each.cause), each.node, each.gpu))
        for rule, node in zip(rules, rack.nodes, strict=True):
            rule.see(second, node)
    return _judged(play, list(told.values()), said, (lost, due), _alerted(rules, play))


def _alerted(rules: Sequence[Rules], play: Play) -> dict[str, tuple[float | None, int]]:
    """Judge each rule, evaluated for each tray, by since when it was pending, as incidents by their begin."""
    over, judged = play.over, {}
    for name in RULES:
        of_tray = [
            (each, place == play.tray) for place, rs in enumerate(rules) for each in rs.rules[name].alerts
        ]
        right = [
            fired - WARM_SECONDS
            for (since, fired), here in of_tray
            if here and WARM_SECONDS - EARLY_SECONDS <= since <= over + EARLY_SECONDS
        ]
        false = sum(
            not (here and WARM_SECONDS - EARLY_SECONDS <= since <= over + LATE_SECONDS)
            for (since, _), here in of_tray
        )
        judged[name] = (min(right, default=None), false)
    return judged


def _judged(
    play: Play,
    told: Sequence[Incident],
    said: set[tuple[str, str, str, int | None]],
    truth: tuple[float, float],
    rules: Mapping[str, tuple[float | None, int]],
) -> Result:
    began, over = WALL_SECONDS + WARM_SECONDS, WALL_SECONDS + play.over
    node, (lost, due) = play.wants[0].node, truth
    loud = [each for each in told if each.severity != "info" or each.cause == "workload_shift"]
    within = [e for e in loud if began - EARLY_SECONDS <= e.started <= over + EARLY_SECONDS]
    of_it = [each for each in within if each.kind in {"drop", "stall"} and each.node == node]
    first = min((WALL_SECONDS + each.since for each in play.missing), default=began)
    gaps = [e for e in loud if e.kind == "gap" and first - EARLY_SECONDS <= e.started <= over]
    late = [e for e in loud if e.node == node and began - EARLY_SECONDS <= e.started <= over + LATE_SECONDS]
    false = [each for each in loud if each not in gaps and each not in late]
    best = max(of_it, key=lambda each: each.lost_tokens, default=None)
    names = {each.id for each in within}
    of_faults = [(cause, where, gpu) for name, cause, where, gpu in said if name in names]
    return Result(
        seed=play.seed,
        faults=tuple(each.name for each in play.wants),
        load=play.load,
        size=lost / due if due else 0.0,
        found=best is not None,
        right_cause=best is not None and any(w.cause_is_right(best.cause) for w in play.wants),
        right_place=best is not None and any(_tells(best, want) for want in play.wants),
        every_cause=all(any(w.cause_is_right(cause) for cause, _, _ in of_faults) for w in play.wants),
        every_place=all(
            any(w.cause_is_right(cause) and w.place_is_right(at, gpu, cause) for cause, at, gpu in of_faults)
            for w in play.wants
        ),
        **_apart(play, within, of_it),
        seconds_to_detect=best.detected - began if best else None,
        lost_ratio=sum(each.lost_tokens for each in of_it) / lost if of_it and lost else None,
        lost_bounded=_is_bounded(of_it, lost) if of_it and lost else None,
        false=len(false),
        told="; ".join(f"{e.kind}/{e.cause}@{e.node}/{e.gpu}" for e in (of_it or false)),
        rules=dict(rules),
    )


def _apart(play: Play, within: Sequence[Incident], of_it: Sequence[Incident]) -> dict[str, Any]:
    """Return what was told of each fault by itself, and of what was none."""
    drops = [each for each in within if each.kind in {"drop", "stall", "restart"}]
    return {
        "felt": are_felt(play),
        "own": tuple(any(_tells(each, want) for each in drops) for want in play.wants),
        "named": tuple(any(_names(each, want) for each in drops) for want in play.wants),
        "strangers": sum(not any(_tells(each, want) for want in play.wants) for each in of_it),
    }


def _is_bounded(told: Sequence[Incident], lost: float) -> bool:
    """Whether what all of them lost is within their bounds taken together."""
    bounds = [each.lost_tokens_bounds or Bounds(each.lost_tokens, each.lost_tokens) for each in told]
    return sum(each.lower for each in bounds) <= lost <= sum(each.upper for each in bounds)


def _tells(told: Incident, want: Want) -> bool:
    return want.cause_is_right(told.cause) and want.place_is_right(told.node, told.gpu, told.cause)


def _names(told: Incident, want: Want) -> bool:
    """Whether an incident of another cause names this one: by the metric that speaks for it, at its place."""
    metrics = set[str]().union(*(BESIDE_METRICS.get(cause, set()) for cause in want.causes))
    beside = [each for each in told.evidence if each.text.startswith(ALSO) and each.metric in metrics]
    return not want.cause_is_right(told.cause) and any(want.gpu in {None, each.gpu} for each in beside)


def main(arguments: Sequence[str]) -> int:
    """Play seeds and print what came of them."""
    parser = argparse.ArgumentParser(prog="benchmarks.diagnosis", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the seed after the last")
    parser.add_argument("--classes", nargs="*", metavar="CLASS", help=f"any of {', '.join(CLASSES)}; all")
    parser.add_argument("--worst", action="store_true", help="also each that was judged wrong")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    seeds = range(given.first, given.last)
    for kind in (ONE,) if given.classes is None else given.classes or CLASSES:
        began = time.monotonic()
        with ProcessPoolExecutor(given.workers) as pool:
            results = list(pool.map(result_of, seeds, [kind] * len(seeds), chunksize=2))
        print(f"== {kind}\n{summary(results, kind)}")
        print(f"{len(results)} scenarios in {time.monotonic() - began:.0f} s", flush=True)
        if given.worst:
            _print_worst(results)
    print("rules: scraped and evaluated each 15 s for each tray; 1 h average since the start (15 min)")
    for name, rule in RULES.items():
        print(f"  {name}: {rule}")
    return 0


def _print_worst(results: Iterable[Result]) -> None:
    for each in results:
        missed = not (each.found and each.right_cause and each.right_place and _is_told_of(each))
        if each.false or each.strangers or (each.size >= BIG and (missed or is_far_off(each))):
            print(json.dumps(rounded(each)))


def _is_told_of(result: Result) -> bool:
    """Whether each fault is told that costs something, and each that does not is told or named."""
    each = zip(result.felt, result.own, result.named, strict=True)
    return result.size < BIG or all(own or (named and not felt) for felt, own, named in each)


def rounded(result: Result) -> dict[str, Any]:
    """Return it as plain values that can be read."""
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(result).items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
