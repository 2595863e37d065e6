"""Which cause it was: the one that explains what is missing, not the first of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import Explanation
from agent.diagnose.causes import (
    clocks,
    engine_down,
    engine_stall,
    faults,
    gpu_lost,
    host_pressure,
    kv_saturation,
    workload_shift,
)
from agent.measure.incident import Cause

if TYPE_CHECKING:
    from agent.diagnose.case import Case

JUDGES = (gpu_lost, engine_down, engine_stall, clocks, faults, kv_saturation, workload_shift, host_pressure)
"""Of two that explain it as well the former counts: an engine ends because its GPU fell away."""
UNQUANTIFIED = 0.8
"""A cause whose share cannot be reckoned counts as if it explained this much of what is missing."""
LEAST_SCORE = 0.25
TOO_MUCH = 0.1
"""What explains twice of what is missing loses so much: where less is asked for, less is missed."""
NOTHING = Explanation(Cause.UNKNOWN, None, 0.0, "nothing that is measured here explains it", ())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it was, how sure that is, and what else was looked at."""

    best: Explanation
    confidence: float
    others: tuple[tuple[Explanation, float], ...]
    """What was ruled out, with its score, the likeliest first."""


def verdict_of(case: Case) -> Verdict:
    """Judge a case."""
    told = [(each, score(each, case.missing, case.off)) for judge in JUDGES for each in judge.explain(case)]
    told.sort(key=lambda pair: -pair[1])
    if not told or told[0][1] < LEAST_SCORE:
        return Verdict(NOTHING, 0.0, tuple(told))
    best, points = told[0]
    return Verdict(best, points, tuple(told[1:]))


def score(explanation: Explanation, missing: float, off: float = 0.0) -> float:
    """Return how well it explains so much: too little counts as its share, too much speaks against it.

    What is missing is known to within `off`: what lies within that explains it.
    """
    if explanation.explained is None:
        return explanation.weight * UNQUANTIFIED
    missing = min(max(explanation.explained, missing - off), missing + off)
    if missing <= 0.0:
        return explanation.weight
    share = explanation.explained / missing
    fit = share if share <= 1.0 else max(0.5, 1.0 - TOO_MUCH * (share - 1.0))
    return explanation.weight * fit
