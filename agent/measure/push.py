"""What is sent by exporters that push: one batch at a time, how the sending went, and what was lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.reading import Reason, SourceError
from agent.measure.row import Row, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DELIVERED = "delivered"
"""The outcome of a push that the receiver took; any other is a Reason."""
OUTCOMES = (
    DELIVERED,
    *(r for r in Reason if r not in {Reason.OVERLAPPED, Reason.RELEASED, Reason.LIBRARY_MISMATCH}),
)


class Loss(StrEnum):
    """Why points never reach a receiver."""

    OVERFLOW = "overflow"  # the receiver was away for longer than the buffer holds: the oldest went
    REFUSED = "refused"  # the receiver did not want them, and would not want them later either
    STOPPED = "stopped"  # rackwatt stopped, or the exporter was removed, before they could be sent


LOSSES = (*Loss,)


@dataclass(frozen=True, slots=True)
class Batch:
    """One snapshot in an exporter's form, ready to be sent."""

    body: bytes
    points: int
    replaces: bool = False
    """It tells all that earlier ones told: those that still wait need not be sent."""
    lost: int = 0
    """Points that could not be kept until this one was made."""


class PushError(SourceError):
    """A push failed for a known reason; says whether the same batch is worth another attempt."""

    def __init__(
        self, reason: Reason, detail: str, *, again: bool = True, after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, detail)
        self.again = again
        self.after_seconds = after_seconds
        """How long the receiver asked to be left alone."""


@dataclass(frozen=True, slots=True)
class PushFigures:
    """How one exporter's pushing has gone since rackwatt started."""

    exporter: str
    pushes: Mapping[str, int] = field(default_factory=dict)
    """By outcome."""
    lost_points: Mapping[Loss, int] = field(default_factory=dict)
    waiting_bytes: int = 0
    """Size of what is still to be sent."""
    last_success_unix_seconds: float | None = None


def push_rows(exporters: Iterable[PushFigures]) -> Iterator[Row]:
    """Yield the rows of each exporter that pushes; counters exist from the start."""
    for told in exporters:
        who = (told.exporter,)
        for outcome in OUTCOMES:
            yield Row("exporter_pushes_total", (*who, outcome), told.pushes.get(outcome, 0))
        for loss in LOSSES:
            yield Row("exporter_lost_points_total", (*who, loss), told.lost_points.get(loss, 0))
        yield Row("exporter_waiting_bytes", who, told.waiting_bytes)
        yield from known("exporter_last_success_timestamp_seconds", who, told.last_success_unix_seconds)
