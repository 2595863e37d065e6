"""The signs of one deployment as rates: what it made per second, on how many requests, with which GPUs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.diagnose.host_signs import HostSigns
    from agent.diagnose.signs import EngineSigns, GpuSigns, UnitSigns
    from agent.measure.series import Point

LEAST_SPAN_SECONDS = 1.8
"""A rate goes over two readings at one a second: one alone jitters by the moment it was asked."""
MIX_SECONDS = 20.0
"""Prompts for each output token are told over so long: one long prompt is no other work."""
SPANS = 2.0
"""… or over so many cadences of a slower source."""
LATE_SECONDS = 4.0
"""A reading or two that were missed make it go over longer, by no more than this."""
ENDED_REQUESTS = 40
"""Of engines that count what has ended a rate goes over so many requests …"""
LEAST_ENDED_SECONDS, MOST_ENDED_SECONDS = 10.0, 60.0
"""… but no less and no more than this time."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What one engine did between two of its readings; None is unknown."""

    output: float | None = None
    prompt: float | None = None
    """Prompt tokens that had to be computed, per second: those from the cache cost nothing."""
    preemptions: float | None = None
    finished: float | None = None
    """Requests that ended."""
    late: bool = False
    """It goes over a time in which the engine could not be read: a mean that is no rate of now."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One deployment at one moment; None is unknown."""

    seconds: float
    """Monotonic, when it was reckoned."""
    engines: Mapping[str, EngineSigns]
    rates: Mapping[str, Rates]
    gpus: tuple[GpuSigns, ...]
    rate: float | None
    """Output tokens per second of all instances; None while one of them is unknown, or known late."""
    running: float | None
    """Requests in work."""
    waiting: float
    """Requests that wait, as far as it is told."""
    in_flight: float | None
    """Requests in work or waiting."""
    host: HostSigns | None = None
    """The machine around it; None while nothing tells of it."""
    late_rate: float | None = None
    """Since before some instance could not be read: what was made meanwhile, which is no rate of now."""

    @property
    def prompt_rate(self) -> float | None:
        """Computed prompt tokens per second."""
        return _sum([rates.prompt for rates in self.rates.values()])

    @property
    def finished_rate(self) -> float | None:
        """Requests that ended per second."""
        return _sum([rates.finished for rates in self.rates.values()])

    @property
    def preemption_rate(self) -> float:
        """Requests put off per second, as far as it is told."""
        return sum(rates.preemptions or 0.0 for rates in self.rates.values())

    @property
    def cache_usage(self) -> float | None:
        """KV cache in use, of the fullest instance."""
        told = [each.kv_cache_usage_ratio for each in self.engines.values()]
        known = [each for each in told if each is not None]
        return max(known) if known else None

    def idle_share(self, batch: float | None) -> float:
        """Share of what its instances could do that nobody asks them for, while others have a queue.

        `batch` is how many requests all of them together can have in work.
        """
        if not any(each.waiting for each in self.engines.values()):
            return 0.0
        each_batch = (batch or 0.0) / len(self.engines)
        return sum([each.free_share(each_batch) for each in self.engines.values()]) / len(self.engines)

    @property
    def on_finish(self) -> bool:
        """Whether some instance counts tokens only when their request ends."""
        return any(each.on_finish for each in self.engines.values())

    @property
    def gone(self) -> tuple[str, ...]:
        """Instances that are not there any more."""
        return tuple(name for name, each in self.engines.items() if each.gone)

    @property
    def unread(self) -> tuple[str, ...]:
        """Instances that may be there, but cannot be read."""
        return tuple(name for name, each in self.engines.items() if not each.up and not each.gone)


def mix_of(samples: Sequence[Sample], seconds: float) -> float | None:
    """Return the computed prompt tokens for each output token over the last seconds; None is unknown."""
    prompts = outputs = 0.0
    for sample in reversed(samples):
        if sample.seconds <= samples[-1].seconds - seconds:
            break
        rate, prompt_rate = sample.rate, sample.prompt_rate
        if rate is not None and prompt_rate is not None:
            prompts, outputs = prompts + prompt_rate, outputs + rate
    return prompts / outputs if outputs else None


