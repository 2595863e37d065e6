"""Whether something speaks of a shortfall, beside a count of what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.stillness import work_less
from agent.diagnose.tally import ALONE
from agent.diagnose.verdict import verdict_of
from agent.measure.incident import Cause

if TYPE_CHECKING:
    from agent.diagnose.case import Case

SURE_ENOUGH = 0.5
NO_WITNESS = {Cause.UNKNOWN, Cause.WORKLOAD_SHIFT}
"""Prompts that happened to be long, with answers that have not ended yet, are as much chance as these."""
LATELY_SAMPLES, WORK_ON_RATIO = 10, 0.92
"""GPUs that draw at least this share of what they did, over so many samples, work on as before."""
LONG_SECONDS = 120.0
"""Answers that grew longer are counted within this time."""


def speaks(case: Case, proof: float) -> bool:
    """Whether a cause speaks of it; or it is no chance by itself, and tokens are not only counted later.

    While answers grow longer fewer of them end. GPUs that work on as before make what they made; where they
    tell nothing, it must last.
    """
    verdict = verdict_of(case)
    clear = verdict.confidence >= SURE_ENOUGH
    if clear and verdict.best.cause not in NO_WITNESS:
        return True
    if proof < ALONE:
        return False
    lately = case.during[-LATELY_SAMPLES:]
    less = work_less(case.before, lately, WORK_ON_RATIO)
    return clear or (lately[-1].seconds - case.since >= LONG_SECONDS if less is None else less)
