"""Incidents as JSON: what `/api/v1/incidents` gives, and what a node tells its rack."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.incident import MOST_TOLD, Bounds, Cause, Evidence, Incident, Kind, Severity
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_EVIDENCE = 4
MOST_PLAIN_EVIDENCE = 16
ROW_LENGTH = 15
"""Of a row as the first rackwatt wrote it; what is lost beside tokens was appended."""
MOST_CHARACTERS = 400
MOST = 2.0**53
"""Larger numbers are no moments, tokens or joules."""
MOST_INDEX = 4096
_ROW = (
    "id",
    "kind",
    "cause",
    "severity",
    "gpu",
    "engine_instance",
    "model",
    "started",
    "detected",
    "ended",
    "lost_tokens",
    "lost_joules",
    "confidence",
    "evidence",
    "summary",
)
"""Fields of an incident in the order of its row."""
_KINDS = {str(each): each for each in Kind}
_CAUSES = {str(each): each for each in Cause}
_SEVERITIES = {str(each): each for each in Severity}


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
        [
            incident.lost_gpu_seconds,
            _pair(incident.lost_tokens_bounds),
            _pair(incident.lost_joules_bounds),
            incident.lost_cost,
            _pair(incident.lost_cost_bounds),
            incident.currency,
        ],
    ]


def of_rows(rows: Iterable[list[Any]], node: str) -> tuple[Incident, ...]:
    """Read the rows of a node's totals, believing nothing. Raises ValueError, TypeError or OverflowError.

    A kind that only a later version knows is not read: its node is in the rack all the same.
    """
    known = [row for row in rows if not isinstance(row[1], str) or row[1] in _KINDS]
    return tuple(_of_row(row, node) for row in known[:MOST_TOLD])


def _of_row(row: list[Any], node: str) -> Incident:
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
    ) = row[:ROW_LENGTH]
    return Incident(
        id=_text(id_),
        scope="node",
        kind=Kind(kind),
        cause=_CAUSES.get(_text(cause), Cause.UNKNOWN),
        severity=_SEVERITIES.get(_text(severity), Severity.WARNING),
        node=node,
        gpu=_index(gpu),
        engine_instance=_text(instance),
        model=_text(model),
        started=_number(started),
        detected=_number(detected),
        ended=_maybe(ended),
        lost_tokens=max(0.0, _number(lost)),
        lost_joules=_maybe(joules),
        confidence=min(max(_number(sure), 0.0), 1.0),
        evidence=tuple(_evidence(each, node) for each in list(told)[:MOST_EVIDENCE]),
        summary=_text(text),
        **_loss(row[ROW_LENGTH] if len(row) > ROW_LENGTH else None),
    )


def of_plain(plain: Any) -> Incident:
    """Read what `to_plain` gave, believing nothing. Raises ValueError, TypeError, KeyError, OverflowError."""
    if not isinstance(plain, dict) or not isinstance(plain["evidence"], list):
        raise TypeError("an incident is an object with evidence")
    row = [plain[name] for name in _ROW]
    row[_ROW.index("evidence")] = []
    evidence = tuple(
        _evidence([each[key] for key in ("metric", "gpu", "before", "during", "text")], _text(each["node"]))
        for each in plain["evidence"][:MOST_PLAIN_EVIDENCE]
    )
    scope = "rack" if plain["scope"] == "rack" else "node"
    told = _of_row(row, _text(plain["node"]))
    recording = _text(plain.get("recording") or "")
    return replace(told, scope=scope, evidence=evidence, recording=recording, **_loss(_loss_of_plain(plain)))


def _loss_of_plain(plain: dict[str, Any]) -> list[Any]:
    """Return what was lost beside tokens in the order of a row; earlier versions told less of it."""
    bounds = [_pair_of_plain(plain.get(f"lost_{what}_bounds")) for what in ("tokens", "joules", "cost")]
    return [
        plain.get("lost_gpu_seconds"),
        bounds[0],
        bounds[1],
        plain.get("lost_cost"),
        bounds[2],
        plain.get("currency") or "",
    ]


def _pair_of_plain(bounds: Any) -> list[Any] | None:
    return None if bounds is None else [bounds["lower"], bounds["upper"]]


def _pair(bounds: Bounds | None) -> list[float] | None:
    return None if bounds is None else [bounds.lower, bounds.upper]


def _loss(told: Any) -> dict[str, Any]:
    """Read what else was lost, of a node that tells it."""
    if told is None:
        return {}
    gpu_seconds, tokens, joules, cost, of_cost, currency = told[:6]
    return {
        "lost_gpu_seconds": _maybe(gpu_seconds),
        "lost_tokens_bounds": _bounds(tokens),
        "lost_joules_bounds": _bounds(joules),
        "lost_cost": _maybe(cost),
        "lost_cost_bounds": _bounds(of_cost),
        "currency": _text(currency),
    }


def _bounds(pair: Any) -> Bounds | None:
    if pair is None:
        return None
    lower, upper = pair
    return Bounds(max(0.0, _number(lower)), max(0.0, _number(upper)))


def _evidence(row: list[Any], node: str) -> Evidence:
    metric, gpu, before, during, text = row
    return Evidence(_text(metric), node, _index(gpu), _maybe(before), _maybe(during), _text(text))


def _maybe(value: Any) -> float | None:
    return None if value is None else _number(value)


def _index(value: Any) -> int | None:
    number = _maybe(value)
    if number is not None and not 0 <= number <= MOST_INDEX:
        raise ValueError(f"{value!r} is no number of a GPU")
    return None if number is None else int(number)


def _number(value: Any) -> float:
    """Return a number of JSON; a text that reads like one is none, and nothing is infinite."""
    if value.__class__ not in {int, float}:
        raise TypeError(f"{value!r} is not a number")
    number = float(value)
    if not abs(number) <= MOST:
        raise ValueError(f"{value!r} is not within 2^53")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return printable(value, MOST_CHARACTERS)
