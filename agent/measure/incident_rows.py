"""Incidents as rows of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.incident import CAUSES_OF
from agent.measure.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.measure.incident import Incident


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
    every = {
        (scope, str(kind), str(cause)): (0.0, 0.0) for kind, causes in CAUSES_OF.items() for cause in causes
    }
    for kind_and_cause, (number, lost) in {**every, **counts}.items():
        yield Row("incidents_total", kind_and_cause, number)
        yield Row("incident_lost_tokens_total", kind_and_cause, lost)
