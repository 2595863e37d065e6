"""Xid errors of every GPU, told by NVML events and by the kernel log, each event counted once."""

from __future__ import annotations

import functools
import re
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.gpu import GpuIdentity

FELL_OFF = 79
SAME_FALL_SECONDS = 60.0
"""The kernel repeats "fallen off the bus" for one fall; a GPU cannot fall twice within a reset's time."""

ADDRESS = r"(?:PCI:)?([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.[0-7])?"
XID_LINE = re.compile(rf"NVRM: Xid \({ADDRESS}\): (\d+)")
FALL_LINE = re.compile(rf"NVRM: .*?{ADDRESS}.*fallen off the bus")

NONE: Mapping[int, int] = {}

Address = tuple[int, int, int]
"""PCI domain, bus, device."""


@functools.lru_cache(maxsize=256)
def address(pci: str) -> Address | None:
    """Read a PCI bus id as NVML or the kernel prints it; they differ in the width of the domain."""
    found = re.match(ADDRESS, pci)
    return None if found is None else (int(found[1], 16), int(found[2], 16), int(found[3], 16))


def parse(line: str) -> tuple[Address, int | None] | None:
    """Read a line of the kernel log: whose, and which Xid; None for a fall without a number."""
    found = XID_LINE.search(line)
    xid = int(found[4]) if found else None
    found = found or FALL_LINE.search(line)
    return None if found is None else ((int(found[1], 16), int(found[2], 16), int(found[3], 16)), xid)


class Tally:
    """Counts since this process started; survives re-init, release and the loss of a GPU.

    Both tellers count alone and the greater is believed: an event told by both counts once, and one
    that only the kernel saw (79: the GPU was gone before NVML could say it) is not lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._lines: defaultdict[Address, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._falls: dict[Address, tuple[int, float]] = {}
        self._told = 0
        self._last: dict[str | Address, tuple[int, int]] = {}
        """By whose: how many had been told by then, and which Xid it was."""

    def event(self, uuid: str, xid: int) -> None:
        """Count an event that NVML told."""
        with self._lock:
            self._events[uuid][xid] += 1
            self._remember(uuid, xid)

    def line(self, text: str, now_seconds: float) -> None:
        """Count a line of the kernel log, if it is of an Xid."""
        found = parse(text)
        if found is None:
            return
        whose, xid = found
        with self._lock:
            self._remember(whose, FELL_OFF if xid is None else xid)
            if xid is not None:
                self._lines[whose][xid] += 1
                return
            falls, last = self._falls.get(whose, (0, float("-inf")))
            self._falls[whose] = (falls + (now_seconds - last > SAME_FALL_SECONDS), now_seconds)

    def _remember(self, whose: str | Address, xid: int) -> None:
        self._told += 1
        self._last[whose] = (self._told, xid)

    @property
    def silent(self) -> bool:
        """Whether no Xid was told of any GPU."""
        return not self._told

    def last(self, gpu: GpuIdentity) -> int:
        """Return the Xid that was told last of a GPU, 0 before the first."""
        if not self._told:
            return 0
        with self._lock:
            tellers = [self._last.get(gpu.uuid, (0, 0))]
            whose = address(gpu.pci)
            if whose is not None:
                tellers.append(self._last.get(whose, (0, 0)))
            return max(tellers)[1]

    def of(self, gpu: GpuIdentity) -> Mapping[int, int]:
        """Return the count of each Xid of a GPU."""
        if not self._told:
            return NONE
        with self._lock:
            counts = dict(self._events.get(gpu.uuid, {}))
            whose = address(gpu.pci)
            if whose is None:
                return counts
            for xid, lines in self._lines.get(whose, {}).items():
                counts[xid] = max(counts.get(xid, 0), lines)
            if whose in self._falls:
                counts[FELL_OFF] = max(counts.get(FELL_OFF, 0), self._falls[whose][0])
            return counts
