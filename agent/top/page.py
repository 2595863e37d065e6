"""The rack as a server told it: its JSON made into records, whatever the server may send."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import MemberFigures, MemberGpu, ModelFigures, RecordFigures
from agent.measure.reading import Reason, SourceError
from agent.wire.json_page import parse
from agent.wire.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
NAME_CHARACTERS = 128  # of a node, model, boundary or reason
SENTENCE_CHARACTERS = 240  # of a why, a title or a caveat
MAX_BOUNDARIES = 8  # there are five; more would push everything else off the screen
MAX_FIGURES = 2 * MAX_BOUNDARIES
MAX_INCIDENTS = 64
MAX_PHRASES = 16  # reasons, flags, caveats and models in one place


@dataclass(frozen=True, slots=True)
class Standing:
    """What speaks against one figure, in the server's words: a newer one may know more of them than we do."""

    valid: bool
    reasons: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    window_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """An incident in the server's words: a newer one may know more kinds and causes than we do."""

    kind: str
    cause: str
    severity: str
    node: str
    gpu: int | None
    started: float | None
    ended: float | None
    """Unix seconds; None while it stands."""
    lost_tokens: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class RackPage:
    """`/api/v1/rack`, checked and bounded; every string in it can be printed."""

    sequence: float | None
    at_unix_seconds: float | None
    rack: str
    of_one: bool
    window_seconds: float | None
    tokens_per_second: Mapping[TokenKind, float]
    tokens_total: Mapping[TokenKind, float]
    backfilled_tokens_total: Mapping[TokenKind, float]
    power_watts: Mapping[str, float]
    power_sources: Mapping[str, str]
    tokens_per_joule: Mapping[tuple[TokenKind, str], float]
    coverage: float | None
    standing: Standing
    """Of the rate of output tokens."""
    standings: Mapping[str, Standing]
    nodes_expected: int
    nodes_reporting: int
    missing: tuple[str, ...]
    drained: tuple[str, ...]
    gpus_expected: int
    gpus_reporting: int
    models: tuple[ModelFigures, ...]
    members: tuple[MemberFigures, ...]
    record: RecordFigures | None
    incidents: tuple[Trouble, ...] = ()
    limiters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What bounds the deployments of each model, by name."""


def read(body: bytes) -> RackPage:
    """Return what the page says. Raises SourceError for what is no page of a rack."""
    plain = parse(body)
    if not isinstance(plain, dict) or "schema" not in plain or not isinstance(plain.get("members"), list):
        raise SourceError(Reason.MALFORMED, "it answers JSON, but not that of a rackwatt's rack")
    if plain["schema"] != SCHEMA:
        said = words(str(plain["schema"]), 16)
        raise SourceError(
            Reason.UNSUPPORTED,
            f"it speaks schema {said}, this rackwatt knows {SCHEMA}: upgrade the older one",
        )
    return _page_of(plain)


def _page_of(plain: dict[str, Any]) -> RackPage:
    nodes, gpus = _dict(plain.get("nodes")), _dict(plain.get("gpus"))
    return RackPage(
        sequence=_number(plain.get("sequence")),
        at_unix_seconds=_number(plain.get("at")),
        rack=_name(plain.get("rack")),
        of_one=plain.get("of_one") is True,
        window_seconds=_number(plain.get("window_seconds")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        tokens_total=_by_kind(plain.get("tokens_total")),
        backfilled_tokens_total=_by_kind(plain.get("backfilled_tokens_total")),
        power_watts=_by_name(plain.get("power_watts")),
        power_sources=_sources(plain.get("power_sources")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        coverage=_number(plain.get("coverage")),
        standing=_standing(plain),
        standings={
            _name(figure): _standing(_dict(standing))
            for figure, standing in list(_dict(plain.get("figures")).items())[:MAX_FIGURES]
        },
        nodes_expected=_count(nodes.get("expected")),
        nodes_reporting=_count(nodes.get("reporting")),
        missing=_names(nodes.get("missing"), None),
        drained=_names(nodes.get("drained"), None),
        gpus_expected=_count(gpus.get("expected")),
        gpus_reporting=_count(gpus.get("reporting")),
        models=tuple(_model(each) for each in _dicts(plain.get("models"))),
        members=tuple(_member(each) for each in _dicts(plain.get("members"))),
        record=_record(plain.get("record")),
        incidents=tuple(_trouble(each) for each in _dicts(plain.get("incidents"))[:MAX_INCIDENTS]),
        limiters=_limiters(_dicts(plain.get("deployments"))),
    )


def _limiters(deployments: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in deployments:
        model, limit = _name(each.get("model")), _name(_dict(each.get("limiter")).get("name"))
        if limit and limit not in found.get(model, ()):
            found[model] = (*found.get(model, ()), limit)
    return found


def _member(plain: dict[str, Any]) -> MemberFigures:
    return MemberFigures(
        node=_name(plain.get("node")),
        url=_name(plain.get("url")),
        up=plain.get("up") is True,
        drained=plain.get("drained") is True,
        why=_sentence(plain.get("why")),
        age_seconds=_number(plain.get("age_seconds")),
        coverage=_number(plain.get("coverage")) or 0.0,
        state=_name(plain.get("state")) or "unknown",
        models=_names(plain.get("models")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        power_watts=_by_name(plain.get("power_watts")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        rate_to_median_ratio=_number(plain.get("rate_to_median_ratio")),
        gpus=tuple(_gpu(each) for each in _dicts(plain.get("gpus"))),
        version=_name(plain.get("version")),
    )


def _gpu(plain: dict[str, Any]) -> MemberGpu:
    throttled = plain.get("throttled")
    reasons = _names(plain.get("throttle_reasons")) or (("unnamed",) if throttled is True else ())
    return MemberGpu(
        gpu=_count(plain.get("gpu")),
        uuid=_name(plain.get("uuid")),
        up=plain.get("up") is True,
        power_watts=_number(plain.get("power_watts")),
        power_limit_watts=_number(plain.get("power_limit_watts")),
        temperature_celsius=_number(plain.get("temperature_celsius")),
        utilization_ratio=_number(plain.get("utilization_ratio")),
        clock_hertz=_number(plain.get("clock_hertz")),
        throttled=reasons if isinstance(throttled, bool) else None,
        power_to_median_ratio=_number(plain.get("power_to_median_ratio")),
    )


def _model(plain: dict[str, Any]) -> ModelFigures:
    requests = _dict(plain.get("requests"))
    return ModelFigures(
        model=_name(plain.get("model")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        tokens_total=_by_kind(plain.get("tokens_total")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        nodes=_count(plain.get("nodes")),
        running=_number(requests.get("running")),
        waiting=_number(requests.get("waiting")),
    )


def _trouble(plain: dict[str, Any]) -> Trouble:
    gpu = _number(plain.get("gpu"))
    return Trouble(
        kind=_name(plain.get("kind")),
        cause=_name(plain.get("cause")),
        severity=_name(plain.get("severity")),
        node=_name(plain.get("node")),
        gpu=None if gpu is None else int(gpu),
        started=_number(plain.get("started")),
        ended=_number(plain.get("ended")),
        lost_tokens=_number(plain.get("lost_tokens")),
        summary=_sentence(plain.get("summary")),
    )


def _record(plain: Any) -> RecordFigures | None:
    record = _dict(plain)
    rate = _number(record.get("tokens_per_second"))
    if rate is None:
        return None
    caveats = tuple(_sentence(each) for each in _list(record.get("caveats"))[:MAX_PHRASES])
    name, title = _name(record.get("name")), _sentence(record.get("title"))
    source = _sentence(record.get("source"))
    return RecordFigures(name, title, rate, _number(record.get("ratio")), caveats, source)


def _standing(plain: dict[str, Any]) -> Standing:
    return Standing(
        plain.get("valid") is True,
        _names(plain.get("reasons")),
        _names(plain.get("flags")),
        _number(plain.get("window_seconds")),
    )


def _by_kind(plain: Any) -> dict[TokenKind, float]:
    values = _dict(plain)
    return {kind: number for kind in TokenKind if (number := _number(values.get(kind))) is not None}


def _by_name(plain: Any) -> dict[str, float]:
    items = list(_dict(plain).items())[:MAX_BOUNDARIES]
    return {_name(key): number for key, value in items if (number := _number(value)) is not None}


def _sources(plain: Any) -> dict[str, str]:
    return {_name(key): _name(value) for key, value in list(_dict(plain).items())[:MAX_BOUNDARIES]}


def _ratios(plain: Any) -> dict[tuple[TokenKind, str], float]:
    boundaries = list(_dict(plain).items())[:MAX_BOUNDARIES]
    return {
        (kind, _name(boundary)): ratio
        for boundary, kinds in boundaries
        for kind, ratio in _by_kind(kinds).items()
    }


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: Any) -> int:
    number = _number(value)
    return 0 if number is None else int(number)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _names(value: Any, most: int | None = MAX_PHRASES) -> tuple[str, ...]:
    return tuple(_name(item) for item in _list(value)[:most])


def _name(value: Any) -> str:
    return words(value, NAME_CHARACTERS) if isinstance(value, str) else ""


def _sentence(value: Any) -> str:
    return words(value, SENTENCE_CHARACTERS) if isinstance(value, str) else ""
