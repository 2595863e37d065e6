"""What is known of one rack by now: the last page, how old it is, what went wrong, what was before."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent.top.head import Status
from agent.top.history import History

if TYPE_CHECKING:
    from agent.top.page import RackPage

POLL_SECONDS = 1.0
STALE_SECONDS = 3.0
CADENCES_UNTIL_STALE = 2.5
"""A rack that makes a snapshot every five seconds is not stale after three."""
GAPS_KEPT = 8
RETRY_CEILING_SECONDS = 15.0
"""A person is waiting: no longer than this between two attempts."""


class Watch:
    """The state of a program that looks at one rack; every method is told the time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.page: RackPage | None = None
        self.error = ""
        self.history = History()
        self._changed_seconds: float | None = None
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._retry_seconds = POLL_SECONDS
        self._next_seconds = 0.0

    def came(self, page: RackPage, now: float) -> float:
        """Take an answer; return how long to wait until asking again.

        An answer that repeats the last snapshot is an answer, but no news: it does not make it younger.
        """
        self.error, self._retry_seconds = "", POLL_SECONDS
        if self.page is None or _stamp(page) != _stamp(self.page):
            if self._changed_seconds is not None:
                self._gaps.append(now - self._changed_seconds)
            self.page, self._changed_seconds = page, now
            self.history.add(page, now)
        self._next_seconds = now + POLL_SECONDS
        return POLL_SECONDS

    def failed(self, error: str, now: float) -> float:
        """Note that there was no answer; return how long to wait until asking again."""
        self.error = error
        wait, self._retry_seconds = self._retry_seconds, min(2 * self._retry_seconds, RETRY_CEILING_SECONDS)
        self._next_seconds = now + wait
        return wait

    def tick(self, now: float) -> None:
        """Note once a second that a stale figure is unknown now, so that its sparkline shows a gap."""
        if self.stale(now):
            self.history.missed(now)

    def stale(self, now: float) -> bool:
        """Whether what is known is of the past."""
        if self._changed_seconds is None:
            return False
        cadence = min(self._gaps, default=0.0)
        return now - self._changed_seconds > max(STALE_SECONDS, CADENCES_UNTIL_STALE * cadence)

    def status(self, now: float) -> Status:
        """Return how the asking goes."""
        age = None if self._changed_seconds is None else now - self._changed_seconds
        return Status(self.url, age, self.stale(now), self.error, max(0.0, self._next_seconds - now))


def _stamp(page: RackPage) -> tuple[float | None, float | None]:
    return page.sequence, page.at_unix_seconds
