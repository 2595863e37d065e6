"""The snapshot as JSON: what `/api/v1/node` and `rackwatt once --json` give."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.gpu import GpuState, PowerScope
from agent.measure.rack_of_one import deployments_of, models_of
from agent.wire.ladder_codec import crosscheck_rows, meter_rows, remainder_rows
from agent.wire.model_codec import by_boundary, deployment_row, model_row

if TYPE_CHECKING:
    from agent.measure.gpu import GpuReading
    from agent.measure.snapshot import EngineFigures, GpuFigures, Snapshot
    from agent.measure.validity import Validity

SCHEMA = 1


def to_json(snapshot: Snapshot, *, indent: bool = False) -> bytes:
    """Encode a snapshot. What is unknown is null or left out, never 0."""
    option = orjson.OPT_INDENT_2 if indent else 0
    return orjson.dumps(to_plain(snapshot), option=option | orjson.OPT_NON_STR_KEYS)


def to_plain(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as plain values."""
    return {
        "schema": SCHEMA,
        "sequence": snapshot.sequence,
        "at": snapshot.at.unix_seconds,
        "node": asdict(snapshot.node),
        "state": snapshot.activity,
        "tokens_per_second": dict(snapshot.tokens_per_second),
        "tokens_per_joule": by_boundary(snapshot.tokens_per_joule),
        "power_watts": {at.boundary: at.power_watts for at in snapshot.boundaries},
        "energy_joules_total": {at.boundary: at.energy_joules_total for at in snapshot.boundaries},
        "power_sources": {at.boundary: at.source for at in snapshot.boundaries},
        "power_remainders": remainder_rows(snapshot.remainders),
        "power_crosschecks": crosscheck_rows(snapshot.crosschecks),
        "meters": meter_rows(snapshot.meters, snapshot.meter_energy),
        "figures": {standing.figure: standing_row(standing) for standing in snapshot.validity},
        "incidents": [asdict(each) for each in snapshot.incidents if each.ended is None],
        "gpus": [_gpu(gpu) for gpu in snapshot.gpus],
        "gpus_absent": snapshot.gpus_absent,
        "engines": [_engine(engine) for engine in snapshot.engines],
        "models": [model_row(model) for model in models_of(snapshot)],
        "deployments": [deployment_row(each) for each in deployments_of(snapshot)],
        "sources": [
            {
                "source": outcome.source,
                "ok": outcome.ok,
                "reason": outcome.reason,
                "detail": outcome.detail,
                "duration_seconds": outcome.duration_seconds,
                "last_success": outcome.last_success_unix_seconds,
            }
            for outcome in snapshot.outcomes
        ],
        "notes": list(snapshot.notes),
    }


def standing_row(standing: Validity) -> dict[str, Any]:
    """Return the standing of one figure as plain values; of a node's and of a rack's."""
    return {
        "valid": standing.valid,
        "reasons": sorted(standing.reasons),
        "flags": sorted(standing.flags),
        "window_seconds": standing.window_seconds,
        "uncertainty_ratio": standing.uncertainty_ratio,
    }


def _gpu(figures: GpuFigures) -> dict[str, Any]:
    plain = {
        "gpu": figures.gpu,
        "uuid": figures.uuid,
        "state": figures.state,
        "energy_joules_total": figures.energy_joules_total,
        "energy_integrated_joules_total": figures.energy_integrated_joules_total,
        "energy_crosscheck": figures.verdict,
        "xid_errors_total": {xid: count for xid, count in figures.xid_errors_total.items() if count},
    }
    reading = figures.reading
    if reading is None:
        return plain
    plain |= {"product": reading.identity.product, "pci": reading.identity.pci, "trouble": reading.trouble}
    return plain if reading.state is not GpuState.OK else plain | _device(reading)


def _device(reading: GpuReading) -> dict[str, Any]:
    power = reading.power.get(PowerScope.GPU)
    return {
        "power_watts": None if power is None else power.average_watts,
        "power_limit_watts": reading.power_limit_watts.get(PowerScope.GPU),
        "utilization_ratio": reading.utilization_ratio,
        "memory_used_bytes": reading.memory_used_bytes,
        "memory_total_bytes": reading.memory_total_bytes,
        "temperature_celsius": dict(reading.temperature_celsius),
        "clock_hertz": dict(reading.clock_hertz),
        "throttled": None if reading.throttle_active is None else sorted(reading.throttle_active),
        "recovery_action": reading.recovery_action,
        "processes": None if reading.processes is None else [asdict(each) for each in reading.processes],
    }


def _engine(figures: EngineFigures) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "engine": figures.engine,
        "engine_instance": figures.instance,
        "model": figures.model,
        "up": figures.up,
        "state": figures.activity,
        "restarts_total": figures.restarts,
        "tokens": [asdict(tokens) for tokens in figures.tokens],
        "counted": sorted(figures.counted),
    }
    reading = figures.reading
    if reading is not None:
        plain |= {
            "role": reading.role,
            "requests": {"running": reading.demand.running, "waiting": reading.demand.waiting},
            "kv_cache_usage_ratio": reading.kv_cache_usage_ratio,
            "read_at": reading.at.unix_seconds,
            "page_first_byte_seconds": reading.at.monotonic_seconds - reading.asked_monotonic_seconds,
        }
    return plain
