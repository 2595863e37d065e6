"""A node's totals as JSON: what `/api/v1/node?view=totals` gives and the `peers` collector reads.

Rows are positional, so that four GPUs and two engines stay below 4 KB. A later version may append to a
row; what is appended is not read. Moments are on the node's own monotonic clock, in seconds.

    node        [name, rack, chassis, tray, domain, spans nodes, [kind of which it makes none, ...],
                GPUs that it should have and never saw]
    origin      [boot id, run, ledger]
    now         [monotonic, Unix, monotonic moment of the snapshot]
    tokens      [model, kind, total]
    engines     [engine, instance, [model, ...], up, activity, on finish, cadence, reset moment, running,
                waiting, [[kind, moment, value, spread, step], ...], counts output,
                place of its deployment]
    boundaries  [boundary, source, joules, moment, hole's end, cadence, watts, [reason, ...], [flag, ...]]
    gpus        [gpu, uuid, up, watts, limit watts, celsius, utilization ratio, sm hertz, [reason, ...],
                 [active NVLinks, bytes per second of the slowest] or null]
    incidents   [id, kind, cause, severity, gpu, engine instance, model, started, detected, ended (Unix),
                lost tokens, lost joules, confidence, [[metric, gpu, before, during, text], ...], summary,
                [lost GPU seconds, bounds of tokens, bounds of joules, lost cost, bounds of cost, currency]]
    deployments [deployment, model, gpus, whole, since, [reason, ...], [boundary row, ...],
                [limiter, share, text] or null]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.engine import TokenKind
from agent.measure.limiter import Limit, Limiter, LimitEvidence
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.reading import Moment, Reason, SourceError
from agent.measure.series import Point
from agent.measure.snapshot import Activity, NodeIdentity, Origin
from agent.measure.totals import BoundaryTotals, DeploymentTotals, EngineTotals, NodeTotals
from agent.measure.validity import Flag, Invalid
from agent.wire import incident_codec
from agent.wire.text import LABEL_CHARACTERS, printable, words

if TYPE_CHECKING:
    from agent.measure.incident import Incident

SCHEMA = 1
MOST_ROWS = 2048
"""Of any list: a node names at most 1,024 models times kinds, and has far fewer of anything else."""
LARGEST = 2.0**53
"""Beyond it a float skips whole numbers: no total is that large (a rack makes 2^50 tokens in 30 years)."""
CLOCK_SLACK_SECONDS = 1.0
"""No moment lies further in its own node's future."""
COLDEST_CELSIUS = -273.15
_KINDS = {kind.value: kind for kind in TokenKind}
_ACTIVITIES = {activity.value: activity for activity in Activity}
_REASONS = {reason.value: reason for reason in Invalid}
_LIMITS = {limit.value: limit for limit in Limit}
_FLAGS = {flag.value: flag for flag in Flag}


class _WrongError(Exception):
    """A phrase that says what is wrong, and where."""


def to_json(totals: NodeTotals) -> bytes:
    """Encode the totals of a node."""
    node, origin = totals.node, totals.origin
    return orjson.dumps(
        {
            "schema": SCHEMA,
            "node": [
                *(node.name, node.rack, node.chassis, node.tray, node.domain),
                *(totals.spans_nodes, sorted(totals.zeros), totals.gpus_absent),
            ],
            "version": totals.version,
            "origin": [origin.boot_id, origin.run, origin.ledger],
            "sequence": totals.sequence,
            "now": [totals.at.monotonic_seconds, totals.at.unix_seconds, totals.reckoned_seconds],
            "activity": totals.activity,
            "drained": totals.drained,
            "tokens": [[model, kind, total] for (model, kind), total in totals.tokens.items()],
            "engines": [_engine_row(engine) for engine in totals.engines],
            "boundaries": [_boundary_row(at) for at in totals.boundaries],
            "gpus": [_gpu_row(gpu) for gpu in totals.gpus],
            "deployments": [_deployment_row(each) for each in totals.deployments],
            "incidents": [incident_codec.row_of(each) for each in totals.incidents],
        }
    )


