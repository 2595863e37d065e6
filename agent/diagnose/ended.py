"""The gap of a deployment that counts what has ended, weighed against the size of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.diagnose import tally as tallies
from agent.diagnose.demand import (
    FLOW_SECONDS,
    REFERENCE_AGE_SECONDS,
    bursts_of,
    demanded,
    flow_seconds,
    is_waiting,
)
from agent.diagnose.gap import LONGEST_STEP_SECONDS, due_now, healthy, passed, seen_late, unmissed
from agent.diagnose.loss import Loss, Moment, Seen
from agent.diagnose.loss import stepped as with_moment
from agent.diagnose.onset import onset
from agent.diagnose.stillness import still_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.gap import Due, Gap
    from agent.diagnose.sample import Sample

RECENT_SECONDS = 20.0
"""What is missing now is told over so long."""


def stepped(gap: Gap, samples: tuple[Sample, ...], sample: Sample) -> Gap:
    """Take one sample more: learn from it, or weigh what it misses; seconds of such a count say nothing."""
    now = sample.seconds
    if sample.rate is None or not samples:
        return seen_late(gap, samples, sample)
    seconds = min(now - samples[-1].seconds, LONGEST_STEP_SECONDS)
    gap, due = due_now(gap, samples, sample, seconds)
    gap = _tallied(gap, samples[-1], sample, 0.0 if due is None else due.rate, seconds)
    if due is None:
        return healthy(unmissed(gap, now), samples, sample, seconds)
    lately = (*samples, sample)
    if gap.sure:
        return _still_missing(gap, lately, due)
    short, obvious = tallies.shortfall(gap.tally, gap.baseline.tokens_per_request), _stopped_since(lately)
    if obvious is None and (short is None or short.proof < tallies.DOUBT):
        return healthy(passed(replace(gap, missing=0.0, sum_seconds=0.0)), samples, sample, seconds)
    proof = tallies.ALONE if short is None or obvious is not None else short.proof
    since = now - seconds if short is None else short.since
    missing = 0.0 if short is None else short.missing
    asked = due.asked if gap.since is None else gap.asked or due.asked
    gap = replace(gap, since=since, asked=asked, missing=missing, sum_seconds=proof)
    return made_sure(gap, lately, obvious) if proof >= tallies.ALONE else gap


def _tallied(gap: Gap, before: Sample, sample: Sample, should: float, seconds: float) -> Gap:
    """Book what was due and what was counted of requests that have ended; learn how far that varies."""
    made = tallies.made_between(before, sample)
    made = (sample.rate or 0.0) * seconds if made is None else made
    tally = tallies.counted(gap.tally, sample.seconds, seconds, should * seconds, made)
    if not gap.sure:
        length = gap.baseline.tokens_per_request
        tally = tallies.learned(tally, length, seconds, doubted=gap.since is not None)
    return replace(gap, tally=tally)


def _still_missing(gap: Gap, lately: tuple[Sample, ...], due: Due) -> Gap:
    """Go on with a sure gap of one that counts so, until it is likelier that nothing is missing."""
    now, begun, length = lately[-1].seconds, gap.since or 0.0, gap.baseline.tokens_per_request
    tally = tallies.recovered(gap.tally, length, tallies.since(gap.tally, begun).missing)
    back_since = tallies.healthy_since(tally)
    recent = tallies.since(tally, max(begun, now - RECENT_SECONDS))
    rate = recent.made / max(now - recent.since, 1.0)
    queued = is_waiting(lately[-1], lately[-1].in_flight or 0.0)
    missed = Moment(now, gap.step_seconds, rate, due.can, queued) if back_since is None else None
    loss = with_moment(gap.loss, now, missed, demanded(gap.baseline, due.asked, lately))
    return replace(gap, tally=tally, missing=recent.missing, healthy_since=back_since, loss=loss)


def _stopped_since(lately: Sequence[Sample]) -> float | None:
    """Return since when some instance is gone or stands still, for certain."""
    begun = [at for name in lately[-1].engines if (at := still_since(lately, name)) is not None]
    if lately[-1].gone and lately[-2].gone:
        there = next((each.seconds for each in reversed(lately) if not each.gone), lately[0].seconds)
        begun.append(there)
    return min(begun, default=None)


def made_sure(gap: Gap, samples: Sequence[Sample], begun: float | None = None) -> Gap:
    """Return the gap of one that counts what has ended, sure from now on.

    It begins when its engine was last seen to move, or its GPUs began to do less; the counter tells that
    only to within some requests.
    """
    begun = begun or onset(samples, gap.since or 0.0) or gap.since or 0.0
    short = tallies.since(gap.tally, begun)
    asked, now = gap.asked, samples[-1].seconds
    side = FLOW_SECONDS / 2.0 if asked is None else flow_seconds(gap.baseline, asked) / 2.0
    earlier = [each for each in samples if each.seconds <= begun]
    loss = Loss(
        before=Seen(begun - REFERENCE_AGE_SECONDS, 0.0 if asked is None else asked.rate),
        bursts=bursts_of(earlier, gap.baseline.tokens_per_request, 2.0 * side),
        side_seconds=side,
        due_tokens=short.due,
        lost_tokens=max(0.0, short.due - short.made),
    )
    tally = replace(gap.tally, back=0.0, back_since=None)
    return replace(
        gap, tally=tally, sure=True, since=min(begun, now), missing=short.missing, loss=loss, track=()
    )
