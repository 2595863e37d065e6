"""Xids of every GPU, counted from the dated events that a host engine keeps (T12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._dcgm.library import Sample

FELL_OFF = 79
REMEMBERED = 1024
"""So many events of one GPU are told from new ones; a host engine keeps those of some minutes."""


class Heard:
    """What was heard of one GPU since this process first asked.

    A host engine keeps events for whoever asks next, also of the time before: what stands there when we first
    look is past. An event is known by its time stamp, so that none counts twice, however often it is shown.
    """

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.last = 0
        """0 before the first."""
        self._known: list[tuple[float, int]] | None = None
        """None until it was first looked at."""

    def hear(self, kept: Sequence[Sample]) -> None:
        """Take the events that the host engine keeps now."""
        shown = {
            (sample.unix_seconds, int(sample.value))
            for sample in kept
            if isinstance(sample.value, int | float) and sample.value > 0
        }
        new = sorted(shown.difference(self._known or ()))
        for _, xid in new if self._known is not None else ():
            self.counts = {**self.counts, xid: self.counts.get(xid, 0) + 1}
            self.last = xid
        self._known = [*(self._known or ()), *new][-REMEMBERED:]

    @property
    def fell(self) -> bool:
        """Whether it fell off the bus."""
        return FELL_OFF in self.counts
