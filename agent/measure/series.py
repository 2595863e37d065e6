"""Cumulative series read at common edges, so that tokens and joules cover the same interval (T3)."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import islice
from typing import NamedTuple

EDGE_GAP_SECONDS = 3.0
"""An edge is trusted when the samples around it are at most this far apart …"""
EDGE_GAP_CADENCES = 2.5
"""… or this many cadences of the source, whichever is more."""
HORIZON_CADENCES = 8.0
"""Samples are kept for this many cadences of the slowest source: a window takes three of them, and an
edge gap of 2.5 may lie before it and behind it."""
MOST_HORIZON_SECONDS = 3600.0
"""… but never longer, for memory: 3,600 samples a series at one a second. Enough for one in 7 minutes."""


class Point(NamedTuple):
    """A cumulative value at one moment; the value was true at some time in [seconds - spread, seconds]."""

    seconds: float
    value: float
    spread_seconds: float = 0.0
    step: float = 0.0
    """The value moves in steps of this size, because of printed precision (T22)."""


class Grown(NamedTuple):
    """By how much a series grew between two edges, and how wrong that may be."""

    amount: float
    uncertainty: float
    below_step: bool = False
    """The growth is smaller than what the source can print: unknown, not small (T22)."""


class Horizon:
    """How long samples are kept; shared by all series that may be read over one window."""

    def __init__(self, least_seconds: float) -> None:
        self.seconds = self._least_seconds = least_seconds

    def stretch(self, cadence_seconds: float) -> None:
        """Make room at once for a source that is read at this cadence."""
        self.seconds = max(self.seconds, self._needed(cadence_seconds))

    def follow(self, slowest_seconds: float) -> None:
        """Keep what the slowest cadence now in force needs, and never less than at the start."""
        self.seconds = max(self._least_seconds, self._needed(slowest_seconds))

    def _needed(self, cadence_seconds: float) -> float:
        return min(HORIZON_CADENCES * cadence_seconds, MOST_HORIZON_SECONDS)


class Series:
    """A cumulative series of bounded length; values never fall."""

    def __init__(self, horizon: Horizon) -> None:
        self._points: deque[Point] = deque()
        self._slopes: deque[float] = deque()
        """Growth per second up to each of the points; nothing leads to the oldest, its place is kept."""
        self._horizon = horizon
        self.began: float | None = None
        """Moment of its very first sample, which may be kept no longer."""

    def add(self, point: Point) -> None:
        """Append a sample; one that is not newer than the last is dropped (a late read adds nothing)."""
        points, slope = self._points, 0.0
        if points:
            last = points[-1]
            if point.seconds <= last.seconds:
                return
            if point.value < last.value:
                point = Point(point.seconds, last.value, point.spread_seconds, point.step)
            slope = (point.value - last.value) / (point.seconds - last.seconds)
        else:
            self.began = point.seconds
        points.append(point)
        self._slopes.append(slope)
        oldest = point.seconds - self._horizon.seconds
        while len(points) > 2 and points[1].seconds < oldest:  # noqa: PLR2004  (an edge needs two)
            points.popleft()
            self._slopes.popleft()

    @property
    def first(self) -> Point | None:
        """The oldest sample still kept."""
        return self._points[0] if self._points else None

    @property
    def last(self) -> Point | None:
        """The newest sample."""
        return self._points[-1] if self._points else None

    @property
    def newest(self) -> float:
        """Moment of the newest sample; minus infinity without one."""
        return self._points[-1].seconds if self._points else float("-inf")

    def at(self, seconds: float, max_gap_seconds: float) -> Point | None:
        """Interpolate at one edge; None when it is outside, or its neighbours are too far apart."""
        points = self._points
        place = bisect_left(points, (seconds,))
        if place == len(points):
            return None
        after = points[place]
        if after.seconds == seconds:
            return after
        return _between(points[place - 1], after, seconds, max_gap_seconds) if place else None

    def grown(
        self, start: float, end: float, max_gap_seconds: float, *, bounded: bool = True
    ) -> Grown | None:
        """Return the growth between two edges; None when either edge is invalid.

        How wrong it may be is only told when it is to be `bounded`: that walks the whole window.
        """
        left, right = self.at(start, max_gap_seconds), self.at(end, max_gap_seconds)
        if left is None or right is None:
            return None
        amount, step = right.value - left.value, max(left.step, right.step)
        spread = max(left.spread_seconds, right.spread_seconds)
        slope = self.peak_slope(start, end) or 0.0 if bounded and spread > 0.0 else 0.0
        return Grown(amount, slope * spread + step, below_step=amount < step)

    def known_seconds(self, start: float, end: float, max_gap_seconds: float) -> float:
        """Return for how much of an interval the series is known: gaps in it are not."""
        known, after = 0.0, None
        for point in reversed(self._points):
            if after is not None and after - point.seconds <= max_gap_seconds:
                known += max(0.0, min(after, end) - max(point.seconds, start))
            if point.seconds <= start:
                break
            after = point.seconds
        return known

    def peak_slope(self, start: float, end: float) -> float | None:
        """Return the steepest growth per second between neighbouring samples around an interval.

        None when there are no two.
        """
        points = self._points
        newest = len(points) - 1
        before = max(bisect_left(points, (start,)) - 1, 0)
        after = min(bisect_left(points, (end,)), newest)
        if after <= before:
            return None
        return max(islice(reversed(self._slopes), newest - after, newest - before))


def _between(before: Point, after: Point, seconds: float, max_gap_seconds: float) -> Point | None:
    gap_seconds = after.seconds - before.seconds
    if gap_seconds > max_gap_seconds:
        return None
    share = (seconds - before.seconds) / gap_seconds
    value = before.value + share * (after.value - before.value)
    spread = max(before.spread_seconds, after.spread_seconds)
    return Point(seconds, value, spread, max(before.step, after.step))


def max_gap_seconds(cadence_seconds: float) -> float:
    """Return how far apart the samples around an edge may be for a source of this cadence."""
    gap_seconds = EDGE_GAP_CADENCES * cadence_seconds
    return gap_seconds if gap_seconds > EDGE_GAP_SECONDS else EDGE_GAP_SECONDS  # noqa: FURB136 - max() takes longer
