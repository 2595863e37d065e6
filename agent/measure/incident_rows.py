"""Incidents as rows of the catalogue."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.measure.incident import CAUSES_OF
from agent.measure.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.measure.incident import Incident

KEPT_COUNTS = 4
"""Of a node and of its rack, now and a moment ago."""


def incident_rows(
    incidents: tuple[Incident, ...], counts: Mapping[tuple[str, str, str], tuple[float, float]], scope: str
) -> Iterator[Row]:
    """Yield those that stand, and the counts of all there were; a count exists at 0 from the start."""
    standing: dict[tuple[str, str, str, str, str, str], float] = {}
    for each in incidents:
        if each.ended is None:
            gpu = "" if each.gpu is None else str(each.gpu)
            place = (each.scope, str(each.kind), str(each.cause), str(each.severity), each.node, gpu)
            standing[place] = standing.get(place, 0.0) + 1.0
    for place, number in standing.items():
        yield Row("incident_active", place, number)
    yield from _count_rows(scope, tuple(counts.items()))


@functools.lru_cache(KEPT_COUNTS)
def _count_rows(
    scope: str, counts: tuple[tuple[tuple[str, str, str], tuple[float, float]], ...]
) -> tuple[Row, ...]:
    """Return the counts of every kind and cause: the same ones for as long as nothing happens."""
    every = {
        (scope, str(kind), str(cause)): (0.0, 0.0) for kind, causes in CAUSES_OF.items() for cause in causes
    }
    return tuple(
        row
        for kind_and_cause, (number, lost) in {**every, **dict(counts)}.items()
        for row in (
            Row("incidents_total", kind_and_cause, number),
            Row("incident_lost_tokens_total", (*kind_and_cause, str(TokenKind.OUTPUT)), lost),
        )
    )