def _engine_row(engine: EngineTotals) -> list[Any]:
    live = [
        [kind, point.seconds, point.value, point.spread_seconds, point.step]
        for kind, point in engine.live.items()
    ]
    return [
        engine.engine,
        engine.instance,
        engine.models,
        engine.up,
        engine.activity,
        engine.on_finish,
        engine.cadence_seconds,
        engine.reset_seconds,
        engine.running,
        engine.waiting,
        live,
        engine.counts_output,
        engine.deployment,
    ]


def _boundary_row(at: BoundaryTotals) -> list[Any]:
    return [
        at.boundary,
        at.source,
        at.joules,
        at.at_seconds,
        at.since_seconds,
        at.cadence_seconds,
        at.power_watts,
        sorted(at.reasons),
        sorted(at.flags),
    ]


def _deployment_row(each: DeploymentTotals) -> list[Any]:
    energies = [_boundary_row(at) for at in each.energies]
    about = [each.deployment, each.model, each.gpus, each.whole, each.since_seconds]
    return [*about, sorted(each.reasons), energies, _limiter_row(each.limiter)]


def _limiter_row(limiter: Limiter | None) -> list[Any] | None:
    if limiter is None:
        return None
    return [limiter.name, limiter.share, limiter.evidence[0].text if limiter.evidence else ""]


def _gpu_row(gpu: MemberGpu) -> list[Any]:
    row = [
        gpu.gpu,
        gpu.uuid,
        gpu.up,
        gpu.power_watts,
        gpu.power_limit_watts,
        gpu.temperature_celsius,
        gpu.utilization_ratio,
        gpu.clock_hertz,
        gpu.throttled,
    ]
    links = [gpu.nvlinks_active, gpu.nvlink_slowest_bytes_per_second]
    return [*row, None if links == [None, None] else links]


def from_json(body: bytes) -> NodeTotals:
    """Decode the totals of a node, believing nothing. Raises SourceError."""
    try:
        plain = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError(Reason.MALFORMED, f"not JSON ({words(str(error))}): is it a rackwatt?") from error
    if not isinstance(plain, dict) or "schema" not in plain:
        raise SourceError(Reason.MALFORMED, "not the totals of a node: is it a rackwatt?")
    if plain["schema"] != SCHEMA:
        shown = words(str(plain["schema"]), 20)
        raise SourceError(
            Reason.UNSUPPORTED,
            f"totals of schema {shown}, this rackwatt ({SCHEMA}) knows only its own: run one version of both",
        )
    try:
        return _totals(plain)
    except _WrongError as error:
        raise SourceError(Reason.MALFORMED, f"totals of a node: {error}") from error


def _totals(plain: dict[str, Any]) -> NodeTotals:
    monotonic, unix, reckoned = _row(plain.get("now"), "now", 3)
    at = Moment(_number(monotonic, "now"), _number(unix, "now"))
    drained = plain.get("drained")
    boot_id, run, ledger = (_text(each, "origin") for each in _row(plain.get("origin"), "origin", 3))
    if not ledger:
        raise _WrongError("origin: names no ledger")
    latest = at.monotonic_seconds + CLOCK_SLACK_SECONDS
    *names, spans, zeros, absent = _row(plain.get("node"), "node", 5, (False, [], 0))
    name, rack, chassis, tray, domain = (_text(each, "node") for each in names)
    if not name:
        raise _WrongError("node: has no name")
    return NodeTotals(
        node=NodeIdentity(name, rack, chassis, tray, domain),
        version=_text(plain.get("version"), "version"),
        origin=Origin(boot_id, run, ledger),
        sequence=int(_number(plain.get("sequence"), "sequence")),
        at=at,
        reckoned_seconds=_moment(reckoned, latest, "now"),
        activity=_activity(plain.get("activity")),
        drained=None if drained is None else _text(drained, "drained"),
        tokens=_tokens(plain.get("tokens")),
        engines=tuple(
            _engine(row, latest) for row in _rows(plain.get("engines"), "engines", 11, (True, None))
        ),
        boundaries=tuple(_boundary(row, latest) for row in _rows(plain.get("boundaries"), "boundaries", 9)),
        gpus=tuple(_gpu(row) for row in _rows(plain.get("gpus"), "gpus", 9, (None,))),
        zeros=frozenset(_KINDS[kind] for kind in _texts(zeros, "node") if kind in _KINDS),
        spans_nodes=_flag(spans, "node"),
        gpus_absent=int(min(_number(absent, "node"), MOST_ROWS)),
        deployments=tuple(
            _deployment(row, latest) for row in _rows(plain.get("deployments", []), "deployments", 7, (None,))
        ),
        incidents=_incidents(_rows(plain.get("incidents", []), "incidents", 15, (None,)), name),
    )


