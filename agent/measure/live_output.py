"""Output tokens up to now, though the exact counter moves only when a request ends (T21)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.counters import Change
from agent.measure.engine import TokenKind
from agent.measure.engine_activity import IDLE_SHARE

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading

REST_SECONDS = 2.0
"""An engine without work is at rest after so long without a token: the counters of one page need not be of
one moment."""


class LiveOutput:
    """Joins what an engine tells of unfinished requests with its exact total.

    What was seen of a request stays in the sum though the request was given up, or died with its engine. A
    live counter need not agree with the exact one: it may miss first tokens, and the exact one may never
    see a request that was given up. So both give differences only, and how far the live one is ahead is
    known from when the engine was at rest; before, it is ahead by what it made while nobody looked.
    """

    def __init__(self, exact: float) -> None:
        self.pending = 0.0
        """Output tokens of requests that were unfinished on the last page."""
        self._exact = exact
        self._hidden = 0.0
        """Only ever seen as pending; less what the exact total got that was made before we looked."""
        self._owed = 0.0
        """What the exact total got beyond `pending` while the live counter was not told."""
        self._raw: float | None = None
        """The live counter when it was last told."""
        self._fresh = False
        """Whether this process had made nothing on its last page: a counter that appears began at zero."""
        self._settled = False
        """Whether it is known how far the live counter is ahead."""
        self._still: tuple[float, float | None] | None = None
        """Since when there is neither work nor a token, and the engine's idle time then."""

    @property
    def total(self) -> float:
        """Return output tokens up to now: exact, and what unfinished requests have produced."""
        return self._exact + self._hidden + self.pending

    def take(self, reading: EngineReading, exact: float, process: Change, *, restarted: bool) -> float:
        """Book one page and the exact total made of it; return what was pending and was lost unnoticed.

        `restarted` also tells of an exact counter that fell, where the engine does not tell its process.
        """
        live, known = reading.live_output_tokens, self._raw
        fell = live is not None and known is not None and live < known
        lost = 0.0
        if process is Change.ADOPTED:
            self._begin(fresh=False)
        elif process is Change.RESET or (restarted and (fell or live is None or known is None)):
            self._begin(fresh=True)
        elif fell:  # alone: a new process whose exact counter has yet to appear, or a rank that is not shown
            lost = self.pending
            self._begin(fresh=False)
        moved = live != known or exact != self._exact
        if live is not None:
            self._reconcile(live, exact)
        elif self._raw is not None:
            self._wait(exact)
        else:
            self._exact, self.pending = exact, reading.pending_output_tokens or 0.0
        self._rest(reading, moved=moved)
        made = any(counter.value for counter in reading.counters if counter.kind is TokenKind.OUTPUT)
        self._fresh = live is None and not made
        return lost

    def _begin(self, *, fresh: bool) -> None:
        """Go on with another process; one that is not fresh has a past that is not ours."""
        self._hidden += self.pending
        self.pending = self._owed = 0.0
        self._raw, self._still = None, None
        self._fresh, self._settled = fresh, False

    def _reconcile(self, live: float, exact: float) -> None:
        """Move by what the live counter grew, and never by less than what the exact one proves."""
        if self._raw is None:
            self._settled = self._fresh
            self._raw = 0.0 if self._fresh else live
        before, ahead = self.total, self.pending - self._owed + live - self._raw - (exact - self._exact)
        self._raw, self._exact = live, exact
        self.pending, self._owed = max(0.0, ahead), 0.0
        if ahead < 0.0 and not self._settled:  # these were made before we looked
            self._hidden = max(self._hidden + ahead, before - exact)

    def _wait(self, exact: float) -> None:
        """Go on with the exact counter alone: what it gets was pending before, or the live one has it too."""
        ahead = self.pending - self._owed - (exact - self._exact)
        self._exact = exact
        self.pending, self._owed = max(0.0, ahead), max(0.0, -ahead)

    def _rest(self, reading: EngineReading, *, moved: bool) -> None:
        """Let go of what is pending once the engine is without work: no counter will show it any more."""
        demand, now = reading.demand, reading.at.monotonic_seconds
        if moved or self._raw is None or demand.running or demand.waiting:
            self._still = None
            return
        since, idle = self._still = self._still or (now, demand.idle_seconds)
        still_seconds = now - since
        if idle is not None and demand.idle_seconds is not None:
            proven = demand.idle_seconds - idle >= IDLE_SHARE * still_seconds
        else:
            proven = demand.running == 0 and still_seconds > demand.stale_seconds
        if proven and still_seconds >= REST_SECONDS:
            self._hidden += self.pending
            self.pending, self._settled = 0.0, True
