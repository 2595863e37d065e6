"""What clients ask for: what they did lately, and what is seen of it while requests pile up or shrink."""

from __future__ import annotations

import math
from bisect import bisect_right as bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.diagnose.case import middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.sample import Sample

REFERENCE_SECONDS = 60.0
"""What was asked for lately is the middle of this time …"""
REFERENCE_APART_SECONDS = 5.0
"""… that ended so long ago."""
REFERENCE_AGE_SECONDS = REFERENCE_APART_SECONDS + REFERENCE_SECONDS / 2.0
LEAST_REFERENCE = 5
"""Samples that it takes to know what was asked for."""
LEAST_FLOW_SECONDS, FLOW_SECONDS = 4.0, 10.0
FLOW_RATIO = 0.015
"""What piles up is seen over so long that one request is no more than this share of what is made."""
SAME_LOAD_RATIO, SAME_LOAD_SPREAD = 0.08, 2.0
"""As many requests as before: within this share, or, of few, within so many standard deviations."""
WAITING_RATIO = 0.02
"""Fewer waiting than this share of all requests are on their way into the batch."""
LEAST_CHANCE, CHANCE = 2.0, 0.5
"""The most requests there are vary by this part of a standard deviation of that many, which is no less."""
TURN_SECONDS = 20.0
"""A queue that is about as long as ever for no longer than this is not full."""
MOST_SPANS = 2.0
"""What is seen over more than so many times as long as usual says nothing of now."""
BURSTS_RATIO = 0.12
"""What is asked for comes in bursts when it spreads by more than this share of its mean."""
CHOSEN = 12
"""Rates that are a fair choice of many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What clients had asked for lately."""

    rate: float
    """The middle of the last minute."""
    mean: float
    """Over all that is remembered: what bursts come to."""
    in_flight: float | None
    """The middle of the requests in flight meanwhile."""
    pace: float | None = None
    """The middle of what each of them got: while load changes, the other two are not of one time."""


def asked_of(samples: tuple[Sample, ...], now: float) -> Asked | None:
    """Return what was asked for lately: the middle of the last minute, the last seconds left out."""
    low, high = now - REFERENCE_SECONDS - REFERENCE_APART_SECONDS, now - REFERENCE_APART_SECONDS
    begin, end = (bisect(samples, at, key=_seconds) for at in (low, high))
    lately = [sample for sample in samples[begin:end] if sample.rate is not None]
    if len(lately) < LEAST_REFERENCE:
        return None
    rates = [sample.rate for sample in samples[:end] if sample.rate is not None]
    rate = middle(sample.rate for sample in lately)
    if rate is None:
        return None
    paces = [each.rate / each.in_flight for each in lately if each.rate is not None and each.in_flight]
    in_flight, pace = middle(sample.in_flight for sample in lately), middle(paces)
    return Asked(rate, sum(rates) / len(rates), in_flight, pace)


def asked_before(baseline: Baseline, samples: Sequence[Sample], now: float) -> float | None:
    """Return what was asked for in the last minute, if requests waited: what a queue gives was not."""
    low, high = now - REFERENCE_SECONDS - REFERENCE_APART_SECONDS, now - REFERENCE_APART_SECONDS
    lately = [each for each in samples if low <= each.seconds <= high and is_read(each)]
    if len(lately) < LEAST_REFERENCE or not any(is_waiting(each, each.in_flight or 0.0) for each in lately):
        return None
    return came_between(baseline, lately[0], lately[-1])


def _seconds(sample: Sample) -> float:
    return sample.seconds


