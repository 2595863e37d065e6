"""Energy: integrated from power, and the cross-check of the driver's counter against it (T9)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

POWER_GAP_SECONDS = 3.0
"""Power is integrated only over gaps up to this long; nobody knows what happened in a longer one."""
MEAN_LAG_SECONDS = 0.5
"""The mean of the last second speaks of half a second ago: its integral is the energy up to then. Else a load
that steps would show at a module half a second later than at its GPUs, and the module draw less than they."""
CHECK_SECONDS = 60.0
"""Length of a cross-check window: the counter moves every 100 ms and single seconds are noise."""
CHECK_RATIO = 0.05
"""Counter and integral may differ by this share of the energy …"""
CHECK_LAG_SECONDS = 1.5
"""… or by this many seconds of the window's power swing (the reading is a one-second mean, and late)."""
CHECK_WINDOWS = 2
"""So many windows in a row must mismatch."""
CUT_WINDOWS = 3
"""After so many windows in a row that a gap cut short the counter is unverified: a source that is read
less often than every POWER_GAP_SECONDS never fills one."""
IDLE_FACTOR = 1.3
"""Below this multiple of idle power the check says nothing: idle counters are known to disagree."""
IDLE_SHARE = 0.2
"""Idle power is at most this share of the limit: a GPU that is never seen idle is checked all the same."""


def trapezoid_joules(
    from_seconds: float,
    from_watts: float,
    to_seconds: float,
    to_watts: float,
    gap_seconds: float = POWER_GAP_SECONDS,
) -> float | None:
    """Integrate power between two samples; None when they are out of order or too far apart."""
    elapsed = to_seconds - from_seconds
    if not 0.0 < elapsed <= gap_seconds:
        return None
    return (from_watts + to_watts) / 2.0 * elapsed


class PowerIntegral:
    """The running integral of one power reading: gives the joules that each new sample adds."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._watts = 0.0

    def add(self, seconds: float, watts: float, gap_seconds: float = POWER_GAP_SECONDS) -> float | None:
        """Take a sample in watts at a monotonic moment; return the joules since the last one.

        None when nobody knows them: it is the first sample, or the last is too long ago. A sample that is
        not newer adds 0.
        """
        joules = None
        if self._seconds is not None:
            if seconds <= self._seconds:
                return 0.0
            joules = trapezoid_joules(self._seconds, self._watts, seconds, watts, gap_seconds)
        self._seconds, self._watts = seconds, watts
        return joules


class Verdict(StrEnum):
    """What the cross-check says of one GPU's energy counter."""

    UNKNOWN = "unknown"  # no full window yet
    AGREES = "agrees"
    MISMATCH = "mismatch"
    UNVERIFIED = "unverified"  # only instant power, or gaps: it cannot be integrated honestly


@dataclass(slots=True)
class _Window:
    began: float
    counter: float
    integral: float
    low: float
    high: float


class CrossCheck:
    """Compares counter and integral of one GPU over windows of CHECK_SECONDS."""

    def __init__(self) -> None:
        self.verdict = Verdict.UNKNOWN
        self._window: _Window | None = None
        self._idle_watts = float("inf")
        self._misses = 0
        self._cuts = 0

    def add(
        self,
        seconds: float,
        counter_joules: float,
        integral_joules: float,
        watts: float,
        limit_watts: float | None = None,
    ) -> Verdict:
        """Take both running totals and the present mean power; return the verdict so far."""
        self._idle_watts = min(self._idle_watts, watts, IDLE_SHARE * (limit_watts or float("inf")))
        window = self._window
        if window is None:
            self._window = _Window(seconds, counter_joules, integral_joules, watts, watts)
            return self.verdict
        window.low, window.high = min(window.low, watts), max(window.high, watts)
        if seconds - window.began >= CHECK_SECONDS:
            self._judge(window, seconds, counter_joules, integral_joules)
            self._window = _Window(seconds, counter_joules, integral_joules, watts, watts)
        return self.verdict

    def restart(self) -> None:
        """Forget the open window: a gap or a counter reset lies in it."""
        if self._window is not None:
            self._cuts += 1
        self._window = None
        if self._cuts >= CUT_WINDOWS:
            self.doubt()

    def doubt(self) -> None:
        """Say that nothing verifies the counter now; a mismatch stands until a window agrees."""
        if self.verdict is not Verdict.MISMATCH:
            self.verdict = Verdict.UNVERIFIED

    def _judge(self, window: _Window, seconds: float, counter: float, integral: float) -> None:
        self._cuts = 0
        by_counter, by_power = counter - window.counter, integral - window.integral
        if max(by_counter, by_power) / (seconds - window.began) < IDLE_FACTOR * self._idle_watts:
            return
        allowed = max(CHECK_RATIO * by_counter, CHECK_LAG_SECONDS * (window.high - window.low))
        self._misses = self._misses + 1 if abs(by_counter - by_power) > allowed else 0
        if self._misses == 0:
            self.verdict = Verdict.AGREES
        elif self._misses >= CHECK_WINDOWS:
            self.verdict = Verdict.MISMATCH
