"""Histograms of durations: quantiles (never averaged), shares within a limit, sums over engines."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from agent.measure.engine import Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(histogram: Histogram, share: float) -> float | None:
    """Return the duration that this share of all stayed within, as PromQL's histogram_quantile does.

    Inside a bucket durations are taken to be spread evenly, in the first from 0. None when there are none,
    and when it is above every finite bound: then nobody knows how far.
    """
    bounds, counts = histogram.bounds, histogram.counts
    rank = share * counts[-1]
    place = bisect_left(counts, rank)
    if counts[-1] <= 0.0 or math.isinf(bounds[place]):
        return None
    below, start = (counts[place - 1], bounds[place - 1]) if place else (0.0, min(0.0, bounds[0]))
    inside = counts[place] - below
    return start + (bounds[place] - start) * ((rank - below) / inside if inside else 1.0)


def share_within(histogram: Histogram, limit_seconds: float) -> float | None:
    """Return which share was at or under a limit: exact when that is a bound.

    Else durations are taken to be spread evenly inside its bucket. None when there are none, and when the
    limit is above every finite bound and some durations are, too.
    """
    bounds, counts = histogram.bounds, histogram.counts
    place, whole = bisect_left(bounds, limit_seconds), counts[-1]
    if whole <= 0.0:
        return None
    below, start = (counts[place - 1], bounds[place - 1]) if place else (0.0, min(0.0, bounds[0]))
    inside = counts[place] - below
    if math.isinf(bounds[place]):
        return None if inside else 1.0
    width = bounds[place] - start
    return (below + inside * ((limit_seconds - start) / width if width else 1.0)) / whole


def mean_seconds(histogram: Histogram) -> float | None:
    """Return the mean duration; None when there are none, or the engine does not tell their sum."""
    whole = histogram.counts[-1]
    return None if histogram.sum_seconds is None or whole <= 0.0 else histogram.sum_seconds / whole


def merged(parts: Sequence[Histogram]) -> Histogram | None:
    """Add histograms up where their bounds agree: at the bounds that all of them have. None of none."""
    if not parts:
        return None
    bounds = parts[0].bounds
    if all([part.bounds == bounds for part in parts]):  # noqa: C419 - a list is faster; the usual case
        told: list[Sequence[float]] = [part.counts for part in parts]
    else:
        bounds, told = _at_common_bounds(parts)
    sums = [part.sum_seconds for part in parts]
    known = [each for each in sums if each is not None]
    counts = tuple(map(sum, zip(*told, strict=True)))
    return Histogram(bounds, counts, sum(known) if len(known) == len(sums) else None)


def _at_common_bounds(parts: Sequence[Histogram]) -> tuple[tuple[float, ...], list[Sequence[float]]]:
    """Return the bounds that all have, and what each counted at them."""
    common = set(parts[0].bounds).intersection(*(part.bounds for part in parts[1:]))
    bounds = tuple(sorted(common))
    by_bound = [dict(zip(part.bounds, part.counts, strict=True)) for part in parts]
    return bounds, [[told[bound] for bound in bounds] for told in by_bound]


def grown(before: Histogram, after: Histogram) -> Histogram:
    """Return what was counted between two states with the same bounds."""
    counts = accumulate([b - a for a, b in zip(before.counts, after.counts, strict=True)], max)
    return Histogram(after.bounds, tuple(counts), _less(after.sum_seconds, before.sum_seconds))


def between(before: Histogram, after: Histogram, share: float) -> Histogram:
    """Return the state at a share of the way from one to another."""
    counts = [a + share * (b - a) for a, b in zip(before.counts, after.counts, strict=True)]
    a, b = before.sum_seconds, after.sum_seconds
    return Histogram(after.bounds, tuple(counts), None if a is None or b is None else a + share * (b - a))


def nothing(bounds: tuple[float, ...]) -> Histogram:
    """Return a histogram of no durations."""
    return Histogram(bounds, (0.0,) * len(bounds), 0.0)


def _less(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else max(0.0, whole - part)
