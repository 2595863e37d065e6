"""Whether a deployment makes less than it should: expected against actual, summed until it is sure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.baseline import (
    Baseline,
    at_batch,
    expected,
    learned,
    load_of,
    with_batch,
    with_noise,
    with_work,
)
from agent.diagnose.case import middle
from agent.diagnose.demand import (
    REFERENCE_AGE_SECONDS,
    Sight,
    asked_before,
    asked_of,
    bursts_of,
    demanded,
    flow_of,
    flow_seconds,
    is_read,
    is_waiting,
    most_of,
    wanted,
)
from agent.diagnose.loss import Beyond, Loss, Moment, Seen, closed
from agent.diagnose.loss import stepped as with_moment
from agent.diagnose.tally import Tally, cleared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.demand import Asked
    from agent.diagnose.sample import Sample

LEAST_RATE = 1.0
"""Output tokens per second below which nothing is missed."""
SLACK = 0.04
"""A shortfall of this share is no gap, however long it lasts."""
SLACK_NOISES = 1.5
FEW_REQUESTS, MOST_SLACK = 0.5, 0.3
"""Of few requests in flight, one that has just begun or is about to end makes a share of the rate."""
SURE_SECONDS = 0.25
"""A gap is sure when the shortfall beyond the slack has added up to so many seconds of the whole rate …"""
SURE_NOISES = 6.0
"""… or, where the rate is noisy, to this many times its noise."""
STEADY_SAMPLES = 3
SPAN_SAMPLES = 2
"""A rate goes over the loads of so many samples and this one."""
STEADY_RATIO = 1.15
STEADY_NOISES = 6.0
"""What is learned is learned while load and rate vary by less than this, or than so many times the noise."""
LOAD_SECONDS = 3.5
LOAD_SAMPLES = 8
LONGEST_STEP_SECONDS = 5.0
"""A sample stands for no longer than this."""
UNSEEN_SECONDS = 180.0
"""After so long without sight nobody knows what is asked for."""
SETTLED_SECONDS = 2.0
"""A rate of the last seconds is the new one after this time."""
MOST_TRACKED = 120
MOST_UNSEEN = 4
LATE_SECONDS = 4.0
"""A gap that begins so soon after a time out of sight began in it."""
BEYOND_RATIO = 1.25
"""What nobody knows to be given may be so much more than ever was."""
OVER_SECONDS = 8.0
"""A gap is over when there was none for so long."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The state of one deployment's gap; `since` is None while there is none."""

    baseline: Baseline = Baseline()
    sum_seconds: float = 0.0
    since: float | None = None
    """Monotonic, when the shortfall began to add up."""
    asked: Asked | None = None
    """Before that."""
    last_asked: Asked | None = None
    """What was last known to be asked for: it stands for a while after nobody could see it."""
    sure: bool = False
    healthy_since: float | None = None
    """While a sure gap stands: since when nothing is missing any more."""
    expected: float | None = None
    missing: float = 0.0
    """Share of the expected rate that was missing in the last sample."""
    loss: Loss = Loss()
    sight: Sight = Sight()
    """When it was last seen what is asked for."""
    unseen: tuple[Moment, ...] = ()
    """What was made while nobody could read it, in the time before it is seen to have begun."""
    track: tuple[tuple[float, float], ...] = ()
    """Until it is sure: moments, and the share that was missing at each."""
    known_seconds: float | None = None
    """Monotonic, when the rate was last known …"""
    step_seconds: float = 0.0
    """… and for how long that stands: counters tell what was made while nobody read them."""
    tally: Tally = Tally()
    """Of a deployment that counts what has ended: what was due, and what was counted."""

    full: bool = False
    """Whether requests waited before it began: then it is known what can be given at the most."""
    batch: float = 0.0
    """The most requests in work since it began."""
    after: float | None = None
    """Of a gap that is over: what is given since …"""
    after_full: bool = False
    """… and whether more was asked for all the time."""

    @property
    def reckoned(self) -> Loss:
        """Its books, with what is not settled yet."""
        return self.loss.reckoned(_beyond(self))

    @property
    def due_tokens(self) -> float:
        """What should have been made since the gap began, as far as is known."""
        return self.reckoned.due_tokens

    @property
    def lost_tokens(self) -> float:
        """How much of that was not."""
        return self.reckoned.lost_tokens

    @property
    def share(self) -> float:
        """Share of what was due that was not made."""
        return self.reckoned.share


