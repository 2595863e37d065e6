"""How rarely a counter moves that counts when requests end: the window of its figures must fit (T3, T21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading

MOST_PERIOD_SECONDS = 100.0
"""Longer ones are not waited for: three of these are a window of five minutes, in which no step may fall."""


class FinishPeriod:
    """Times how long the exact counter stands still while requests run; without work it may."""

    def __init__(self) -> None:
        self._exact = 0.0
        self._busy_since: float | None = None
        """Since when requests run and no token came; None while nothing runs, or nobody can tell."""

    def take(self, reading: EngineReading, exact: float) -> float:
        """Book one page; return how long the counter has stood still, or had until it moved just now."""
        now, running = reading.at.monotonic_seconds, bool(reading.demand.running)
        waited = 0.0 if self._busy_since is None else now - self._busy_since
        if exact != self._exact or not running:
            self._busy_since = None
        if running and self._busy_since is None:
            self._busy_since = now
        self._exact = exact
        return 0.0 if reading.live else min(waited, MOST_PERIOD_SECONDS)

    def miss(self) -> None:
        """Note that a page is missing: nobody knows how long the counter stood still."""
        self._busy_since = None
