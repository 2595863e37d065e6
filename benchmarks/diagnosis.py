"""How well incidents are found and named: seeded scenarios of the twin, in virtual time, the real code."""

from __future__ import annotations

import json
import math
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from agent.twin import scenario
from benchmarks.careful_rules import RULES, Rules
from benchmarks.quick_tray import QuickNode
from benchmarks.virtual_tray import ENGINES, EVERYTHING, GPUS, WALL_SECONDS, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WARM_SECONDS = 900
FAULT_SECONDS = 420
AFTER_SECONDS = 180
LOADS = ("steady", "diurnal", "bursty", "ramp")
NEAR = 0.1
BIG = 0.15
CLASSES = ("one fault", "two faults", "missing telemetry")
SECOND_AT, SECOND_LASTS = 120, 180
BLIND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: its event with an amount to be drawn, and what a right verdict may say."""

    event: str
    amount: str
    low: float
    high: float
    causes: tuple[str, ...]
    parallel: str = "data"
    whole: bool = True
    """Of the whole tray; False: of one GPU."""
    loses: bool = True


FAULTS = {
    "thermal": Fault("thermal", "degrees", 35, 60, ("thermal",)),
    "thermal_one": Fault("thermal", "degrees", 40, 60, ("thermal",), parallel="tensor", whole=False),
    "power_cap": Fault("power_cap", "watts", 400, 900, ("power_cap",)),
    "power_brake": Fault("power_brake", "", 0, 0, ("power_brake",)),
    "gpu_lost": Fault("gpu_lost", "", 0, 0, ("gpu_lost",), whole=False),
    "gpu_lost_tensor": Fault(
        "gpu_lost", "", 0, 0, ("gpu_lost", "engine_down"), parallel="tensor", whole=False
    ),
    "nvlink": Fault("nvlink", "factor", 0.3, 0.9, ("nvlink",), parallel="tensor", whole=False),
    "straggler": Fault("straggler", "factor", 0.2, 0.8, ("clocks_low",), parallel="tensor", whole=False),
    "engine_crash": Fault("engine_crash", "", 0, 0, ("engine_down",)),
    "engine_stall": Fault("engine_stall", "", 0, 0, ("engine_stall",)),
    "kv_saturation": Fault("kv_saturation", "factor", 0.3, 0.9, ("kv_saturation",)),
    "prefill_shift": Fault("prefill_shift", "factor", 2.0, 8.0, ("workload_shift",)),
    "slow_node": Fault("slow_node", "factor", 0.3, 0.9, ("host_pressure",)),
}


@dataclass(frozen=True, slots=True)
class Play:
    """One scenario and what is true of it."""

    seed: int
    fault: str
    load: str
    gpu: int | None
    text: str
    causes: tuple[str, ...]
    """Any of them is right."""
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one scenario."""

    seed: int
    fault: str
    load: str
    size: float
    """Share of what was asked for, and a healthy tray could have made, that was lost."""
    found: bool
    right_cause: bool
    right_place: bool
    seconds_to_detect: float | None
    lost_ratio: float | None
    """Told loss over true loss."""
    false: int
    """Incidents that are not information, outside the fault."""
    told: str
    rules: dict[str, tuple[float | None, int]]
    """Of each rule in PromQL: seconds until it told of the fault, and its false alerts."""


def play_of(seed: int, kind: str = CLASSES[0]) -> Play:
    """Draw a scenario; of one seed, the first fault and the load are the same in every class."""
    dice = random.Random(seed)
    name = dice.choice(list(FAULTS))
    fault, load = FAULTS[name], dice.choice(LOADS)
    gpu = None if fault.whole else dice.randrange(4)
    amount = f", {fault.amount}: {dice.uniform(fault.low, fault.high):.3f}" if fault.amount else ""
    where = "" if gpu is None else f", gpus: [{gpu}]"
    lasts = f", lasts: {FAULT_SECONDS}s"
    event = f"{{kind: {fault.event}, at: {WARM_SECONDS}s{lasts}{where}{amount}}}"
    engines = dice.choice((1, 2)) if fault.parallel == "data" and fault.whole else 1
    queue = dice.choice((4096, 1_000_000, 1_000_000))  # vLLM's has no end
    text = (
        f"seed: {seed}\n"
        f"rack: {{trays: 1, parallel: {fault.parallel}, engines_per_tray: {engines}, queue: {queue}}}\n"
        f"load: {_load(dice, load)}\nevents:\n  - {event}\n"
    )
    play = Play(seed, name, load, gpu, text, fault.causes)
    return play if kind == CLASSES[0] else _worse(play, kind)


