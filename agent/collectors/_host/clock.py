"""What the kernel knows of its wall clock: adjtimex(2), which anybody may ask."""

from __future__ import annotations

import ctypes
import os
from typing import ClassVar

from agent.measure.host import HostClock

UNSYNCHRONIZED = 0x40
"""STA_UNSYNC: set while no time service keeps the clock."""
DISCIPLINED = 0x1
"""STA_PLL: the kernel's own loop corrects the clock, so that its offset means something."""
NANOSECONDS = 0x2000
"""STA_NANO: the offset is in nanoseconds, not microseconds."""
MICROSECOND, NANOSECOND = 1e-6, 1e-9


class Timex(ctypes.Structure):
    """`struct timex` of the kernel, as far as its status; the rest is room for the kernel to write to."""

    _fields_: ClassVar = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    ]


class KernelClock:
    """Asks the kernel, through the C library that this process has anyway."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._told = Timex()
        self.trouble = ""
        """Why the kernel did not tell when it was asked last."""

    def ask(self) -> HostClock | None:
        """Return what the kernel says; None where even to ask is forbidden."""
        told = self._told
        told.modes = 0  # asks, and changes nothing
        try:
            refused = self._library.adjtimex(ctypes.byref(told)) < 0
        except AttributeError:
            self.trouble = "only Linux has it"
            return None
        self.trouble = os.strerror(ctypes.get_errno()) if refused else ""
        return None if refused else clock_of(told.status, told.offset, told.maxerror)


def clock_of(status: int, offset: int, most_error: int) -> HostClock:
    """Return what the fields mean; the bound of the error is always in microseconds."""
    unit = NANOSECOND if status & NANOSECONDS else MICROSECOND
    return HostClock(
        synchronized=not status & UNSYNCHRONIZED,
        error_bound_seconds=max(0, most_error) * MICROSECOND,
        offset_seconds=offset * unit if status & DISCIPLINED else None,
    )
