"""Whether a deployment makes less than it should: expected against actual, summed until it is sure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.baseline import Baseline, expected, learned, with_noise, with_work
from agent.diagnose.case import middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.sample import Sample

REFERENCE_SECONDS = 60.0
"""What was asked for lately is the middle of this time …"""
REFERENCE_APART_SECONDS = 5.0
"""… that ended so long ago."""
LEAST_REFERENCE = 5
"""Samples that it takes to know what was asked for."""
LEAST_RATE = 1.0
"""Output tokens per second below which nothing is missed."""
SLACK = 0.04
"""A shortfall of this share is no gap, however long it lasts."""
SLACK_NOISES = 1.5
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
FLOW_SECONDS = 10.0
SAME_LOAD_RATIO, SAME_LOAD_SPREAD = 0.08, 2.0
"""As many requests as before: within this share, or, of few, within so many standard deviations."""
WAITING_RATIO = 0.02
"""Fewer waiting than this share of all requests are on their way into the batch."""
PLATEAU_RATIO = 0.03
"""Requests pile up or shrink when that is more than this share of the rate."""
LONGEST_STEP_SECONDS = 5.0
"""A sample stands for no longer than this."""
OVER_SECONDS = 8.0
"""A gap is over when there was none for so long."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What clients had asked for lately."""

    rate: float
    """The middle of the last minute."""
    mean: float
    """Over all that is remembered: what bursts come to."""
    in_flight: float | None
    """The middle of the requests in flight meanwhile."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The state of one deployment's gap; `since` is None while there is none."""

    baseline: Baseline = Baseline()
    sum_seconds: float = 0.0
    since: float | None = None
    """Monotonic, when the shortfall began to add up."""
    asked: Asked | None = None
    """Before that."""
    sure: bool = False
    healthy_since: float | None = None
    """While a sure gap stands: since when nothing is missing any more."""
    expected: float | None = None
    missing: float = 0.0
    """Share of the expected rate that was missing in the last sample."""
    comes: tuple[tuple[float, float], ...] = ()
    """Moment and tokens per second that clients asked for, over the last seconds in which that was seen."""
    due_tokens: float = 0.0
    """What should have been made since the gap began …"""
    lost_tokens: float = 0.0
    """… and how much of that was not."""

    @property
    def share(self) -> float:
        """Share of what was due that was not made."""
        return self.lost_tokens / self.due_tokens if self.due_tokens else 0.0


def asked_of(samples: tuple[Sample, ...], now: float) -> Asked | None:
    """Return what was asked for lately: the middle of the last minute, the last seconds left out."""
    low, high = now - REFERENCE_SECONDS - REFERENCE_APART_SECONDS, now - REFERENCE_APART_SECONDS
    lately = [sample for sample in samples if low <= sample.seconds <= high and sample.rate is not None]
    if len(lately) < LEAST_REFERENCE:
        return None
    rates = [sample.rate for sample in samples if sample.seconds <= high and sample.rate is not None]
    rate = middle(sample.rate for sample in lately)
    if rate is None:
        return None
    return Asked(rate, sum(rates) / len(rates), middle(sample.in_flight for sample in lately))


def stepped(gap: Gap, samples: tuple[Sample, ...], sample: Sample) -> Gap:
    """Take one sample more: learn from it, or add up what it misses."""
    now, rate = sample.seconds, sample.rate
    if rate is None or not samples:
        return gap  # not known is no shortfall
    seconds = min(now - samples[-1].seconds, LONGEST_STEP_SECONDS)
    asked = gap.asked if gap.since is not None else asked_of(samples, now)
    lately = (*samples, sample)
    can = capacity_at(gap.baseline, lately)
    should = None if asked is None or can is None else min(can, wanted(gap.baseline, asked, lately))
    if asked is None or should is None or should < LEAST_RATE:
        return _healthy(_unmissed(gap, should, now), samples, sample, seconds)
    missing = 1.0 - rate / should
    slack = max(SLACK, SLACK_NOISES * gap.baseline.noise)
    total = max(0.0, gap.sum_seconds + (missing - slack) * seconds)
    gap = replace(gap, expected=should, missing=missing, sum_seconds=total)
    if not gap.sure and total <= 0.0:
        gap = replace(gap, since=None, asked=None, comes=(), due_tokens=0.0, lost_tokens=0.0)
        return _healthy(gap, samples, sample, seconds)
    if missing > slack or not gap.sure:
        comes = demanded(gap.baseline, asked, lately)
        if comes is not None:
            lasting = (each for each in gap.comes if each[0] > now - FLOW_SECONDS)
            gap = replace(gap, comes=(*lasting, (now, comes)))
        # What was seen last is blurred with what cannot be seen: what came before is held.
        held = gap.comes[0][1] if gap.comes else asked.mean
        due = min(can or 0.0, held if comes is None else comes)
        gap = _added(replace(gap, healthy_since=None), due, rate, seconds)
    if gap.sure:
        return gap if missing > slack else replace(gap, healthy_since=gap.healthy_since or now)
    since = now - seconds if gap.since is None else gap.since
    sure = total > max(SURE_SECONDS, SURE_NOISES * gap.baseline.noise) and now - since > 1.0
    return replace(gap, since=since, asked=asked, sure=sure)


