"""A fault that is over while another goes on: the incident of the first ends, that of the other stands.

Somebody who has mended the first must see at once that this was not all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.costs import Costs, costs_of
from agent.diagnose.second import (
    LEAST_WEIGHT,
    PATIENT_SECONDS,
    STILL_RATIO,
    SURE_SECONDS,
    explanations,
)
from agent.diagnose.verdict import Verdict, score
from agent.measure.incident import Cause

if TYPE_CHECKING:
    from agent.diagnose.case import Case, Explanation
    from agent.diagnose.gap import Gap
    from agent.diagnose.second import Second
    from agent.measure.incident import Incident

LEAST_SURE = 0.5
"""Another cause must explain so much of what is still missing."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when nothing speaks for what is told any more."""

    since: float
    """Monotonic."""
    costs: Costs
    """What the incident had cost up to then …"""
    begun_tokens: tuple[float, float]
    """… and what was due and lost of the gap."""


def silence_of(
    before: Silence | None, case: Case, first: Verdict, fresh: Verdict, told: Incident, gap: Gap
) -> Silence | None:
    """Return since when the first cause is over, by its own evidence; None while it speaks, or may be there.

    Where next to nothing is made nothing is seen of what holds down who would work.
    """
    best = first.best
    same = [each for each in explanations(fresh) if each.cause is best.cause and not each.over]
    if best.explained is not None:  # a state: the error that came with it is on record for ever
        same = [each for each in same if each.explained is not None]
    if same or best.cause is Cause.UNKNOWN:
        return None
    rate = case.during[-1].rate
    if not _has_ended(best.cause, fresh) and (rate is None or rate < STILL_RATIO * case.expected):
        return None
    if before is not None:
        return before
    books = gap.reckoned
    return Silence(case.during[-1].seconds, costs_of(told), (books.due_tokens, books.lost_tokens))


def _has_ended(cause: Cause, fresh: Verdict) -> bool:
    """Whether an engine that was told to be down is there again, or one that stood still is gone."""
    told = explanations(fresh)
    if cause is Cause.ENGINE_STALL:
        return any(each.cause is Cause.ENGINE_DOWN for each in told)
    return cause is Cause.ENGINE_DOWN and any(each.over for each in told)


def successor(
    silence: Silence | None, case: Case, first: Cause, second: Second, fresh: Verdict
) -> Verdict | None:
    """Return what goes on after the first was silent for long enough; None while nothing is sure of that."""
    lasts = 0.0 if silence is None else case.during[-1].seconds - silence.since
    if lasts < SURE_SECONDS:
        return None
    left = [e for e in explanations(fresh) if e.cause is not first and not e.over and not e.usual]
    if second.stands and second.found is not None:
        found = second.found.cause
        left = sorted(left, key=lambda each: each.cause is not found)
    for each in left:
        points = score(each, case.missing)
        stands = second.stands and second.found is not None and each.cause is second.found.cause
        if each.cause is Cause.ENGINE_DOWN and lasts < PATIENT_SECONDS:
            continue  # it may be on its way back
        if each.weight >= LEAST_WEIGHT and (stands or points >= LEAST_SURE):
            return Verdict(each, points, _others(each, fresh, case.missing))
    return None


def _others(best: Explanation, fresh: Verdict, missing: float) -> tuple[tuple[Explanation, float], ...]:
    return tuple((each, score(each, missing)) for each in explanations(fresh) if each is not best)
