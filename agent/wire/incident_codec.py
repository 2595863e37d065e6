"""Incidents as JSON: what `/api/v1/incidents` gives, and what a node tells its rack."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_EVIDENCE = 4
MOST_CHARACTERS = 400


def to_json(incidents: Iterable[Incident]) -> bytes:
    """Encode incidents, the newest first."""
    return orjson.dumps({"incidents": [to_plain(each) for each in incidents]})


def to_plain(incident: Incident) -> dict[str, Any]:
    """Return an incident as plain values; what is unknown is null."""
    return asdict(incident)


def row_of(incident: Incident) -> list[Any]:
    """Return an incident as the row of a node's totals."""
    evidence = [
        [each.metric, each.gpu, each.before, each.during, each.text]
        for each in incident.evidence[:MOST_EVIDENCE]
    ]
    return [
        incident.id,
        incident.kind,
        incident.cause,
        incident.severity,
        incident.gpu,
        incident.engine_instance,
        incident.model,
        incident.started,
        incident.detected,
        incident.ended,
        incident.lost_tokens,
        incident.lost_joules,
        incident.confidence,
        evidence,
        incident.summary,
    ]


def of_row(row: list[Any], node: str) -> Incident:
    """Read the row of a node's totals, believing nothing. Raises ValueError, TypeError or IndexError."""
    (
        id_,
        kind,
        cause,
        severity,
        gpu,
        instance,
        model,
        started,
        detected,
        ended,
        lost,
        joules,
        sure,
        told,
        text,
    ) = row[:15]
    return Incident(
        id=_text(id_),
        scope="node",
        kind=Kind(kind),
        cause=Cause(cause) if cause in set(Cause) else Cause.UNKNOWN,
        severity=Severity(severity),
        node=node,
        gpu=None if gpu is None else int(gpu),
        engine_instance=_text(instance),
        model=_text(model),
        started=float(started),
        detected=float(detected),
        ended=_maybe(ended),
        lost_tokens=max(0.0, float(lost)),
        lost_joules=_maybe(joules),
        confidence=min(max(float(sure), 0.0), 1.0),
        evidence=tuple(_evidence(each, node) for each in list(told)[:MOST_EVIDENCE]),
        summary=_text(text),
    )


def _evidence(row: list[Any], node: str) -> Evidence:
    metric, gpu, before, during, text = row
    return Evidence(
        _text(metric), node, None if gpu is None else int(gpu), _maybe(before), _maybe(during), _text(text)
    )


def _maybe(value: Any) -> float | None:
    return None if value is None else float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return printable(value)[:MOST_CHARACTERS]
