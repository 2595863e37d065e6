"""Cumulative series read at common edges, so that tokens and joules cover the same interval (T3)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

EDGE_GAP_SECONDS = 3.0
"""An edge is trusted when the samples around it are at most this far apart …"""
EDGE_GAP_CADENCES = 2.5
"""… or this many cadences of the source, whichever is more."""
HORIZON_CADENCES = 8.0
"""Samples are kept for this many cadences of the slowest source: a window takes three of them, and an
edge gap of 2.5 may lie before it and behind it."""
LEAST_STEPS = 8
"""The middle of fewer steps says nothing."""
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
    """A cumulative series of bounded length; values never fall.

    Samples lie in columns of numbers, not in objects: a rack has ten thousand series, and a collector of
    garbage would have to look at each sample again and again, while everything else waits.
    """

    __slots__ = ("_horizon", "_seconds", "_slopes", "_spreads", "_steps", "_values", "began", "last")

    def __init__(self, horizon: Horizon) -> None:
        self._seconds = array("d")
        self._values = array("d")
        self._spreads = array("d")
        self._steps = array("d")
        self._slopes = array("d")
        """Growth per second up to each of the samples; nothing leads to the oldest, its place is kept."""
        self._horizon = horizon
        self.began: float | None = None
        """Moment of its very first sample, which may be kept no longer."""
        self.last: Point | None = None
        """The newest sample: it alone is kept as an object too, since all ask for it."""

    def add(self, point: Point) -> None:
        """Append a sample; one that is not newer than the last is dropped (a late read adds nothing)."""
        seconds, value, spread_seconds, step = point
        stamps, slope = self._seconds, 0.0
        if stamps:
            elapsed, last = seconds - stamps[-1], self._values[-1]
            if elapsed <= 0.0:
                return
            if value < last:
                value, point = last, point._replace(value=last)
            slope = (value - last) / elapsed
        else:
            self.began = seconds
        self.last = point
        stamps.append(seconds)
        self._values.append(value)
        self._spreads.append(spread_seconds)
        self._steps.append(step)
        self._slopes.append(slope)
        oldest = seconds - self._horizon.seconds
        if len(stamps) > 2 and stamps[1] < oldest:  # noqa: PLR2004  (an edge needs two)
            self._forget(min(bisect_left(stamps, oldest) - 1, len(stamps) - 2))

    def _forget(self, count: int) -> None:
        """Drop the oldest samples."""
        for column in (self._seconds, self._values, self._spreads, self._steps, self._slopes):
            del column[:count]

    @property
    def oldest(self) -> float:
        """Moment of the oldest sample still kept; plus infinity without one."""
        return self._seconds[0] if self._seconds else float("inf")

    @property
    def first(self) -> Point | None:
        """The oldest sample still kept."""
        if not self._seconds:
            return None
        return Point(self._seconds[0], self._values[0], self._spreads[0], self._steps[0])

    @property
    def newest(self) -> float:
        """Moment of the newest sample; minus infinity without one."""
        return self._seconds[-1] if self._seconds else float("-inf")

    def at(self, seconds: float, max_gap_seconds: float) -> Point | None:
        """Interpolate at one edge; None when it is outside, or its neighbours are too far apart."""
        edge = self._edge(seconds, max_gap_seconds)
        return None if edge is None else Point(seconds, *edge)

    def _edge(self, seconds: float, max_gap_seconds: float) -> tuple[float, float, float] | None:
        """Return value, spread and step at one edge: a plain tuple, for a node asks for 160 a second."""
        stamps = self._seconds
        place = bisect_left(stamps, seconds)
        if place == len(stamps):
            return None
        after = stamps[place]
        values, spreads, steps = self._values, self._spreads, self._steps
        if after == seconds:
            return values[place], spreads[place], steps[place]
        before = place - 1
        if before < 0 or after - stamps[before] > max_gap_seconds:
            return None
        share = (seconds - stamps[before]) / (after - stamps[before])
        value = values[before] + share * (values[place] - values[before])
        return value, max(spreads[before], spreads[place]), max(steps[before], steps[place])

    def grown(
        self, start: float, end: float, max_gap_seconds: float, *, bounded: bool = True
    ) -> Grown | None:
        """Return the growth between two edges; None when either edge is invalid.

        How wrong it may be is only told when it is to be `bounded`: that walks the whole window.
        """
        left, right = self._edge(start, max_gap_seconds), self._edge(end, max_gap_seconds)
        if left is None or right is None:
            return None
        (left_value, left_spread, left_step), (right_value, right_spread, right_step) = left, right
        amount, step = right_value - left_value, max(left_step, right_step)
        spread = max(left_spread, right_spread)
        slope = self.peak_slope(start, end) or 0.0 if bounded and spread > 0.0 else 0.0
        return Grown(amount, slope * spread + step, below_step=amount < step)

    def known_seconds(self, start: float, end: float, max_gap_seconds: float) -> float:
        """Return for how much of an interval the series is known: gaps in it are not."""
        known, after = 0.0, None
        for stamp in reversed(self._seconds):
            if after is not None and after - stamp <= max_gap_seconds:
                known += max(0.0, min(after, end) - max(stamp, start))
            if stamp <= start:
                break
            after = stamp
        return known

    def peak_slope(self, start: float, end: float) -> float | None:
        """Return the steepest growth per second between neighbouring samples around an interval.

        None when there are no two.
        """
        stamps = self._seconds
        before = max(bisect_left(stamps, start) - 1, 0)
        after = min(bisect_left(stamps, end), len(stamps) - 1)
        return max(self._slopes[before + 1 : after + 1]) if after > before else None

    def middle_slope(self) -> float | None:
        """Return the growth per second that half of all steps exceed; a single leap does not move it.

        None as long as there are few.
        """
        steps = len(self._slopes) - 1
        return sorted(self._slopes[1:])[steps // 2] if steps >= LEAST_STEPS else None


def max_gap_seconds(cadence_seconds: float) -> float:
    """Return how far apart the samples around an edge may be for a source of this cadence."""
    gap_seconds = EDGE_GAP_CADENCES * cadence_seconds
    return gap_seconds if gap_seconds > EDGE_GAP_SECONDS else EDGE_GAP_SECONDS  # noqa: FURB136 - max() takes longer
