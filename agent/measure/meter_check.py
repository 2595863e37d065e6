"""Two meters of one boundary, and whether they tell the same energy (T9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.efficiency import Window, sum_over
from agent.measure.energy import (
    CHECK_LAG_SECONDS,
    CHECK_RATIO,
    CHECK_SECONDS,
    CHECK_WINDOWS,
    POWER_GAP_SECONDS,
)
from agent.measure.validity import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.efficiency import Member


class MeterCheck:
    """Compares the energy of a boundary's source with that of another over windows of CHECK_SECONDS."""

    def __init__(self) -> None:
        self.disagrees = False
        self.watts: tuple[float, float] | None = None
        """Mean power by both, in the last window."""
        self._began: float | None = None
        self._low, self._high = float("inf"), float("-inf")
        self._misses = 0

    def look(self, own: Sequence[Member], other: Sequence[Member], watts: float | None) -> None:
        """Take the present power, and compare when a window is over: at the newest moment that both have."""
        stamps = [series.newest for series, _ in (*own, *other) if series is not None]
        if watts is None or not stamps or len(stamps) < len(own) + len(other):
            self._restart()
            return
        self._low, self._high = min(self._low, watts), max(self._high, watts)
        newest = min(stamps)
        if self._began is None:
            self._began = newest
        elif newest - self._began >= CHECK_SECONDS:
            self._judge(own, other, Window(self._began, newest))
            self._began, self._low, self._high = newest, watts, watts

    def _judge(self, own: Sequence[Member], other: Sequence[Member], window: Window) -> None:
        """Compare one window; one with a hole in it says nothing."""
        both = [sum_over(members, window, Invalid.NO_METER, bounded=False) for members in (own, other)]
        told = [each.amount for each in both if not each.reasons and each.amount is not None]
        if len(told) < len(both):
            return
        mine, theirs = told
        self.watts = (mine / window.seconds, theirs / window.seconds)
        slow = (cadence for _, cadence in (*own, *other) if cadence > POWER_GAP_SECONDS)
        lag = max(CHECK_LAG_SECONDS, *slow, 0.0)  # of a swing between two readings nobody knows when it was
        allowed = max(CHECK_RATIO * max(mine, theirs), lag * (self._high - self._low))
        self._misses = self._misses + 1 if abs(mine - theirs) > allowed else 0
        self.disagrees = self._misses >= CHECK_WINDOWS or (self.disagrees and self._misses > 0)

    def _restart(self) -> None:
        """Forget the open window; a verdict stands until a window agrees."""
        self._began, self._low, self._high = None, float("inf"), float("-inf")
