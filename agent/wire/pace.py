"""How often to ask: no more than an engine can afford, and not again at once for what just failed."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.measure.reading import SourceError

RETRY_FIRST_SECONDS = 1.0  # what failed is asked for again after this long …
RETRY_CEILING_SECONDS = 60.0  # … and after waits that double up to this
ENGINE_SHARE = 0.01  # of one core: the most that our scrapes may cost an engine (T26)
COST_PAGES = 30  # the quickest of so many shows its own cost: a busy event loop makes the others slower
COLD_FACTOR = (
    2.0  # rarely rendered means cold, and sending costs, too: 10.3 ms where the quickest first byte took 6.6
)
COST_FIRST_PAGES = 5  # until so many were read nothing is known
INTERVAL_CEILING_SECONDS = 10.0  # an engine is read at least this often, whatever it costs


class Retry:
    """When to ask again for a page that failed: after waits that double up to a ceiling."""

    def __init__(self) -> None:
        self.failure = ""
        self._retry_at = -math.inf
        self._wait_seconds = RETRY_FIRST_SECONDS

    def due(self, now: float) -> bool:
        """Whether it may be asked for again."""
        return now >= self._retry_at

    def failed(self, error: SourceError, now: float) -> None:
        """Note a failure and wait longer than the last time."""
        self.failure = error.detail
        self._retry_at = now + self._wait_seconds
        self._wait_seconds = min(2 * self._wait_seconds, RETRY_CEILING_SECONDS)

    def worked(self) -> None:
        """Forget all failures."""
        self.failure, self._retry_at, self._wait_seconds = "", -math.inf, RETRY_FIRST_SECONDS


class Pace:
    """How often an engine can afford to be read (T26)."""

    def __init__(self, interval_seconds: float) -> None:
        self.interval_seconds = self._configured = interval_seconds
        self._costs: deque[float] = deque(maxlen=COST_PAGES)

    def learn(self, first_byte_seconds: float) -> None:
        """Note what one reading took until its first byte: the engine's time, and its event loop's waits."""
        self._costs.append(first_byte_seconds)
        if len(self._costs) < COST_FIRST_PAGES:
            return
        affordable = min(COLD_FACTOR * min(self._costs) / ENGINE_SHARE, INTERVAL_CEILING_SECONDS)
        # Whole multiples keep the ticks of all sources together: one wake-up instead of many.
        self.interval_seconds = self._configured * max(1, math.ceil(affordable / self._configured))