def capacity_at(baseline: Baseline, samples: Sequence[Sample]) -> float | None:
    """Return what it gives at the load of the last seconds, of which the least counts.

    A rate is of the last seconds: load that came just now can not have been worked yet.
    """
    if samples[-1].gone:
        return baseline.capacity
    newest = samples[-1].seconds
    loads = [each.in_flight for each in samples[-LOAD_SAMPLES:] if each.seconds > newest - LOAD_SECONDS]
    known = [load for load in loads if load is not None]
    return expected(baseline, min(known)) if known else baseline.capacity


def wanted(baseline: Baseline, asked: Asked, samples: Sequence[Sample]) -> float:
    """Return what would be made of all that is asked for, were it made at the pace of before.

    While requests wait, at least as much is asked for as comes in. While none wait, all that comes is made,
    and fewer tokens are only missed where as many requests as before are in flight: of clients that wait for
    an answer before they ask again. Fewer requests are less demand; with more of them each takes longer.
    """
    newest = samples[-1]
    load = newest.in_flight
    if newest.gone or not load or not asked.in_flight:
        return asked.rate
    if is_waiting(newest, load):
        return max(asked.rate, demanded(baseline, asked, samples) or asked.mean)
    band = max(SAME_LOAD_RATIO, SAME_LOAD_SPREAD / math.sqrt(load))
    same = abs(load / asked.in_flight - 1.0) <= band
    return (
        min(asked.rate, asked.rate * load / asked.in_flight) if same else min(asked.rate, newest.rate or 0.0)
    )


def is_waiting(sample: Sample, load: float) -> bool:
    """Whether more requests wait than are on their way into the batch."""
    return sample.waiting > WAITING_RATIO * load


def demanded(baseline: Baseline, asked: Asked, samples: Sequence[Sample]) -> float | None:
    """Return the tokens per second that clients ask for now; None when that cannot be seen.

    What came is what was made and what piled up. Where nothing piles up and nothing shrinks, either as much
    is made as is asked for, or clients wait for answers before they ask again, or give up.
    """
    newest = samples[-1]
    if newest.in_flight and not newest.gone and not is_waiting(newest, newest.in_flight):
        return None
    length = baseline.tokens_per_request
    earlier = next(
        (each for each in reversed(samples) if newest.seconds - each.seconds >= FLOW_SECONDS), None
    )
    if length is None or earlier is None or newest.gone or earlier.gone:
        return None
    first, last = _work(earlier), _work(newest)
    between = [each.rate for each in samples if each.seconds > earlier.seconds and each.rate is not None]
    if first is None or last is None or not between:
        return None
    piled = length * (last - first) / (newest.seconds - earlier.seconds)
    if abs(piled) < PLATEAU_RATIO * asked.rate:
        return None
    return max(0.0, sum(between) / len(between) + piled)


def _work(sample: Sample) -> float | None:
    """Return the requests that are still to be answered: those in work are half done."""
    running = sample.running
    return None if running is None else sample.waiting + running / 2.0


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
    baseline = with_work(gap.baseline, rate, sample.prompt_rate, sample.finished_rate, seconds)
    if is_steady((*lately[-STEADY_SAMPLES:], sample), gap.baseline.noise):
        loads = [each.in_flight for each in lately[-SPAN_SAMPLES:] if each.in_flight is not None]
        baseline = learned(baseline, (sum(loads) + in_flight) / (len(loads) + 1), rate, seconds)
    elif gap.missing > 0.0:
        baseline = with_noise(baseline, gap.missing, seconds)
    return replace(gap, baseline=baseline)


def _unmissed(gap: Gap, should: float | None, now: float) -> Gap:
    """Return the gap while nothing can be missed: a sure one goes on to its end, any other is dropped."""
    if not gap.sure:
        return Gap(baseline=gap.baseline, expected=should)
    healthy = gap.healthy_since if should is None else gap.healthy_since or now
    return replace(gap, expected=should, missing=0.0, healthy_since=healthy)


def _added(gap: Gap, due: float, rate: float, seconds: float) -> Gap:
    lost = gap.lost_tokens + max(0.0, due - rate) * seconds
    return replace(gap, due_tokens=gap.due_tokens + max(due, rate) * seconds, lost_tokens=lost)


def is_over(gap: Gap, now: float) -> bool:
    """Whether a sure gap has ended."""
    return gap.sure and gap.healthy_since is not None and now - gap.healthy_since >= OVER_SECONDS


def ended(gap: Gap) -> Gap:
    """Return the state after a gap: only what was learned stays."""
    return Gap(baseline=gap.baseline)
