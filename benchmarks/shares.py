"""What each of two faults costs beside the other, by the truth of the twin: the same seed without it.

A fault that is hidden by the other all the time (the slower of two GPUs of one engine hides the other) costs
nothing beside it: no tokens can be told to be lost by it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from agent.twin import scenario
from benchmarks.plays import FAULT_SECONDS, SECOND_AT, SECOND_LASTS, WARM_SECONDS, Play
from benchmarks.quick_tray import QuickNode

if TYPE_CHECKING:
    from collections.abc import Sequence

COSTS_RATIO = 0.05
"""A fault costs something when it takes this share of what was due, while it is alone or beside the other."""

Lived = list[tuple[float, float]]
"""Tokens that were lost, and due, up to the end of each second."""


def are_felt(play: Play) -> tuple[bool, ...]:
    """Return of each fault of a play whether it costs something."""
    if len(play.events) == 1:
        return (True,)
    both = _lived(play, play.events)
    edges = sorted(
        {WARM_SECONDS, WARM_SECONDS + SECOND_AT, WARM_SECONDS + FAULT_SECONDS}
        | {WARM_SECONDS + SECOND_AT + SECOND_LASTS[play.kind]}
    )
    others = [play.events[:place] + play.events[place + 1 :] for place in range(len(play.events))]
    return tuple(max(taken(both, _lived(play, other), edges), default=0.0) >= COSTS_RATIO for other in others)


def taken(both: Lived, without: Lived, edges: Sequence[int]) -> list[float]:
    """Return what a fault takes of what was due between two edges."""
    return [
        (_between(both, first, last, 0) - _between(without, first, last, 0)) / due
        for first, last in pairwise(edges)
        if (due := _between(both, first, last, 1)) > 0.0
    ]


def _between(lived: Lived, first: int, last: int, column: int) -> float:
    return lived[last - 1][column] - lived[first - 1][column]


def _lived(play: Play, events: tuple[str, ...]) -> Lived:
    node = QuickNode(scenario.parse(play.with_events(events), f"seed {play.seed}"), play.tray)
    truths = [node.live(second) for second in range(1, play.over + 1)]
    return [(each.lost_tokens, each.due_tokens) for each in truths]