def stepped(gap: Gap, samples: tuple[Sample, ...], sample: Sample) -> Gap:
    """Take one sample more: learn from it, or add up what it misses."""
    now, rate = sample.seconds, sample.rate
    if rate is None or not samples:
        return seen_late(gap, samples, sample)  # not known is no shortfall
    seconds = min(now - samples[-1].seconds, LONGEST_STEP_SECONDS)
    asked = gap.asked if gap.since is not None else asked_of(samples, now)
    if asked is None and (sample.gone or now - (gap.known_seconds or 0.0) <= UNSEEN_SECONDS):
        asked = gap.last_asked
    step = step_of(gap, samples, sample, seconds)
    gap = replace(gap, known_seconds=now, step_seconds=step, last_asked=asked)
    lately = (*samples, sample)
    can = capacity_at(gap.baseline, lately)
    should = None if asked is None or can is None else min(can, wanted(gap.baseline, asked, lately))
    if asked is None or should is None or should < LEAST_RATE:
        return _healthy(unmissed(gap, should, now), samples, sample, seconds)
    missing = 1.0 - rate / should
    slack = _slack(gap.baseline, sample)
    total = max(0.0, gap.sum_seconds + (missing - slack) * seconds)
    gap = replace(gap, expected=should, missing=missing, sum_seconds=total)
    if not gap.sure and total <= 0.0:
        return _healthy(passed(gap), samples, sample, seconds)
    if gap.since is None:
        gap = begun(gap, samples, sample, asked, seconds)
    queued = is_waiting(sample, sample.in_flight or 0.0)
    missed = Moment(now, step, rate, can or 0.0, queued) if missing > slack or not gap.sure else None
    gap = booked(gap, lately, missed, demanded(gap.baseline, asked, lately))
    if gap.sure:
        return replace(gap, healthy_since=None if missing > slack else gap.healthy_since or now)
    gap = replace(gap, track=(*gap.track, (now, missing))[-MOST_TRACKED:])
    lasts = now - (gap.since or now)
    sure = total > max(SURE_SECONDS, SURE_NOISES * gap.baseline.noise) and lasts > 1.0
    return _made_sure(gap, samples) if sure else gap


def begun(gap: Gap, samples: Sequence[Sample], sample: Sample, asked: Asked, seconds: float) -> Gap:
    """Return a gap that begins with the sample of now, or in the time out of sight just before it."""
    now, side = sample.seconds, flow_seconds(gap.baseline, asked) / 2.0
    unseen = gap.unseen if gap.unseen and now - gap.unseen[-1].seconds <= LATE_SECONDS else ()
    if sample.gone and samples[-1].rate is None:
        unseen = _went_unseen(gap, samples, now - seconds)
    seen_until = unseen[0].seconds - unseen[0].lasts if unseen else now
    sight = Sight(
        next((each for each in reversed(samples) if each.seconds <= seen_until and is_read(each)), None)
    )
    for each in samples:
        sight = sight.looked(each) if each.seconds >= seen_until - seconds else sight
    before = Seen(now - REFERENCE_AGE_SECONDS, asked_before(gap.baseline, samples, now) or asked.rate)
    loss = Loss(before=before, noise=gap.baseline.noise, side_seconds=side)
    full = any(is_waiting(each, each.in_flight or 0.0) for each in samples)
    gap = replace(gap, since=now - seconds, asked=asked, loss=loss, sight=sight, unseen=unseen)
    return replace(gap, full=full, batch=0.0)


def _went_unseen(gap: Gap, samples: Sequence[Sample], until: float) -> tuple[Moment, ...]:
    """Return the time out of sight in which an engine went: what it made of it is gone with its counters."""
    known = next((each.seconds for each in reversed(samples) if each.rate is not None), until)
    lasts = min(until - known, UNSEEN_SECONDS)
    return (Moment(until, lasts, 0.0, gap.baseline.capacity or 0.0, perhaps=True),) if lasts > 0.0 else ()


