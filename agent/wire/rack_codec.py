"""The rack as JSON: what `/api/v1/rack` and the event stream give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.rack_snapshot import RATE
from agent.wire import incident_codec
from agent.wire.codec import standing_row
from agent.wire.ladder_codec import crosscheck_rows, remainder_rows, site_row
from agent.wire.model_codec import by_boundary, deployment_row, model_row

if TYPE_CHECKING:
    from agent.measure.incident import Incident
    from agent.measure.rack_snapshot import MemberFigures, MemberGpu, RackSnapshot, RecordFigures

SCHEMA = 1
LATELY_SECONDS = 900.0
"""Incidents that ended are shown for so long; `/api/v1/incidents` has more of them."""
MOST_SHOWN = 20


def to_json(rack: RackSnapshot, *, indent: bool = False) -> bytes:
    """Encode a rack. What is unknown is null or left out, never 0."""
    option = orjson.OPT_INDENT_2 if indent else 0
    return orjson.dumps(to_plain(rack), option=option | orjson.OPT_NON_STR_KEYS)


def figures_to_json(rack: RackSnapshot) -> bytes:
    """Encode a rack without its members, which are most of it where there are hundreds."""
    return orjson.dumps(_figures(rack), option=orjson.OPT_NON_STR_KEYS)


def lately(rack: RackSnapshot) -> list[Incident]:
    """Return the incidents that stand, then those that ended lately."""
    since = rack.at.unix_seconds - LATELY_SECONDS
    young = [each for each in rack.incidents if each.ended is None or each.ended >= since]
    return sorted(young, key=lambda each: (each.ended is not None, -each.started))[:MOST_SHOWN]


def to_plain(rack: RackSnapshot) -> dict[str, Any]:
    """Return a rack as plain values."""
    return {**_figures(rack), "members": [_member(member) for member in rack.members]}


def _figures(rack: RackSnapshot) -> dict[str, Any]:
    rate = next((standing for standing in rack.validity if standing.figure == RATE), None)
    return {
        "schema": SCHEMA,
        "sequence": rack.sequence,
        "rack": rack.rack,
        "of_one": rack.of_one,
        "at": rack.at.unix_seconds,
        "window_seconds": rack.window_seconds,
        "window_end": _window_end(rack),
        "tokens_per_second": dict(rack.tokens_per_second),
        "tokens_total": dict(rack.tokens_total),
        "backfilled_tokens_total": dict(rack.backfilled_tokens_total),
        "power_watts": dict(rack.power_watts),
        "power_sources": dict(rack.power_sources),
        "energy_joules_total": dict(rack.energy_joules_total),
        "tokens_per_joule": by_boundary(rack.tokens_per_joule),
        "power_remainders": remainder_rows(rack.remainders),
        "power_coverage": dict(rack.power_coverage),
        "power_crosschecks": crosscheck_rows(rack.crosschecks),
        "site": site_row(rack.site),
        "coverage": rack.coverage,
        "valid": rack.valid,
        "reasons": [] if rate is None else sorted(rate.reasons),
        "figures": {standing.figure: standing_row(standing) for standing in rack.validity},
        "incidents": [incident_codec.to_plain(each) for each in lately(rack)],
        "nodes": {
            "expected": rack.nodes_expected,
            "reporting": rack.nodes_reporting,
            "missing": list(rack.missing),
            "drained": list(rack.drained),
        },
        "gpus": {"expected": rack.gpus_expected, "reporting": rack.gpus_reporting},
        "models": [model_row(model) for model in rack.models],
        "deployments": [deployment_row(each) for each in rack.deployments],
        "record": None if rack.record is None else _record(rack.record),
    }


def _window_end(rack: RackSnapshot) -> float | None:
    """Return when the window of the rates ended, in Unix seconds."""
    end, at = rack.window_end_monotonic_seconds, rack.at
    return None if end is None else at.unix_seconds - (at.monotonic_seconds - end)


def _record(record: RecordFigures) -> dict[str, Any]:
    return {
        "name": record.name,
        "title": record.title,
        "tokens_per_second": record.tokens_per_second,
        "ratio": record.ratio,
        "caveats": list(record.caveats),
        "source": record.source,
    }


def _member(member: MemberFigures) -> dict[str, Any]:
    return {
        "node": member.node,
        "url": member.url,
        "up": member.up,
        "drained": member.drained,
        "why": member.why,
        "age_seconds": member.age_seconds,
        "coverage": member.coverage,
        "state": member.state,
        "models": list(member.models),
        "spans_nodes": member.spans_nodes,
        "tokens_per_second": dict(member.tokens_per_second),
        "power_watts": dict(member.power_watts),
        "power_sources": dict(member.power_sources),
        "tokens_per_joule": by_boundary(member.tokens_per_joule),
        "rate_to_median_ratio": member.rate_to_median_ratio,
        "version": member.version,
        "gpus": [_gpu(gpu) for gpu in member.gpus],
    }


def _gpu(gpu: MemberGpu) -> dict[str, Any]:
    return {
        "gpu": gpu.gpu,
        "uuid": gpu.uuid,
        "up": gpu.up,
        "power_watts": gpu.power_watts,
        "power_limit_watts": gpu.power_limit_watts,
        "temperature_celsius": gpu.temperature_celsius,
        "utilization_ratio": gpu.utilization_ratio,
        "clock_hertz": gpu.clock_hertz,
        "throttled": None if gpu.throttled is None else bool(gpu.throttled),
        "throttle_reasons": None if gpu.throttled is None else list(gpu.throttled),
        "power_to_median_ratio": gpu.power_to_median_ratio,
    }
