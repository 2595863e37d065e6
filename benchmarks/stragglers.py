"""Slow from the start: a tray of a rack that its own node has never seen otherwise, found against its like.

    PYTHONPATH=tests python -m benchmarks.stragglers FIRST LAST [--worst]

Four to eight trays under more load than they can do, which differ by up to 1.5 %; one of them is slower since
before anybody looked: by a lower power limit, heat, the clock of one GPU, or for no reason that is measured.
How far behind it is, is taken from what the trays really make. Within the published noise band of 5 % it must
not be told; from 6.7 %, the slowest node of the published record, it must be told within two minutes. A node
that grows hot under the eyes of its own daemon is told by that.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from agent.measure.incident import Bounds
from agent.twin import scenario
from benchmarks.figures import share
from benchmarks.quick_rack import QuickRack
from benchmarks.virtual_tray import WALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.incident import Incident

SECONDS = 150
SPREAD = 0.015
RATE = 60_000
BAND, MUST = 0.045, 0.067
"""Behind by less it must not be told: half a percent of the band is what rates over ten seconds differ by."""
WITHIN_SECONDS = 120.0
LOSS_RATIO = 0.1
WHY = {
    "power_cap": ("data", "{{kind: power_cap, trays: [{tray}], watts: {watts:.0f}}}", "power_cap"),
    "one limit": (
        "tensor", "{{kind: power_cap, trays: [{tray}], gpus: [{gpu}], watts: {watts:.0f}}}", "power_cap",
    ),
    "heat": ("data", "{{kind: thermal, trays: [{tray}], degrees: {degrees:.0f}}}", "thermal"),
    "clock": (
        "tensor", "{{kind: straggler, trays: [{tray}], gpus: [{gpu}], factor: {factor:.2f}}}", "clocks_low",
    ),
    "no reason": ("data", "{{kind: slow_node, trays: [{tray}], factor: {share:.3f}}}", "unknown"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """What was told of one slow tray."""

    seed: int
    why: str
    behind: float
    """Share of the median of its like that it made less."""
    told_seconds: float | None
    """After the rack began to serve."""
    right_node: bool
    right_cause: bool
    right_gpu: bool
    others: int
    """Incidents told of trays that are not slow."""
    lost: tuple[float, float, float] | None
    """Tokens that it is said to have lost, at least and at most; None while nothing is told."""
    true_lost: float
    """What a healthy tray would have made meanwhile of what was asked for, beyond what this one made."""
    text: str


def result_of(seed: int) -> Result:
    """Play one rack and judge what was told."""
    dice = random.Random(f"straggler {seed}")
    why = dice.choice(list(WHY))
    parallel, event, cause = WHY[why]
    trays = dice.randrange(4, 9)
    tray, gpu = dice.randrange(trays), dice.randrange(4) if parallel == "tensor" else None
    rates = [round(RATE * dice.uniform(1.0 - SPREAD, 1.0 + SPREAD)) for _ in range(trays)]
    amounts = {
        "watts": dice.uniform(500, 1150),
        "degrees": dice.uniform(28, 50),
        "factor": dice.uniform(0.4, 0.95),
        "share": dice.uniform(0.6, 0.97),
    }
    text = (
        f"seed: {seed}\n"
        f"rack: {{trays: {trays}, parallel: {parallel}, tray_tokens_per_second: {rates}, queue: 100000}}\n"
        f"load: {{level: {dice.uniform(1.05, 1.3):.2f}, noise: {dice.uniform(0.0, 0.05):.3f}}}\n"
        f"events:\n  - {event.format(tray=tray, gpu=gpu, **amounts)}\n"
    )
    rack = QuickRack(scenario.parse(text, f"straggler {seed}"))
    told: dict[str, tuple[int, Incident]] = {}
    made: list[float] = []
    missed = [0.0]
    for second in range(1, SECONDS + 1):
        truths, incidents = rack.step(second)
        missed.append(truths[tray].lost_tokens)
        if second == SECONDS // 2:
            made = [truth.tokens for truth in truths]
        for each in incidents:
            told[each.id] = (told.get(each.id, (second, each))[0], each)
    late = [truth.tokens - before for truth, before in zip(truths, made, strict=True)]
    return _judged(seed, why, 1.0 - late[tray] / median(late), (f"tray-{tray:02d}", gpu, cause), told, missed)


def _judged(
    seed: int,
    why: str,
    behind: float,
    right: tuple[str, int | None, str],
    told: dict[str, tuple[int, Incident]],
    missed: Sequence[float],
) -> Result:
    node, gpu, cause = right
    kinds = {"straggler", "drop"}
    of_it = [(at, each) for at, each in told.values() if each.node == node and each.kind in kinds]
    first = min(of_it, default=None, key=lambda pair: pair[0])
    lost, true_lost = None, 0.0
    if first is not None:
        each, since = first[1], max(0, round(first[1].started - WALL_SECONDS))
        bounds = each.lost_tokens_bounds or Bounds(0.0, 0.0)
        until = len(missed) - 1 if each.ended is None else round(each.ended - WALL_SECONDS)
        lost, true_lost = (each.lost_tokens, bounds.lower, bounds.upper), missed[until] - missed[since]
    return Result(
        seed=seed,
        why=why,
        behind=behind,
        told_seconds=None if first is None else float(first[0]),
        right_node=first is not None,
        right_cause=first is not None and first[1].cause == cause,
        right_gpu=first is not None and (gpu is None or first[1].gpu == gpu),
        others=sum(each.node != node for _, each in told.values()),
        lost=lost,
        true_lost=true_lost,
        text="; ".join(f"{e.kind}/{e.cause}@{e.node}/{e.gpu}" for _, e in told.values()),
    )


def summary(results: Sequence[Result]) -> str:
    """Return the figures of many racks."""
    must = [each for each in results if each.behind >= MUST]
    may = [each for each in results if BAND <= each.behind < MUST]
    silent = [each for each in results if each.behind < BAND]
    found = [each for each in must if each.told_seconds is not None and each.told_seconds <= WITHIN_SECONDS]
    times = sorted(each.told_seconds or 0.0 for each in found)
    lines = [
        f"behind by 6.7 % and more: {len(must)}, told within two minutes {share(len(found), len(must))}",
        f"right cause: {share(sum(each.right_cause for each in found), len(found))}",
        f"right GPU, or none where all are slow: {share(sum(e.right_gpu for e in found), len(found))}",
        f"between 4.5 and 6.7 %: {len(may)}, told {sum(each.told_seconds is not None for each in may)}",
        f"less than 4.5 %: {len(silent)}, told {sum(each.told_seconds is not None for each in silent)}",
        f"incidents of trays that are not slow: {sum(each.others for each in results)}",
    ]
    if found:
        errors = [abs(each.lost[0] / each.true_lost - 1.0) for each in found if each.lost and each.true_lost]
        within = [each.lost[1] <= each.true_lost <= each.lost[2] for each in found if each.lost]
        lines.append(
            f"loss: median error {median(errors):.1%}, within 10 % of the truth"
            f" {share(sum(error <= LOSS_RATIO for error in errors), len(errors))},"
            f" within its bounds {share(sum(within), len(within))}"
        )
    if times:
        tenth = times[int(0.9 * len(times))]
        lines.append(
            f"seconds after it began to serve: median {median(times):.0f}, nine of ten within {tenth:.0f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Play seeds and print what came of them."""
    parser = argparse.ArgumentParser(prog="benchmarks.stragglers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int, help="the seed after the last")
    parser.add_argument("--worst", action="store_true", help="also each that was judged wrong")
    given = parser.parse_args(arguments)
    with ProcessPoolExecutor(2) as pool:
        results = list(pool.map(result_of, range(given.first, given.last)))
    print(summary(results))
    for each in results if given.worst else ():
        wrong = each.told_seconds is None or not (each.right_cause and each.right_gpu)
        if each.others or (wrong if each.behind >= MUST else each.told_seconds is not None):
            print(json.dumps(asdict(each)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
