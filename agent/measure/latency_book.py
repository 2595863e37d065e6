"""What one engine's clients waited, over the last minute; and what all of a node's ever did, by model."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.latency import between, grown, merged, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import EngineReading, Histogram, Latency

WINDOW_SECONDS = 60.0
"""Interval that quantiles speak of: a p99 needs some hundred requests."""
MAX_GAP_SECONDS = 30.0
"""Histograms are read every few seconds; between two that are further apart nothing is known."""
MAX_HISTOGRAMS = 256
"""Models times latencies remembered of one instance; a minute of one takes some 5 KiB."""
MAX_MODEL_HISTOGRAMS = 1024
"""… and of one node."""
MAX_BUCKETS = 128
MAX_SHAPES = 4
"""Sets of bounds kept apart for one model: each engine and version has its own."""


class Sample(NamedTuple):
    """All durations up to one moment, since the engine was first seen."""

    seconds: float
    whole: Histogram


class ModelLatencies:
    """What clients of a node have waited since rackwatt started, by model: it never falls while that runs."""

    def __init__(self) -> None:
        self._wholes: dict[tuple[str, Latency], dict[tuple[float, ...], Histogram]] = {}
        self._sums: dict[tuple[str, Latency], Histogram] = {}

    @property
    def histograms(self) -> Mapping[tuple[str, Latency], Histogram]:
        """Return the sums over all engines, at the bounds that all have; none without one in common."""
        return dict(self._sums)

    def add(self, key: tuple[str, Latency], growth: Histogram) -> None:
        """Book what was counted since the last page; one model or shape too many is not told."""
        if key not in self._wholes and len(self._wholes) >= MAX_MODEL_HISTOGRAMS:
            return
        shapes = self._wholes.setdefault(key, {})
        if growth.bounds in shapes or len(shapes) < MAX_SHAPES:
            known = shapes.get(growth.bounds, nothing(growth.bounds))
            shapes[growth.bounds] = _sum([known, growth])
            whole = _sum(list(shapes.values()))
            if len(whole.bounds) > 1:
                self._sums[key] = whole
            else:
                self._sums.pop(key, None)


class LatencyBook:
    """What is remembered of one instance's histograms between pages."""

    def __init__(self, models: ModelLatencies | None = None) -> None:
        self._models = models
        self._raws: dict[tuple[str, Latency], Histogram] = {}
        """As printed on the last page that had them."""
        self._samples: dict[tuple[str, Latency], deque[Sample]] = {}
        self._told_seconds: float | None = None
        """When the running process last told histograms, or the one before it: what appears since then began
        at zero (T25). None before."""

    @property
    def keys(self) -> frozenset[tuple[str, Latency]]:
        """Models and latencies of which anything is kept."""
        return frozenset(self._samples)

    def restart(self, *, adopted: bool) -> None:
        """Note that the next page is of another process; one that is adopted has a past that is not ours."""
        self._raws = {} if adopted else {key: nothing(raw.bounds) for key, raw in self._raws.items()}
        self._told_seconds = None if adopted else self._told_seconds

    def take(self, reading: EngineReading, *, counts: bool = True) -> None:
        """Book the histograms of a page that has them; `counts`: they are also the model's."""
        if reading.latencies is None:
            return
        for key, raw in reading.latencies.items():
            if len(raw.bounds) <= MAX_BUCKETS and (
                key in self._samples or len(self._samples) < MAX_HISTOGRAMS
            ):
                self._book(key, raw, reading.at.monotonic_seconds, counts=counts)
        self._told_seconds = reading.at.monotonic_seconds

    def newest(self, key: tuple[str, Latency]) -> float:
        """Return when a histogram was last read; minus infinity for never."""
        samples = self._samples.get(key)
        return samples[-1].seconds if samples else -math.inf

    def window(self, key: tuple[str, Latency], start: float, end: float) -> Histogram | None:
        """Return what was counted between two moments; None when one of them is not covered."""
        before, after = self._at(key, start), self._at(key, end)
        return None if before is None or after is None else grown(before, after)

    def _book(self, key: tuple[str, Latency], raw: Histogram, seconds: float, *, counts: bool) -> None:
        samples = self._samples.setdefault(key, deque())
        if samples and seconds <= samples[-1].seconds:
            return
        growth = self._growth(self._raws.get(key), raw)
        self._raws[key] = raw
        if samples and samples[-1].whole.bounds != raw.bounds:
            samples.clear()
        whole = samples[-1].whole if samples else nothing(raw.bounds)
        if not samples and self._told_seconds is not None:
            samples.append(Sample(self._told_seconds, whole))
        samples.append(Sample(seconds, _sum([whole, growth])))
        while len(samples) > 2 and samples[1].seconds < seconds - WINDOW_SECONDS - MAX_GAP_SECONDS:  # noqa: PLR2004  (an edge needs two)
            samples.popleft()
        if counts and self._models is not None:
            self._models.add(key, growth)

    def _growth(self, known: Histogram | None, raw: Histogram) -> Histogram:
        """Return what a page adds: nothing where bounds changed, or a part fell and the whole did not."""
        if known is None:
            return nothing(raw.bounds) if self._told_seconds is None else grown(nothing(raw.bounds), raw)
        if known.bounds != raw.bounds:
            return nothing(raw.bounds)
        if raw.counts[-1] < known.counts[-1]:
            return grown(nothing(raw.bounds), raw)
        if True in [now < before for now, before in zip(raw.counts, known.counts, strict=True)]:
            return nothing(raw.bounds)
        return grown(known, raw)

    def _at(self, key: tuple[str, Latency], seconds: float) -> Histogram | None:
        """Interpolate at one moment."""
        samples = self._samples.get(key)
        if not samples or seconds > samples[-1].seconds:
            return None
        after = samples[-1]
        for sample in reversed(samples):
            if sample.seconds <= seconds:
                elapsed = after.seconds - sample.seconds
                if elapsed > MAX_GAP_SECONDS:
                    return None
                share = (seconds - sample.seconds) / elapsed if elapsed else 0.0
                return between(sample.whole, after.whole, share) if share else sample.whole
            after = sample
        return None


def _sum(parts: list[Histogram]) -> Histogram:
    return parts[0] if len(parts) == 1 else merged(parts) or parts[0]