def _tokens(plain: Any) -> dict[tuple[str, TokenKind], float]:
    return {
        (_text(model, "tokens"), _KINDS[kind]): _number(total, "tokens")
        for model, kind, total in _rows(plain, "tokens", 3)
        if kind.__class__ is str and kind in _KINDS
    }


def _engine(row: list[Any], latest: float) -> EngineTotals:
    (
        engine,
        instance,
        models,
        up,
        activity,
        on_finish,
        cadence,
        reset,
        running,
        waiting,
        live,
        output,
        place,
    ) = row
    return EngineTotals(
        engine=_text(engine, "engines"),
        instance=_text(instance, "engines"),
        models=tuple(_text(model, "engines") for model in _list(models, "engines")),
        up=_flag(up, "engines"),
        activity=_activity(activity),
        on_finish=_flag(on_finish, "engines"),
        cadence_seconds=_number(cadence, "engines"),
        reset_seconds=_maybe(reset, "engines"),
        running=_maybe(running, "engines"),
        waiting=_maybe(waiting, "engines"),
        live={
            _KINDS[kind]: Point(
                _moment(seconds, latest, "engines"),
                _number(value, "engines"),
                _number(spread, "engines"),
                _number(step, "engines"),
            )
            for kind, seconds, value, spread, step in _rows(live, "engines", 5)
            if kind.__class__ is str and kind in _KINDS
        },
        counts_output=_flag(output, "engines"),
        deployment=None if place is None else int(_number(place, "engines")),
    )


def _boundary(row: list[Any], latest: float) -> BoundaryTotals:
    boundary, source, joules, moment, since, cadence, watts, reasons, flags = row
    where = "boundaries"
    return BoundaryTotals(
        boundary=_text(boundary, where),
        source=_text(source, where),
        joules=_number(joules, where),
        at_seconds=_moment(moment, latest, where),
        since_seconds=_maybe(since, where),
        cadence_seconds=_number(cadence, where),
        power_watts=_maybe(watts, where),
        reasons=_reasons(reasons, where),
        flags=frozenset(_FLAGS[flag] for flag in _texts(flags, where) if flag in _FLAGS),
    )


def _deployment(row: list[Any], latest: float) -> DeploymentTotals:
    deployment, model, gpus, whole, since, reasons, energies, limiter = row
    where = "deployments"
    return DeploymentTotals(
        deployment=_text(deployment, where),
        model=_text(model, where),
        gpus=int(_number(gpus, where)),
        whole=_flag(whole, where),
        since_seconds=_number(since, where),
        reasons=_reasons(reasons, where),
        energies=tuple(_boundary(each, latest) for each in _rows(energies, where, 9)),
        limiter=None if limiter is None else _limiter(_row(limiter, where, 3), where),
    )


def _limiter(row: list[Any], where: str) -> Limiter:
    """Read what bounds a deployment; a limit that only a later version knows is unknown."""
    name, share, text = row
    told = _text(text, where)
    evidence = (LimitEvidence("deployment_limiter", None, None, None, told),) if told else ()
    return Limiter(_LIMITS.get(_text(name, where), Limit.UNKNOWN), _maybe(share, where), evidence)