def _worse(play: Play, kind: str) -> Play:
    """Add what the class adds."""
    dice, first = random.Random(f"{play.seed} {kind}"), FAULTS[play.fault]
    if kind == CLASSES[2]:
        since = WARM_SECONDS + dice.randrange(-BLIND_SECONDS // 2, FAULT_SECONDS - BLIND_SECONDS)
        source = dice.choice((GPUS, ENGINES, EVERYTHING))
        return replace(play, missing=(Missing(source, since, since + BLIND_SECONDS),))
    second = FAULTS[
        dice.choice(
            [
                name
                for name, each in FAULTS.items()
                if each.parallel == first.parallel and each.event != first.event
            ]
        )
    ]
    where = "" if second.whole else f", gpus: [{dice.randrange(4)}]"
    amount = f", {second.amount}: {dice.uniform(second.low, second.high):.3f}" if second.amount else ""
    times = f"at: {WARM_SECONDS + SECOND_AT}s, lasts: {SECOND_LASTS}s"
    text = f"{play.text}  - {{kind: {second.event}, {times}{where}{amount}}}\n"
    return replace(play, text=text, gpu=None, causes=(*play.causes, *second.causes))


def _load(dice: random.Random, shape: str) -> str:
    level, noise = dice.uniform(0.5, 1.2), dice.uniform(0.0, 0.05)
    if shape == "diurnal":
        wave = f"{{share: {dice.uniform(0.1, 0.5):.2f}, period: 30m}}"
        return f"{{level: {level:.2f}, noise: {noise:.3f}, wave: {wave}}}"
    if shape == "bursty":
        low = level * dice.uniform(0.3, 0.8)
        stretches = f"[{{lasts: 40s, level: {level:.2f}}}, {{lasts: 30s, level: {low:.2f}}}]"
        return f"{{stretches: {stretches}, repeat: true, noise: {noise:.3f}}}"
    if shape == "ramp":
        end = level * dice.uniform(0.5, 1.5)
        return f"{{stretches: [{{lasts: 25m, level: {level:.2f}, to: {end:.2f}}}], noise: {noise:.3f}}}"
    return f"{{level: {level:.2f}, noise: {noise:.3f}}}"


def result_of(seed: int, kind: str = CLASSES[0]) -> Result:
    """Play a scenario and judge what was told."""
    play = play_of(seed, kind)
    node, rules = QuickNode(scenario.parse(play.text, f"seed {seed}"), missing=play.missing), Rules()
    lost_before = lost = due = 0.0
    told: dict[str, Any] = {}
    for truth, incidents in node.run(WARM_SECONDS + FAULT_SECONDS + AFTER_SECONDS):
        if truth.seconds <= WARM_SECONDS:
            lost_before, due_before = truth.lost_tokens, truth.due_tokens
        elif truth.seconds <= WARM_SECONDS + FAULT_SECONDS:
            lost, due = truth.lost_tokens - lost_before, truth.due_tokens - due_before
        for incident in incidents:
            told[incident.id] = incident
        rules.see(int(truth.seconds), node)
    others = {name: _alerted(rule.alerts) for name, rule in rules.rules.items()}
    return _judged(play, list(told.values()), lost, due, others)


def _alerted(alerts: Sequence[tuple[float, float]]) -> tuple[float | None, int]:
    """Judge a rule by since when it was pending, as incidents are by when they began."""
    over = WARM_SECONDS + FAULT_SECONDS
    of_it = [fired - WARM_SECONDS for since, fired in alerts if WARM_SECONDS - 5 <= since <= over + 5]
    false = sum(not WARM_SECONDS - 5 <= since <= over + 30 for since, _ in alerts)
    return min(of_it, default=None), false


def _judged(
    play: Play, told: Sequence[Any], lost: float, due: float, rules: dict[str, tuple[float | None, int]]
) -> Result:
    began, over = WALL_SECONDS + WARM_SECONDS, WALL_SECONDS + WARM_SECONDS + FAULT_SECONDS
    loud = [each for each in told if each.severity != "info" or each.cause == "workload_shift"]
    drops = [each for each in loud if each.kind in {"drop", "stall"}]
    of_it = [each for each in drops if began - 5 <= each.started <= over + 5]
    first = min((WALL_SECONDS + each.since for each in play.missing), default=began)
    gaps = [each for each in loud if each.kind == "gap" and first - 5 <= each.started <= over]
    false = [each for each in loud if not began - 5 <= each.started <= over + 30 and each not in gaps]
    best = max(of_it, key=lambda each: each.lost_tokens, default=None)
    sure = bool(best)
    return Result(
        seed=play.seed,
        fault=play.fault,
        load=play.load,
        size=lost / due if due else 0.0,
        found=sure,
        right_cause=sure and best.cause in play.causes,
        right_place=sure and (play.gpu is None or best.gpu == play.gpu or best.cause == "engine_down"),
        seconds_to_detect=best.detected - began if best else None,
        lost_ratio=sum(each.lost_tokens for each in of_it) / lost if of_it and lost else None,
        false=len(false),
        told="; ".join(f"{each.kind}/{each.cause}" for each in (of_it or false)),
        rules=rules,
    )


def main(arguments: Sequence[str]) -> int:
    """Play seeds: `python -m benchmarks.diagnosis FIRST LAST [--worst] [--classes]`."""
    seeds = range(int(arguments[0]), int(arguments[1]))
    for kind in CLASSES if "--classes" in arguments else CLASSES[:1]:
        began = time.monotonic()
        with ProcessPoolExecutor(2) as pool:
            results = list(pool.map(result_of, seeds, [kind] * len(seeds), chunksize=4))
        print(f"== {kind}\n{summary(results)}")
        print(f"{len(results)} scenarios in {time.monotonic() - began:.0f} s")
        if "--worst" in arguments:
            _print_worst(results)
    print("rules: scraped and evaluated each 15 s; 1 h average of what there is since the start (15 min)")
    for name, rule in RULES.items():
        print(f"  {name}: {rule}")
    return 0


def _print_worst(results: Iterable[Result]) -> None:
    for each in results:
        if each.false or (each.size >= BIG and not (each.found and each.right_cause and each.right_place)):
            told = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(each).items()}
            print(json.dumps(told))