def wanted(baseline: Baseline, asked: Asked, samples: Sequence[Sample]) -> float:
    """Return what would be made of all that is asked for, were it made at the pace of before.

    While requests wait, at least as much is asked for as comes in. While none wait, all that comes is made,
    and fewer tokens are only missed where as many requests as before are in flight: of clients that wait for
    an answer before they ask again. Fewer requests are less demand; with more of them each takes longer.
    """
    newest = samples[-1]
    load = newest.in_flight
    if newest.gone or not load or not asked.in_flight or asked.pace is None:
        return asked.rate
    if is_waiting(newest, load):
        return max(asked.rate, demanded(baseline, asked, samples) or asked.mean)
    same = is_same_load(load, asked.in_flight)
    return min(asked.rate, asked.pace * load if same else newest.rate or 0.0)


def is_same_load(load: float, before: float) -> bool:
    """Whether as many requests are there as before."""
    return abs(load / before - 1.0) <= max(SAME_LOAD_RATIO, SAME_LOAD_SPREAD / math.sqrt(max(load, 1.0)))


def is_waiting(sample: Sample, load: float) -> bool:
    """Whether more requests wait than are on their way into the batch."""
    return sample.waiting > WAITING_RATIO * load


def demanded(baseline: Baseline, asked: Asked, samples: Sequence[Sample]) -> float | None:
    """Return the tokens per second that clients ask for now; None when that cannot be seen.

    Where none wait, all that comes is made, and clients may wait for answers before they ask again. So they
    may where there are as many requests as there ever are, and a queue that is full hides what comes.
    """
    newest, span = samples[-1], flow_seconds(baseline, asked)
    if not is_waiting(newest, newest.in_flight or 0.0):
        return None
    earlier = next((s for s in reversed(samples) if newest.seconds - s.seconds >= span and is_read(s)), None)
    if earlier is None or newest.seconds - earlier.seconds > MOST_SPANS * span:
        return None
    crowd, most = _crowd(newest), most_of(samples[:-1])
    seen = crowd.is_more(most, chance=0.0) or crowd.is_fewer(most)
    return came_between(baseline, earlier, newest) if seen else None


def came_between(baseline: Baseline, earlier: Sample, newest: Sample) -> float | None:
    """Return the tokens per second that clients asked for between two samples: what was made and piled up.

    Whatever was seen between them: it is a difference. It is more where some that came were sent away.
    """
    if baseline.tokens_per_request is None or not (is_read(earlier) and is_read(newest)):
        return None
    first, last, made = _work(earlier), _work(newest), _made(earlier, newest)
    if first is None or last is None or made is None:
        return None
    piled = baseline.tokens_per_request * (last - first) / (newest.seconds - earlier.seconds)
    return max(0.0, made + piled)


def is_read(sample: Sample) -> bool:
    """Whether every instance told how it stands: of others it is only known how they stood."""
    return not sample.gone and not sample.unread and sample.in_flight is not None


def _made(earlier: Sample, newest: Sample) -> float | None:
    """Return the tokens per second between two samples, by what the counters said at both."""
    if not newest.engines:
        return None
    total = 0.0
    for name, now in newest.engines.items():
        before = earlier.engines.get(name)
        if before is None or before.output is None or now.output is None or now.restarts != before.restarts:
            return None  # what waited in one that began anew has gone
        seconds = now.output.seconds - before.output.seconds
        if seconds <= 0.0:
            return None
        total += (now.output.value - before.output.value) / seconds
    return total


@dataclass(frozen=True, slots=True)
class Crowd:
    """Requests: all of them, and those that wait. There may be a limit to either."""

    in_flight: float = 0.0
    waiting: float = 0.0

    def is_more(self, most: Crowd, chance: float = CHANCE) -> bool:
        """Whether it is more than there ever were of either, so that none of them was at its limit."""
        return all(now > was + chance * _chance(was) for now, was in self._beside(most))

    def is_fewer(self, most: Crowd) -> bool:
        """Whether it is fewer than there ever were of either by more than chance."""
        return all(now < was - CHANCE * _chance(was) for now, was in self._beside(most))

    def with_most(self, other: Crowd) -> Crowd:
        """Return the most of each."""
        return Crowd(*(max(pair) for pair in self._beside(other)))

    def _beside(self, other: Crowd) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.in_flight, other.in_flight), (self.waiting, other.waiting)