def _incidents(rows: list[list[Any]], node: str) -> tuple[Incident, ...]:
    try:
        return incident_codec.of_rows(rows, node)
    except (ValueError, TypeError, OverflowError) as error:
        raise _WrongError(f"incidents: {words(str(error))}") from error


def _reasons(value: Any, where: str) -> frozenset[Invalid]:
    return frozenset(_REASONS.get(reason, Invalid.MEMBER_MISSING) for reason in _texts(value, where))


def _gpu(row: list[Any]) -> MemberGpu:
    gpu, uuid, up, watts, limit, celsius, utilization, hertz, throttled, links = row
    where = "gpus"
    active, slowest = (None, None) if links is None else _row(links, where, 2)
    return MemberGpu(
        gpu=int(_number(gpu, where)),
        uuid=_text(uuid, where),
        up=_flag(up, where),
        power_watts=_maybe(watts, where),
        power_limit_watts=_maybe(limit, where),
        temperature_celsius=_celsius(celsius, where),
        utilization_ratio=_maybe(utilization, where),
        clock_hertz=_maybe(hertz, where),
        throttled=None if throttled is None else tuple(_texts(throttled, where)),
        nvlinks_active=None if active is None else int(_number(active, where)),
        nvlink_slowest_bytes_per_second=_maybe(slowest, where),
    )


def _list(value: Any, where: str) -> list[Any]:
    if value.__class__ is not list or len(value) > MOST_ROWS:
        raise _WrongError(f"{where}: not a list of at most {MOST_ROWS} items")
    return value


def _texts(value: Any, where: str) -> list[str]:
    return [_text(each, where) for each in _list(value, where)]


def _row(value: Any, where: str, length: int, appended: tuple[Any, ...] = ()) -> list[Any]:
    """Return the values of a row; those `appended` later have a default for nodes that do not tell them."""
    if value.__class__ is not list or len(value) < length:
        raise _WrongError(f"{where}: not a row of {length} values")
    return [*value[: length + len(appended)], *appended[max(0, len(value) - length) :]]


def _rows(value: Any, where: str, length: int, appended: tuple[Any, ...] = ()) -> list[list[Any]]:
    return [_row(each, where, length, appended) for each in _list(value, where)]


def _text(value: Any, where: str) -> str:
    if value.__class__ is not str:
        raise _WrongError(f"{where}: {_shown(value)} is not text")
    if len(value) <= LABEL_CHARACTERS and value.isprintable():
        return value
    return printable(value)


def _number(value: Any, where: str) -> float:
    if value.__class__ is float or value.__class__ is int:
        if 0.0 <= value <= LARGEST:
            return float(value)
        raise _WrongError(f"{where}: {_shown(value)} is not between 0 and 2^53")
    raise _WrongError(f"{where}: {_shown(value)} is not a number")


def _maybe(value: Any, where: str) -> float | None:
    return None if value is None else _number(value, where)


def _celsius(value: Any, where: str) -> float | None:
    """Return a temperature: the one number that may be below zero."""
    if value.__class__ in (int, float) and COLDEST_CELSIUS <= value < 0.0:
        return float(value)
    return _maybe(value, where)


def _moment(value: Any, latest: float, where: str) -> float:
    seconds = _number(value, where)
    if seconds > latest:
        raise _WrongError(f"{where}: a moment after the node's own clock")
    return seconds


def _flag(value: Any, where: str) -> bool:
    if value.__class__ is not bool:
        raise _WrongError(f"{where}: {_shown(value)} is neither true nor false")
    return value


def _activity(value: Any) -> Activity:
    return _ACTIVITIES.get(value, Activity.UNKNOWN) if value.__class__ is str else Activity.UNKNOWN


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, dict | list) else ascii(words(str(value), 40))
