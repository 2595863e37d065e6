"""A member's monotonic clock read on ours: each poll brackets it, wall clocks are never used."""

from __future__ import annotations

DRIFT_RATIO = 0.001
"""Two monotonic clocks part by at most this: NTP slews each by no more than 500 ppm."""
SLACK_SECONDS = 0.005
"""Moments of a poll may be off by this much: the kernel's stamps have a resolution."""
OLD_LIMIT = 3
"""So many documents in a row that are no newer than the last: the clock was set back (a restored machine)."""


class MemberClock:
    """Knows by how much to shift a member's moments to get ours; the narrowest poll decides.

    The member read its clock at some time between our question and its answer. So each poll says that the
    shift lies between two bounds; all polls together say that it lies in their intersection, which widens
    with time by what clocks may drift. A poll outside of it tells of another clock: mapping begins anew.
    """

    def __init__(self) -> None:
        self._boot_id = ""
        self._low = 0.0
        self._high = 0.0
        self._seen = float("-inf")
        """The answer's moment, on our clock."""
        self._theirs = float("-inf")
        self._old = 0

    @property
    def shift_seconds(self) -> float:
        """Ours is theirs plus this."""
        return (self._low + self._high) / 2.0

    @property
    def uncertainty_seconds(self) -> float:
        """How far the shift may be off, either way."""
        return (self._high - self._low) / 2.0

    def is_old(self, boot_id: str, theirs: float) -> bool:
        """Tell whether a document is no newer than one before: a copy, or one that came late."""
        if boot_id != self._boot_id or theirs > self._theirs:
            self._old = 0
            return False
        self._old += 1
        return self._old < OLD_LIMIT

    def observe(self, boot_id: str, theirs: float, asked: float, answered: float) -> bool:
        """Take one poll; return False when the member's clock is not the one known so far."""
        low, high = asked - theirs - SLACK_SECONDS, answered - theirs + SLACK_SECONDS
        drift = DRIFT_RATIO * max(0.0, answered - self._seen)
        known = boot_id == self._boot_id and theirs > self._theirs
        same = known and low <= self._high + drift and high >= self._low - drift
        if same:
            low, high = max(low, self._low - drift), min(high, self._high + drift)
        self._boot_id, self._low, self._high = boot_id, low, high
        self._seen, self._theirs, self._old = answered, theirs, 0
        return same
