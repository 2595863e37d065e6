"""What earlier pages said of one GPU: since when its values stand, and which Xids came."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.collectors._dcgm_exporter.gpu import Told
    from agent.measure.reading import Moment

RENEWALS = 4
"""So many of the last renewals are looked at: one page may come late."""


class GpuPast:
    """One GPU over the pages; they have no timestamps, and values stay on them for 30 s by default."""

    def __init__(self) -> None:
        self.xids: dict[int, int] = {}
        """Changes of the last Xid that were seen, by Xid."""
        self.last_xid: int | None = None
        """None while the page does not tell Xids."""
        self._xid: int | None = None
        self._print: tuple[Any, ...] | None = None
        self._at: Moment | None = None
        self._renewals: deque[float] = deque(maxlen=RENEWALS)

    def stand(self, told: Told, now: Moment) -> Moment:
        """Return since when the values of a page stand: the moment at which they were first seen."""
        known = told.print
        if self._at is None or known != self._print:
            if self._at is not None:
                self._renewals.append(now.monotonic_seconds - self._at.monotonic_seconds)
            self._print, self._at = known, now
        return self._at

    @property
    def renewed_seconds(self) -> float | None:
        """The longest of the last times after which a page brought new values; None before the first."""
        return max(self._renewals, default=None)

    def hear(self, xid: int | None) -> None:
        """Take the last Xid as a page has it.

        It stays there for ever (T12): what stands on the first page is of an unknown past, and only a change
        is an event. Some releases do not show it before the first error.
        """
        before, shown = self._xid, xid if xid is not None else self._xid
        self._xid = shown or 0
        if xid is None and self.last_xid is None:
            return
        self.last_xid = self.last_xid or 0
        if before is not None and self._xid and self._xid != before:
            self.xids = {**self.xids, self._xid: self.xids.get(self._xid, 0) + 1}
            self.last_xid = self._xid
