"""The rack as a server told it: its JSON made into records, whatever the server may send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import MemberFigures, MemberGpu, ModelFigures, RecordFigures
from agent.measure.reading import Reason, SourceError
from agent.top import told
from agent.top.cost_page import CostPage, cost_page
from agent.wire.json_page import parse
from agent.wire.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = 1
MAX_FIGURES = 2 * told.MAX_BOUNDARIES
MAX_INCIDENTS = 64


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
    site: CostPage | None = None
    """What all of it costs and emits; None where nobody set a price."""


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
    nodes, gpus = told.mapping(plain.get("nodes")), told.mapping(plain.get("gpus"))
    return RackPage(
        sequence=told.number(plain.get("sequence")),
        at_unix_seconds=told.number(plain.get("at")),
        rack=told.name(plain.get("rack")),
        of_one=plain.get("of_one") is True,
        window_seconds=told.number(plain.get("window_seconds")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        tokens_total=_by_kind(plain.get("tokens_total")),
        backfilled_tokens_total=_by_kind(plain.get("backfilled_tokens_total")),
        power_watts=told.by_name(plain.get("power_watts")),
        power_sources=_sources(plain.get("power_sources")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        coverage=told.number(plain.get("coverage")),
        standing=_standing(plain),
        standings={
            told.name(figure): _standing(told.mapping(standing))
            for figure, standing in list(told.mapping(plain.get("figures")).items())[:MAX_FIGURES]
        },
        nodes_expected=told.count(nodes.get("expected")),
        nodes_reporting=told.count(nodes.get("reporting")),
        missing=told.names(nodes.get("missing"), None),
        drained=told.names(nodes.get("drained"), None),
        gpus_expected=told.count(gpus.get("expected")),
        gpus_reporting=told.count(gpus.get("reporting")),
        models=tuple(_model(each) for each in told.mappings(plain.get("models"))),
        members=tuple(_member(each) for each in told.mappings(plain.get("members"))),
        record=_record(plain.get("record")),
        incidents=tuple(_trouble(each) for each in told.mappings(plain.get("incidents"))[:MAX_INCIDENTS]),
        limiters=_limiters(told.mappings(plain.get("deployments"))),
        site=cost_page(plain.get("site")),
    )


def _limiters(deployments: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for each in deployments:
        model, limit = told.name(each.get("model")), told.name(told.mapping(each.get("limiter")).get("name"))
        if limit and limit not in found.get(model, ()):
            found[model] = (*found.get(model, ()), limit)
    return found


def _member(plain: dict[str, Any]) -> MemberFigures:
    return MemberFigures(
        node=told.name(plain.get("node")),
        url=told.name(plain.get("url")),
        up=plain.get("up") is True,
        drained=plain.get("drained") is True,
        why=told.sentence(plain.get("why")),
        age_seconds=told.number(plain.get("age_seconds")),
        coverage=told.number(plain.get("coverage")) or 0.0,
        state=told.name(plain.get("state")) or "unknown",
        models=told.names(plain.get("models")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        power_watts=told.by_name(plain.get("power_watts")),
        power_sources=_sources(plain.get("power_sources")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        rate_to_median_ratio=told.number(plain.get("rate_to_median_ratio")),
        gpus=tuple(_gpu(each) for each in told.mappings(plain.get("gpus"))),
        version=told.name(plain.get("version")),
    )


def _gpu(plain: dict[str, Any]) -> MemberGpu:
    throttled = plain.get("throttled")
    reasons = told.names(plain.get("throttle_reasons")) or (("unnamed",) if throttled is True else ())
    return MemberGpu(
        gpu=told.count(plain.get("gpu")),
        uuid=told.name(plain.get("uuid")),
        up=plain.get("up") is True,
        power_watts=told.number(plain.get("power_watts")),
        power_limit_watts=told.number(plain.get("power_limit_watts")),
        temperature_celsius=told.number(plain.get("temperature_celsius")),
        utilization_ratio=told.number(plain.get("utilization_ratio")),
        clock_hertz=told.number(plain.get("clock_hertz")),
        throttled=reasons if isinstance(throttled, bool) else None,
        power_to_median_ratio=told.number(plain.get("power_to_median_ratio")),
    )


def _model(plain: dict[str, Any]) -> ModelFigures:
    requests = told.mapping(plain.get("requests"))
    return ModelFigures(
        model=told.name(plain.get("model")),
        tokens_per_second=_by_kind(plain.get("tokens_per_second")),
        tokens_total=_by_kind(plain.get("tokens_total")),
        tokens_per_joule=_ratios(plain.get("tokens_per_joule")),
        nodes=told.count(plain.get("nodes")),
        running=told.number(requests.get("running")),
        waiting=told.number(requests.get("waiting")),
    )


def _trouble(plain: dict[str, Any]) -> Trouble:
    gpu = told.number(plain.get("gpu"))
    return Trouble(
        kind=told.name(plain.get("kind")),
        cause=told.name(plain.get("cause")),
        severity=told.name(plain.get("severity")),
        node=told.name(plain.get("node")),
        gpu=None if gpu is None else int(gpu),
        started=told.number(plain.get("started")),
        ended=told.number(plain.get("ended")),
        lost_tokens=told.number(plain.get("lost_tokens")),
        summary=told.sentence(plain.get("summary")),
    )


def _record(plain: Any) -> RecordFigures | None:
    record = told.mapping(plain)
    rate = told.number(record.get("tokens_per_second"))
    if rate is None:
        return None
    caveats = tuple(told.sentence(each) for each in told.items(record.get("caveats"))[: told.MAX_PHRASES])
    name, title = told.name(record.get("name")), told.sentence(record.get("title"))
    source = told.sentence(record.get("source"))
    return RecordFigures(name, title, rate, told.number(record.get("ratio")), caveats, source)


def _standing(plain: dict[str, Any]) -> Standing:
    return Standing(
        plain.get("valid") is True,
        told.names(plain.get("reasons")),
        told.names(plain.get("flags")),
        told.number(plain.get("window_seconds")),
    )


def _by_kind(plain: Any) -> dict[TokenKind, float]:
    values = told.mapping(plain)
    return {kind: number for kind in TokenKind if (number := told.number(values.get(kind))) is not None}


def _sources(plain: Any) -> dict[str, str]:
    return {
        told.name(key): told.name(value)
        for key, value in list(told.mapping(plain).items())[: told.MAX_BOUNDARIES]
    }


def _ratios(plain: Any) -> dict[tuple[TokenKind, str], float]:
    boundaries = list(told.mapping(plain).items())[: told.MAX_BOUNDARIES]
    return {
        (kind, told.name(boundary)): ratio
        for boundary, kinds in boundaries
        for kind, ratio in _by_kind(kinds).items()
    }
