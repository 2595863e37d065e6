"""The last quarter of an hour of a rack, one point a second, for plots: bounded, and gaps stay gaps."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any, Protocol

from agent.measure.engine import TokenKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment

SCHEMA = 1
KEPT_SECONDS = 900.0
LEAST_SPACING_SECONDS = 0.8
"""One point a second: snapshots that come a little early are taken, those in between are not."""
GAP_SECONDS = 3.0
"""Points further apart are not joined: an empty point stands between them."""
CAPACITY = int(KEPT_SECONDS / LEAST_SPACING_SECONDS) + 1
MOST_BOUNDARIES = 8
"""Boundaries are a short closed list; what comes beyond that is not kept."""
NAN = math.nan


class Told(Protocol):
    """What a point is made of: a rack's snapshot has it, and so has the point of a node."""

    @property
    def at(self) -> Moment:
        """Of which moment it speaks."""

    @property
    def tokens_per_second(self) -> Mapping[TokenKind, float]:
        """Rates by kind of token."""

    @property
    def power_watts(self) -> Mapping[str, float]:
        """By boundary."""

    @property
    def tokens_per_joule(self) -> Mapping[tuple[TokenKind, str], float]:
        """By kind and boundary."""

    @property
    def coverage(self) -> float | None:
        """Of the rate's window; None when nobody is expected."""

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against the rate of output tokens."""


class History:
    """A ring of points; feeding it is one call per snapshot."""

    def __init__(self) -> None:
        self._stamps = _column()
        """Monotonic seconds."""
        self._rate = _column()
        self._coverage = _column()
        self._valid = _column()
        """1 is valid, 0 is not, NaN is unknown."""
        self._power: dict[str, array[float]] = {}
        self._efficiency: dict[str, array[float]] = {}
        self._next = 0
        self._count = 0
        self._newest: tuple[float, float] | None = None
        """Monotonic and Unix seconds of the newest point."""
        self.version = 0
        """Grows with every point, so that an encoded form can be kept until then."""

    def take(self, rack: Told) -> None:
        """Keep what is told, unless the last point is less than a second old."""
        now = rack.at.monotonic_seconds
        if self._newest is not None:
            elapsed = now - self._newest[0]
            if elapsed < LEAST_SPACING_SECONDS:
                return
            if elapsed > GAP_SECONDS:
                self._append((now + self._newest[0]) / 2, None)
        self._append(now, rack)
        self._newest = (now, rack.at.unix_seconds)
        self.version += 1

    def plain(self) -> dict[str, Any]:
        """Return the columns, oldest point first; None is unknown.

        Times are told on the wall clock of the newest point, so that stepping the clock moves no point.
        """
        order = self._order()
        ends_monotonic, ends_unix = self._newest or (0.0, 0.0)
        return {
            "schema": SCHEMA,
            "seconds": KEPT_SECONDS,
            "at": [round(ends_unix - (ends_monotonic - self._stamps[i]), 3) for i in order],
            "tokens_per_second": _values(self._rate, order),
            "power_watts": {name: _values(column, order) for name, column in self._power.items()},
            "tokens_per_joule": {name: _values(column, order) for name, column in self._efficiency.items()},
            "coverage": _values(self._coverage, order),
            "valid": [None if math.isnan(self._valid[i]) else self._valid[i] == 1.0 for i in order],
        }

    def _append(self, stamp: float, rack: Told | None) -> None:
        at = self._next
        self._stamps[at] = stamp
        self._rate[at] = NAN if rack is None else rack.tokens_per_second.get(TokenKind.OUTPUT, NAN)
        self._coverage[at] = NAN if rack is None or rack.coverage is None else rack.coverage
        self._valid[at] = NAN if rack is None else float(rack.valid)
        _put(self._power, at, {} if rack is None else rack.power_watts)
        _put(self._efficiency, at, {} if rack is None else _output(rack))
        self._next = (at + 1) % CAPACITY
        self._count = min(self._count + 1, CAPACITY)

    def _order(self) -> list[int]:
        """Places in the columns, oldest first, of the points that are not too old."""
        if self._newest is None:
            return []
        since = self._newest[0] - KEPT_SECONDS
        first = self._next - self._count
        places = [(first + i) % CAPACITY for i in range(self._count)]
        return [place for place in places if self._stamps[place] >= since]


def _column() -> array[float]:
    return array("d", [NAN]) * CAPACITY


def _put(columns: dict[str, array[float]], at: int, values: Mapping[str, float]) -> None:
    """Write one point of every boundary; one that is absent now is unknown, not old."""
    for name in values:
        if name not in columns and len(columns) < MOST_BOUNDARIES:
            columns[name] = _column()
    for name, column in columns.items():
        column[at] = values.get(name, NAN)


def _output(rack: Told) -> dict[str, float]:
    """Efficiency of output tokens by boundary."""
    return {
        boundary: ratio
        for (kind, boundary), ratio in rack.tokens_per_joule.items()
        if kind == TokenKind.OUTPUT
    }


def _values(column: array[float], order: list[int]) -> list[float | None]:
    return [None if math.isnan(column[i]) else column[i] for i in order]