def booked(gap: Gap, lately: Sequence[Sample], missed: Moment | None, asked_for: float | None) -> Gap:
    """Book one moment, and those before it of which it is known only now what was asked for."""
    sample = lately[-1]
    if is_read(sample):
        gap = replace(gap, batch=max(gap.batch, sample.running or 0.0))
    meanwhile = gap.sight.since(gap.baseline, sample) if gap.sure else None
    loss = with_moment(gap.loss, sample.seconds, missed, asked_for, meanwhile)
    if loss.blind or asked_for is None:
        return replace(gap, loss=loss, sight=gap.sight.looked(sample))
    middle = (
        sample.seconds if meanwhile is not None and gap.loss.blind else sample.seconds - loss.side_seconds
    )
    seen = next((each for each in reversed(lately) if each.seconds <= middle and is_read(each)), None)
    return replace(
        gap, loss=loss, sight=Sight(seen, most_of([each for each in lately if each.seconds >= middle]))
    )


def _slack(baseline: Baseline, sample: Sample) -> float:
    """Return the share that may be missing without anything being wrong."""
    few = FEW_REQUESTS * max(1, len(sample.engines))  # each instance counts whole requests
    chance = min(MOST_SLACK, few / max(sample.in_flight or 1.0, 1.0))
    return max(SLACK, SLACK_NOISES * baseline.noise, chance)


def passed(gap: Gap) -> Gap:
    """Return the state after a shortfall that never became sure: it was noise, and is known as that."""
    baseline, before = gap.baseline, gap.since
    for at, missing in gap.track:
        baseline = with_noise(baseline, abs(missing), min(at - (before or at), LONGEST_STEP_SECONDS))
        before = at
    return replace(gap, baseline=baseline, since=None, asked=None, loss=Loss(), track=())


def step_of(gap: Gap, samples: tuple[Sample, ...], sample: Sample, seconds: float) -> float:
    """Return for how long a sample stands: what was gone before a time out of sight was so meanwhile."""
    if not gap.sure or not sample.gone or gap.known_seconds is None:
        return seconds
    before = next((each for each in reversed(samples) if each.rate is not None), sample)
    return max(seconds, sample.seconds - gap.known_seconds) if before.gone else seconds


def seen_late(gap: Gap, samples: tuple[Sample, ...], sample: Sample) -> Gap:
    """Book what was made of a sure gap while nobody could read it; what was asked for then is not known."""
    now, rate, known = sample.seconds, sample.late_rate, gap.known_seconds
    if rate is None or known is None:
        return gap
    can = capacity_at(gap.baseline, (*samples, sample)) or 0.0
    made = Moment(now, now - known, rate, can)
    gap = replace(gap, known_seconds=now, step_seconds=now - known)
    if not gap.sure:
        return replace(gap, unseen=(*gap.unseen, made)[-MOST_UNSEEN:])
    return replace(gap, loss=with_moment(gap.loss, now, made, None), sight=gap.sight.looked(sample))


def _made_sure(gap: Gap, samples: Sequence[Sample]) -> Gap:
    """Return a gap that is sure from now on, and from when on it was there.

    Chance may have begun it: the sums of what is missing beyond half of what is missing now tell since when
    that was so.
    """
    half = (middle(missing for _, missing in gap.track[-STEADY_SAMPLES:]) or 0.0) / 2.0
    since, lowest, total = gap.since, 0.0, 0.0
    for at, missing in gap.track:
        total += missing - half
        if total < lowest:
            since, lowest = at, total
    begun = since or 0.0
    young = tuple(each for each in gap.loss.young if each.seconds > begun)
    unseen = gap.unseen if gap.unseen and begun - gap.unseen[-1].seconds <= LATE_SECONDS else ()
    young = (*unseen, *young)  # it did not begin when somebody looked again
    earlier = [each for each in samples if each.seconds <= begun]
    bursts = bursts_of(earlier, gap.baseline.tokens_per_request, 2.0 * gap.loss.side_seconds)
    loss = replace(gap.loss, young=young, bursts=bursts)
    return replace(gap, sure=True, since=since, track=(), loss=loss, unseen=unseen)


def _beyond(gap: Gap) -> Beyond:
    """Return how much more it can give than it ever gave: where nothing waited, no more was asked for.

    It is seen when a queue is worked off after the gap. Until then, it is what so many requests in work would
    give if they went on to give more as they did; of no more than ever, or of none, nobody knows.
    """
    most, after = gap.baseline.capacity, gap.after or 0.0
    if not most:
        return Beyond()
    seen = max(1.0, after / most)
    if gap.full or gap.after_full:
        return Beyond(seen, seen, seen)
    more = at_batch(gap.baseline, gap.batch) or most * BEYOND_RATIO
    return Beyond(max(seen, more / most), seen, math.inf)