def _chance(requests: float) -> float:
    """Return by how many requests the most that there are may vary: a standard deviation of that many."""
    return max(LEAST_CHANCE, math.sqrt(requests))


def most_of(samples: Sequence[Sample]) -> Crowd:
    """Return the most requests that there were."""
    in_flight = max((each.in_flight or 0.0 for each in samples), default=0.0)
    return Crowd(in_flight, max((each.waiting for each in samples), default=0.0))


def _crowd(sample: Sample) -> Crowd:
    return Crowd(sample.in_flight or 0.0, sample.waiting)


@dataclass(frozen=True, slots=True)
class Sight:
    """When it was last seen what clients ask for, and how many requests there were since."""

    sample: Sample | None = None
    most: Crowd = Crowd()
    """Since then: they may have been as many as there can be."""

    def looked(self, sample: Sample) -> Sight:
        """Return it after one sample more in which it could not be seen."""
        if sample.gone:
            return Sight()  # what waited in one that is gone has gone
        return Sight(self.sample, self.most.with_most(_crowd(sample))) if is_read(sample) else self

    def since(self, baseline: Baseline, sample: Sample) -> float | None:
        """Return what was asked for since, on average, once more requests than ever show that it is all.

        A queue that is full stays so for a while: one that soon grows by one grows slowly.
        """
        if self.sample is None or not is_waiting(sample, sample.in_flight or 0.0):
            return None
        crowd, soon = _crowd(sample), sample.seconds - self.sample.seconds <= TURN_SECONDS
        if not (crowd.is_more(self.most) or (soon and crowd.is_more(self.most, chance=0.0))):
            return None
        return came_between(baseline, self.sample, sample)


def flow_seconds(baseline: Baseline, asked: Asked) -> float:
    """Return over how long it is seen what piles up."""
    length = baseline.tokens_per_request
    if length is None or asked.rate <= 0.0:
        return FLOW_SECONDS
    return min(FLOW_SECONDS, max(LEAST_FLOW_SECONDS, length / (FLOW_RATIO * asked.rate)))


def _work(sample: Sample) -> float | None:
    """Return the requests that are still to be answered: those in work are half done."""
    running = sample.running
    return None if running is None else sample.waiting + running / 2.0


def bursts_of(samples: Sequence[Sample], length: float | None, span: float) -> tuple[float, ...]:
    """Return a fair choice of what was asked for if it came in bursts, nothing if it came evenly.

    `length` is of a request, `span` over how long it is seen what piles up.
    """
    if length is None:
        rates = [each.rate for each in samples if each.rate is not None]
    else:
        ends = [(_before(samples, place, span), each) for place, each in enumerate(samples)]
        pairs = [(first, last) for first, last in ends if first is not None]
        rates = [
            max(0.0, flow) for first, last in pairs if (flow := flow_of(first, last, length)) is not None
        ]
    if len(rates) < LEAST_REFERENCE:
        return ()
    mean = sum(rates) / len(rates)
    spread = math.sqrt(sum((rate - mean) ** 2 for rate in rates) / len(rates))
    step = max(1, len(rates) // CHOSEN)
    return tuple(sorted(rates)[step // 2 :: step]) if spread > BURSTS_RATIO * mean else ()


def _before(samples: Sequence[Sample], place: int, span: float) -> Sample | None:
    """Return the newest sample that is so long before another."""
    end = samples[place].seconds
    return next((samples[each] for each in range(place, -1, -1) if end - samples[each].seconds >= span), None)


def flow_of(first: Sample, last: Sample, length: float) -> float | None:
    """Return what came between two samples: what is made now, and what piled up."""
    before, after = _work(first), _work(last)
    if before is None or after is None or last.rate is None or last.seconds <= first.seconds:
        return None
    return last.rate + length * (after - before) / (last.seconds - first.seconds)
