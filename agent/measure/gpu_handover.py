"""Counters of a GPU go on when another source begins to tell them: nothing is counted twice (T1)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.measure.counters import Counter

WAIT_SECONDS = 90.0
"""A source may lag behind the one before it by three renewals of dcgm-exporter's 30 s."""


class Carry(StrEnum):
    """What to do with a raw value."""

    TAKE = "take"  # the counter that is known, further on
    WAIT = "wait"  # it lags behind what is counted already
    ADOPT = "adopt"  # another counter: go on from where it stands


class Handover:
    """The time after a change of source, for all counters of one GPU."""

    def __init__(self) -> None:
        self._since_seconds: float | None = None
        self.begun = False
        """Whether there was a change at all: without one every raw value is to be taken."""
        self._settled: set[str] = set()

    def begin(self, seconds: float) -> None:
        """Note that from this moment on another source tells."""
        self._since_seconds, self.begun = seconds, True
        self._settled = set()

    def judge(self, key: str, raw: float, counter: Counter | None, seconds: float) -> Carry:
        """Say what the raw value of one counter is.

        Sources of one GPU mostly show the driver's own counter, one of them later than the other: a value
        below what is booked is no restart of the driver, it is an old one.
        """
        if self._since_seconds is None or key in self._settled:
            return Carry.TAKE
        if counter is not None and raw < counter.raw:
            if seconds - self._since_seconds < WAIT_SECONDS:
                return Carry.WAIT
            self._settled.add(key)
            return Carry.ADOPT
        self._settled.add(key)
        return Carry.TAKE