def summary(results: Iterable[Result]) -> str:
    """Return the figures of many scenarios as text."""
    all_of = list(results)
    big = [each for each in all_of if each.size >= BIG]
    found = [each for each in big if each.found]
    times = sorted(each.seconds_to_detect for each in found if each.seconds_to_detect is not None)
    errors = [
        abs(each.lost_ratio - 1.0)
        for each in found
        if each.lost_ratio is not None and each.fault != "prefill_shift"
    ]
    quiet = sum(WARM_SECONDS + AFTER_SECONDS for _ in all_of) / 86400.0
    false = sum(each.false for each in all_of)
    right = [each for each in found if each.right_cause and each.right_place]
    lines = [
        f"drops of 15 % and more: {len(big)}, found {_share(len(found), len(big))}",
        f"right cause and place: {_share(len(right), len(found))}",
        f"false incidents: {_false(false, quiet)}",
    ]
    if times:
        tenth = times[math.floor(0.9 * len(times))]
        lines.append(f"seconds to detect: median {median(times):.1f}, nine of ten within {tenth:.1f}")
    if errors:
        near = sum(error <= NEAR for error in errors)
        lines.append(f"loss: median error {median(errors):.1%}, within 10 %: {_share(near, len(errors))}")
    for low, high in ((0.0, 0.001), (0.001, 0.05), (0.05, 0.15)):
        small = [e for e in all_of if low <= e.size < high]
        lines.append(f"size {low:.3f} to {high:.2f}: {len(small)}, found {sum(e.found for e in small)}")
    lines.extend(_rule_line(name, all_of, big, quiet) for name in RULES)
    return "\n".join(lines)


def _rule_line(name: str, all_of: Sequence[Result], big: Sequence[Result], quiet: float) -> str:
    """Say what a rule in PromQL told of the same scenarios."""
    times = sorted(told for each in big if (told := each.rules[name][0]) is not None)
    late = f", seconds: median {median(times):.0f}, nine of ten {times[int(0.9 * len(times))]:.0f}"
    false = _false(sum(each.rules[name][1] for each in all_of), quiet)
    return f"rule, {name}: found {_share(len(times), len(big))}{late if times else ''}; false: {false}"


def _false(count: int, days: float) -> str:
    """Say how many were false, and what none of them proves: fewer than 3/N with 95 %."""
    rated = f"fewer than {3.0 / days:.2g}" if count == 0 else f"{count / days:.2g}"
    return f"{count} in {days:.2f} quiet tray-days, {rated} a tray-day" + (" (95 %)" if count == 0 else "")


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {part / whole:.1%}" if whole else "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