def sample_of(
    signs: UnitSigns, earlier: tuple[Sample, ...], seconds: float, host: HostSigns | None = None
) -> Sample:
    """Reckon a sample from the signs and those before, the newest last."""
    engines = {each.instance: each for each in signs.engines}
    rates = {name: _rates(each, name, earlier) for name, each in engines.items()}
    return sampled(seconds, engines, rates, signs.gpus, host)


def sampled(
    seconds: float,
    engines: Mapping[str, EngineSigns],
    rates: Mapping[str, Rates],
    gpus: tuple[GpuSigns, ...],
    host: HostSigns | None = None,
) -> Sample:
    """Return a sample of these instances and rates."""
    rate = _sum([each.output for each in rates.values()])
    late = any(each.late for each in rates.values())
    running = _sum([each.running for each in engines.values()])
    waiting = sum(each.waiting or 0.0 for each in engines.values())
    return Sample(
        seconds=seconds,
        engines=engines,
        rates=rates,
        gpus=gpus,
        rate=None if late else rate,
        running=running,
        waiting=waiting,
        in_flight=None if running is None else running + waiting,
        host=host,
        late_rate=rate if late else None,
    )


def _rates(now: EngineSigns, name: str, earlier: tuple[Sample, ...]) -> Rates:
    if now.gone:
        return Rates(0.0, 0.0, 0.0, 0.0)  # nothing is made where nobody is
    if not now.up or now.output is None:
        return Rates()
    if now.on_finish:
        long = _of_ended(now, now.output.seconds, name, earlier)
        if long is not None:
            return long
    span = max(LEAST_SPAN_SECONDS, SPANS * now.cadence_seconds * 0.9)
    for sample in reversed(earlier):
        before = sample.engines.get(name)
        if before is None or before.output is None:
            return Rates()
        if now.output.seconds - before.output.seconds >= span:
            return _between(before, now, span + now.cadence_seconds + LATE_SECONDS)
    return Rates()


def _of_ended(now: EngineSigns, at: float, name: str, earlier: tuple[Sample, ...]) -> Rates | None:
    """Return rates over as many requests as make one; None where it was not seen for long enough."""
    first, known = None, at
    for sample in reversed(earlier):
        before = sample.engines.get(name)
        if before is None or before.output is None or not before.up:
            break
        if known - before.output.seconds > now.cadence_seconds + LATE_SECONDS:
            break
        first, known = before, before.output.seconds
        many = None not in {now.finished, before.finished} and _ended(before, now) >= ENDED_REQUESTS
        if at - known >= (LEAST_ENDED_SECONDS if many else MOST_ENDED_SECONDS):
            break
    if first is None or at - known < LEAST_SPAN_SECONDS:
        return None
    return _between(first, now, math.inf)


def _ended(before: EngineSigns, now: EngineSigns) -> float:
    return (now.finished or 0.0) - (before.finished or 0.0)


def _between(before: EngineSigns, now: EngineSigns, longest: float) -> Rates:
    output = _slope(before.output, now.output)
    prompt, cached = _slope(before.prompt, now.prompt), _slope(before.cached, now.cached)
    computed = None if prompt is None else max(0.0, prompt - (cached or 0.0))
    seconds = now.output.seconds - before.output.seconds if now.output and before.output else 0.0
    return Rates(
        output,
        computed,
        _per_second(before.preemptions, now.preemptions, seconds),
        _per_second(before.finished, now.finished, seconds),
        late=not before.gone and seconds > longest,
    )


def _per_second(before: float | None, now: float | None, seconds: float) -> float | None:
    return None if before is None or now is None or seconds <= 0.0 else (now - before) / seconds


def _slope(before: Point | None, now: Point | None) -> float | None:
    if before is None or now is None or now.seconds <= before.seconds:
        return None
    return (now.value - before.value) / (now.seconds - before.seconds)


def _sum(values: Iterable[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
