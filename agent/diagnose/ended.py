"""The gap of a deployment that counts what has ended, weighed against the size of a request.

A token is counted when its request ends: on average half as long as a request takes after it was made. So
what is counted is held against the requests that were in work at that time.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from agent.diagnose import tally as tallies
from agent.diagnose.baseline import learned, load_of, with_batch, with_work
from agent.diagnose.demand import Asked, is_same_load, is_waiting
from agent.diagnose.gap import (
    LEAST_RATE,
    LONGEST_STEP_SECONDS,
    SLACK,
    UNSEEN_SECONDS,
    begun,
    booked,
    capacity_at,
    passed,
    seen_late,
    step_of,
    unmissed,
)
from agent.diagnose.loss import Moment
from agent.diagnose.onset import onset
from agent.diagnose.stillness import still_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.gap import Gap
    from agent.diagnose.sample import Sample
    from agent.diagnose.tally import Tally

RECENT_SECONDS = 20.0
"""What is missing now is told over so long."""
SEEN_SECONDS, LEAST_SEEN_SECONDS = 60.0, 30.0
"""What is given at a load is seen over so long, and over no less."""
APART_SECONDS = 5.0
"""What was asked for lately is that of before these."""
MOST_LAG_SECONDS = 60.0
OFF_SPREADS, MOST_OFF = 2.0, 0.5
"""What is missing is known to within so many standard deviations, and so much."""


def stepped(gap: Gap, samples: tuple[Sample, ...], sample: Sample) -> Gap:
    """Take one sample more: learn from it, or weigh what it misses; seconds of such a count say nothing."""
    now, rate = sample.seconds, sample.rate
    if rate is None or not samples:
        return seen_late(gap, samples, sample)
    seconds, lately = min(now - samples[-1].seconds, LONGEST_STEP_SECONDS), (*samples, sample)
    asked = gap.asked if gap.since is not None else _asked(gap.tally, lately)
    if asked is None and (sample.gone or now - (gap.known_seconds or 0.0) <= UNSEEN_SECONDS):
        asked = gap.last_asked
    step = step_of(gap, samples, sample, seconds)
    gap = replace(gap, known_seconds=now, step_seconds=step, last_asked=asked)
    can = capacity_at(gap.baseline, lately)
    made = tallies.made_between(samples[-1], sample)
    made = rate * seconds if made is None else made
    wanted = None if asked is None or can is None else _wanted(asked, lately)
    # Where it can not be said what is due, as much was due as came.
    should = made / seconds if wanted is None or can is None else min(can, wanted)
    gap = _tallied(replace(gap, expected=should), now, seconds, should, made, known=wanted is not None)
    nothing = should < LEAST_RATE and (gap.sure or gap.since is None)
    if asked is None or can is None or nothing:
        return _learned(unmissed(gap, None if asked is None else should, now), lately, seconds)
    if gap.sure:
        return _still_missing(gap, lately, can)
    return _weighed(gap, lately, asked, seconds)


def _weighed(gap: Gap, lately: tuple[Sample, ...], asked: Asked, seconds: float) -> Gap:
    """Weigh what is missing until now; it may be so unlikely that it is sure."""
    short, obvious = tallies.shortfall(gap.tally, gap.baseline.tokens_per_request), _stopped_since(lately)
    if obvious is None and (short is None or short.proof < tallies.DOUBT):
        return _learned(passed(replace(gap, missing=0.0, sum_seconds=0.0)), lately, seconds)
    if gap.since is None:
        gap = begun(gap, lately[:-1], lately[-1], asked, seconds)
    if obvious is not None:
        return made_sure(replace(gap, sum_seconds=tallies.ALONE), lately, obvious)
    if short is None:
        return gap
    return replace(gap, since=short.since, missing=short.missing, sum_seconds=short.proof)


def _tallied(gap: Gap, now: float, seconds: float, should: float, made: float, *, known: bool) -> Gap:
    """Book what was due and what was counted of requests that have ended; learn how far that varies."""
    tally = tallies.counted(gap.tally, now, seconds, should * seconds if known else None, made)
    if not gap.sure:
        length = gap.baseline.tokens_per_request
        tally = tallies.learned(tally, length, seconds, doubted=gap.since is not None)
    return replace(gap, tally=tally)


def _wanted(asked: Asked, lately: Sequence[Sample]) -> float | None:
    """Return what would be made of all that is asked for; None where fewer or more requests are there.

    While requests wait, at least as much is asked for as before. Fewer are less demand, with more of them
    each takes longer: what had come of them is not counted yet.
    """
    newest = lately[-1]
    load = newest.in_flight
    if newest.gone or not asked.in_flight or load is None:
        return asked.rate
    if load and is_waiting(newest, load):
        return max(asked.rate, asked.mean)
    if not is_same_load(load, asked.in_flight):
        return None
    return asked.rate * min(1.0, load / asked.in_flight)


def _asked(tally: Tally, lately: Sequence[Sample]) -> Asked | None:
    """Return what was asked for in the last minute, and the requests of which that came."""
    until = lately[-1].seconds - APART_SECONDS
    seen = _seen(tally, lately, until)
    if seen is None:
        return None
    rate, load = seen
    mean = sum(each.made for each in tally.steps) / (tally.steps[-1].at - tally.steps[0].at)
    return Asked(rate, mean, load, rate / load if load else None)


def _seen(tally: Tally, lately: Sequence[Sample], until: float) -> tuple[float, float] | None:
    """Return what was counted per second over a minute, and the mean of the requests that it came of."""
    steps = [each for each in tally.steps if until - SEEN_SECONDS < each.at <= until]
    if len(steps) < 2 or steps[-1].at - steps[0].at < LEAST_SEEN_SECONDS:  # noqa: PLR2004  # two make a time
        return None
    lag = min(MOST_LAG_SECONDS, _takes_seconds(lately) / 2.0)
    first, last = steps[0].at - lag, steps[-1].at - lag
    loads = [each.in_flight for each in lately if first < each.seconds <= last]
    known = [load for load in loads if load is not None]
    if not known or len(known) < len(loads):
        return None
    made = sum(each.made for each in steps[1:])
    return made / (steps[-1].at - steps[0].at), sum(known) / len(known)


def _takes_seconds(lately: Sequence[Sample]) -> float:
    """Return how long a request takes, by how many there are and how many end."""
    newest = lately[-1]
    ends = newest.finished_rate
    return MOST_LAG_SECONDS if not ends or newest.in_flight is None else newest.in_flight / ends


def _learned(gap: Gap, lately: tuple[Sample, ...], seconds: float) -> Gap:
    """Learn what is given at a load, over a minute: what is counted in a second is of another time."""
    sample, tally = lately[-1], gap.tally
    if sample.rate is None or sample.in_flight is None or sample.gone or seconds <= 0.0:
        return gap
    baseline = with_work(gap.baseline, sample.rate, sample.finished_rate, seconds)
    baseline = with_batch(baseline, sample.running, sample.waiting, seconds)
    seen = _seen(tally, lately, sample.seconds)
    idle = sample.idle_share(gap.baseline.batch) > SLACK and is_waiting(sample, sample.in_flight)
    if seen is not None and not idle:
        rate, load = seen
        mix = None if sample.prompt_rate is None or not sample.rate else sample.prompt_rate / sample.rate
        worked = load_of(baseline, load)
        baseline = learned(baseline, load if worked is None else worked, rate, seconds, mix)
    return replace(gap, baseline=baseline)


def _still_missing(gap: Gap, lately: tuple[Sample, ...], can: float) -> Gap:
    """Go on with a sure gap of one that counts so, until it is likelier that nothing is missing."""
    now, since, length = lately[-1].seconds, gap.since or 0.0, gap.baseline.tokens_per_request
    tally = tallies.recovered(gap.tally, length, tallies.since(gap.tally, since).missing)
    back_since = tallies.healthy_since(tally)
    recent = tallies.since(tally, max(since, now - RECENT_SECONDS))
    rate = recent.made / max(now - recent.since, 1.0)
    queued = is_waiting(lately[-1], lately[-1].in_flight or 0.0)
    missed = Moment(now, gap.step_seconds, rate, can, queued) if back_since is None else None
    gap = booked(replace(gap, tally=tally), lately, missed, None)
    return replace(gap, missing=recent.missing, healthy_since=back_since)


def _stopped_since(lately: Sequence[Sample]) -> float | None:
    """Return since when some instance is gone or stands still, for certain."""
    stopped = [at for name in lately[-1].engines if (at := still_since(lately, name)) is not None]
    if lately[-1].gone and lately[-2].gone:
        stopped.append(next((each.seconds for each in reversed(lately) if not each.gone), lately[0].seconds))
    return min(stopped, default=None)


def made_sure(gap: Gap, samples: Sequence[Sample], since: float | None = None) -> Gap:
    """Return the gap of one that counts what has ended, sure from now on.

    It begins when its engine was last seen to move, or its GPUs began to do less; the counter tells that
    only to within some requests.
    """
    since = since or onset(samples, gap.since or 0.0) or gap.since or 0.0
    short = tallies.since(gap.tally, since)
    rate = short.made / max(samples[-1].seconds - since, 1.0)
    can = gap.baseline.capacity or 0.0
    moments = [
        Moment(now.seconds, now.seconds - before.seconds, rate, can, is_waiting(now, now.in_flight or 0.0))
        for before, now in pairwise(samples)
        if now.seconds > since
    ]
    loss = replace(gap.loss, young=tuple(moments))
    tally = replace(gap.tally, back=0.0, back_since=None)
    return replace(gap, tally=tally, sure=True, since=since, missing=short.missing, loss=loss, track=())


def off_of(gap: Gap) -> float:
    """Return how far chance may put what is missing of whole requests that have ended."""
    due = tallies.since(gap.tally, gap.since or 0.0).due
    return min(MOST_OFF, OFF_SPREADS * tallies.off(gap.tally, gap.baseline.tokens_per_request, due))