def finished(gap: Gap, samples: Sequence[Sample]) -> Gap:
    """Return a gap that is over with its books closed: what is asked for, and given, after it is seen now."""
    begun = gap.healthy_since or 0.0
    healthy = [each for each in samples if each.seconds >= begun + SETTLED_SECONDS and each.rate is not None]
    if not healthy:
        return replace(gap, loss=closed(gap.loss, None))
    made = sum(each.rate or 0.0 for each in healthy) / len(healthy)
    full = all(is_waiting(each, each.in_flight or 0.0) for each in healthy)
    asked = made
    if is_waiting(healthy[-1], healthy[-1].in_flight or 0.0) and gap.baseline.tokens_per_request:
        flow = flow_of(healthy[0], replace(healthy[-1], rate=made), gap.baseline.tokens_per_request)
        asked = made if flow is None else max(0.0, flow)
    given = middle(each.rate for each in healthy)
    return replace(gap, loss=closed(gap.loss, Seen(begun, asked)), after=given, after_full=full)


def capacity_at(baseline: Baseline, samples: Sequence[Sample]) -> float | None:
    """Return what it gives at the load of the last seconds, of which the least counts.

    A rate is of the last seconds: load that came just now can not have been worked yet. Instances that
    nobody asks for anything give nothing, whatever the others have to do.
    """
    if samples[-1].gone:
        return baseline.capacity
    newest = samples[-1].seconds
    lately = [each for each in samples[-LOAD_SAMPLES:] if each.seconds > newest - LOAD_SECONDS]
    known = [load for each in lately if (load := load_of(baseline, each.in_flight)) is not None]
    can = expected(baseline, min(known)) if known else baseline.capacity
    idle = max(each.idle_share(baseline.batch) for each in lately)
    if can is None or baseline.capacity is None or idle == 0.0:
        return can
    return min(can, baseline.capacity * (1.0 - idle))


def is_steady(samples: Sequence[Sample], noise: float) -> bool:
    """Whether load and rate stood still over these samples: a rate is of the last seconds, a load of now."""
    most = max(STEADY_RATIO, 1.0 + STEADY_NOISES * noise)
    loads = [sample.in_flight for sample in samples]
    rates = [sample.rate for sample in samples]
    return all(_within(values, most) for values in (loads, rates))


def _within(values: Sequence[float | None], most: float) -> bool:
    known = [value for value in values if value is not None]
    return len(known) == len(values) and min(known) > 0.0 and max(known) <= most * min(known)


def _healthy(gap: Gap, lately: tuple[Sample, ...], sample: Sample, seconds: float) -> Gap:
    rate, in_flight = sample.rate, sample.in_flight
    if rate is None or in_flight is None or sample.gone or seconds <= 0.0:
        return gap
    if sample.idle_share(gap.baseline.batch) > SLACK and is_waiting(sample, in_flight):
        return gap  # what some instances give while others have nothing to do is not what all of them do
    baseline = with_work(gap.baseline, rate, sample.finished_rate, seconds)
    baseline = with_batch(baseline, sample.running, sample.waiting, seconds)
    if is_steady((*lately[-STEADY_SAMPLES:], sample), gap.baseline.noise):
        told = [load_of(baseline, each.in_flight) for each in (*lately[-SPAN_SAMPLES:], sample)]
        loads = [load for load in told if load is not None]
        mix = None if sample.prompt_rate is None else sample.prompt_rate / rate if rate else None
        baseline = learned(baseline, sum(loads) / len(loads), rate, seconds, mix)
    elif gap.missing > 0.0:
        baseline = with_noise(baseline, gap.missing, seconds)
    return replace(gap, baseline=baseline)


def unmissed(gap: Gap, should: float | None, now: float) -> Gap:
    """Return the gap while nothing can be missed: a sure one goes on to its end, any other is dropped."""
    if not gap.sure:
        return Gap(gap.baseline, expected=should, last_asked=gap.last_asked, tally=gap.tally)
    healthy = gap.healthy_since if should is None else gap.healthy_since or now
    return replace(gap, expected=should, missing=0.0, healthy_since=healthy)


def is_over(gap: Gap, now: float) -> bool:
    """Whether a sure gap has ended."""
    return gap.sure and gap.healthy_since is not None and now - gap.healthy_since >= OVER_SECONDS


def ended(gap: Gap) -> Gap:
    """Return the state after a gap: only what was learned stays."""
    return Gap(baseline=gap.baseline, tally=cleared(gap.tally))
