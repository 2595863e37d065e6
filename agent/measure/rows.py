"""A snapshot as rows of the catalogue: what every exporter renders."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from agent.measure.deployment_rows import counted_rows, deployment_rows
from agent.measure.energy import Verdict
from agent.measure.engine_work import OUTCOMES
from agent.measure.environment import environment_rows
from agent.measure.gpu import RECOVERY_ACTIONS, GpuState, PowerScope
from agent.measure.host_rows import host_rows
from agent.measure.incident_rows import incident_rows
from agent.measure.push import push_rows
from agent.measure.rack_rows import model_rows, rack_rows
from agent.measure.reading import Reason
from agent.measure.row import Row, count_rows, flag_rows, known, state_rows
from agent.measure.service_rows import deployment_service_rows, service_rows
from agent.measure.site_rows import site_rows
from agent.measure.snapshot import Activity
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.measure.gpu import GpuReading, Placement
    from agent.measure.reading import Cost, Outcome
    from agent.measure.snapshot import EngineFigures, GpuFigures, Snapshot

THROTTLE_REASONS = frozenset(
    {
        "sw_power_cap",
        "hw_slowdown",
        "sync_boost",
        "sw_thermal_slowdown",
        "hw_thermal_slowdown",
        "hw_power_brake_slowdown",
    }
)
"""Reasons whose state is exported even before they first hold."""


NAMED_UNITS = {
    "sm": "gpu_sm_active_ratio",
    "sm_occupancy": "gpu_sm_occupancy_ratio",
    "tensor": "gpu_tensor_active_ratio",
    "dram": "gpu_memory_bandwidth_ratio",
}
"""Units that have a metric of their own."""
ACTIVITIES, INVALIDS, FLAGS = (*Activity,), (*Invalid,), (*Flag,)
VERDICTS, REASONS = (*Verdict,), (*Reason,)
GPU_STATES = (*GpuState, "unknown")
"""Members of these enumerations: to walk an enumeration takes five times as long."""
KEPT_PLACES = 64
"""GPUs of which the rows of their place are kept."""


def rows_of(snapshot: Snapshot) -> list[Row]:
    """Return every row of a snapshot. Unknown is left out, never 0."""
    rows = [Row("build_info", (snapshot.version, snapshot.revision), 1)]
    rows += _node_rows(snapshot)
    rows += _validity_rows(snapshot)
    for gpu in snapshot.gpus:
        rows += _gpu_rows(gpu)
    rows += _owner_rows(snapshot)
    rows += host_rows(snapshot)
    rows += environment_rows(snapshot.environment)
    for engine in snapshot.engines:
        rows += _engine_rows(engine)
    rows += counted_rows(snapshot.engines)
    rows += deployment_rows(snapshot)
    rows += _collector_rows(snapshot.outcomes)
    rows += _cost_rows(snapshot.costs)
    rows += push_rows(snapshot.pushes)
    rows += model_rows(snapshot.models)
    rows += service_rows(snapshot.services)
    rows += deployment_service_rows(snapshot.deployment_services)
    rows += incident_rows(snapshot.incidents, snapshot.incident_counts, "node")
    rows += [Row(name, (), value) for name, value in snapshot.self_gauges.items()]
    if snapshot.rack is not None:
        rows += rack_rows(snapshot.rack)
    return rows


def _node_rows(snapshot: Snapshot) -> Iterator[Row]:
    node = snapshot.node
    yield Row("node_info", (node.name, node.rack, node.chassis, node.tray, node.domain), 1)
    yield Row("node_drained", (), snapshot.drained is not None)
    if expected := len(snapshot.gpus) + snapshot.gpus_absent:
        yield Row("node_gpus_expected", (), expected)
        yield Row("node_gpus_reporting", (), sum(gpu.state is GpuState.OK for gpu in snapshot.gpus))
    yield from state_rows("node_state", (), ACTIVITIES, snapshot.activity)
    for kind, rate in snapshot.tokens_per_second.items():
        yield Row("node_tokens_per_second", (kind,), rate)
    for (kind, boundary), ratio in snapshot.tokens_per_joule.items():
        yield Row("node_tokens_per_joule", (kind, boundary), ratio)
    yield from _meter_rows(snapshot)
    yield from site_rows(snapshot.site)


def _meter_rows(snapshot: Snapshot) -> Iterator[Row]:
    for at in snapshot.boundaries:
        yield from known("power_watts", (at.boundary, at.source), at.power_watts)
        yield from known("energy_joules_total", (at.boundary, at.source), at.energy_joules_total)
    for rest in snapshot.remainders:
        yield from known("power_remainder_watts", (rest.boundary, rest.inner), rest.power_watts)
    for meter, up in snapshot.meters.items():
        yield Row("meter_up", meter, up)
    for labels, watts in snapshot.crosschecks.items():
        yield Row("power_crosscheck_watts", labels, watts)
    for part in snapshot.parts:
        of_part = (part.part, part.unit, part.source)
        yield from known("part_power_watts", of_part, part.power_watts)
        yield from known("part_energy_joules_total", of_part, part.energy_joules_total)


def _validity_rows(snapshot: Snapshot) -> Iterator[Row]:
    of_rack = () if snapshot.rack is None else snapshot.rack.validity
    for standing in (*snapshot.validity, *of_rack):
        figure = standing.figure
        yield Row("figure_valid", (figure,), standing.valid)
        yield from flag_rows("figure_invalid_reason", (figure,), INVALIDS, standing.reasons)
        yield from flag_rows("figure_flag", (figure,), FLAGS, standing.flags)
        yield Row("figure_window_seconds", (figure,), standing.window_seconds)
        yield from known("figure_uncertainty_ratio", (figure,), standing.uncertainty_ratio)


def _gpu_rows(figures: GpuFigures) -> Iterator[Row]:
    gpu = str(figures.gpu)
    yield Row("gpu_up", (gpu,), figures.state is GpuState.OK)
    state = "unknown" if figures.state is None else figures.state
    yield from state_rows("gpu_state", (gpu,), GPU_STATES, state)
    yield from _gpu_count_rows(gpu, figures)
    reading = figures.reading
    if reading is None:
        return
    for figure, source in figures.sources.items():
        yield Row("gpu_source_info", (gpu, figure, source), 1)
    who = reading.identity
    yield Row("gpu_info", (gpu, who.uuid, who.product, who.serial or "", who.pci, who.driver), 1)
    if reading.state is GpuState.OK:
        yield from state_rows("gpu_energy_crosscheck", (gpu,), VERDICTS, figures.verdict)
        yield from _power_rows(gpu, reading)
        yield from _device_rows(gpu, reading)
        yield from _activity_rows(gpu, reading)
        yield from _health_rows(gpu, reading)


def _gpu_count_rows(gpu: str, figures: GpuFigures) -> Iterator[Row]:
    xids = tuple([(str(xid), count) for xid, count in figures.xid_errors_total.items()])
    yield from count_rows("gpu_xid_errors_total", (gpu,), xids)
    yield from known("gpu_energy_joules_total", (gpu,), figures.energy_joules_total)
    yield from known("gpu_energy_integrated_joules_total", (gpu,), figures.energy_integrated_joules_total)
    for reason, seconds in figures.throttled_seconds_total.items():
        yield Row("gpu_throttled_seconds_total", (gpu, reason), seconds)
    yield from count_rows("gpu_ecc_errors_total", (gpu,), tuple(figures.ecc_errors_total.items()))
    for direction, size in figures.nvlink_bytes_total.items():
        yield Row("gpu_nvlink_bytes_total", (gpu, direction), size)
    yield from count_rows("gpu_nvlink_errors_total", (gpu,), tuple(figures.nvlink_errors_total.items()))
    yield from count_rows("gpu_c2c_errors_total", (gpu,), tuple(figures.c2c_errors_total.items()))
    yield from known("gpu_pcie_replays_total", (gpu,), figures.pcie_replays_total)


def _owner_rows(snapshot: Snapshot) -> Iterator[Row]:
    numbers = {gpu.uuid: str(gpu.gpu) for gpu in snapshot.gpus}
    for who in snapshot.owners:
        if who.uuid in numbers:
            yield Row("gpu_owner_info", (numbers[who.uuid], who.mig, who.namespace, who.pod, who.job_id), 1)


def _power_rows(gpu: str, reading: GpuReading) -> Iterator[Row]:
    whole, memory = reading.power.get(PowerScope.GPU), reading.power.get(PowerScope.MEMORY)
    if whole is not None:
        yield from known("gpu_power_watts", (gpu,), whole.average_watts)
        yield from known("gpu_power_instant_watts", (gpu,), whole.instant_watts)
    if memory is not None:
        yield from known("gpu_memory_power_watts", (gpu,), memory.average_watts)
    limits = reading.power_limit_watts
    yield from known("gpu_power_limit_watts", (gpu,), limits.get(PowerScope.GPU))
    yield from known("gpu_module_power_limit_watts", (gpu,), limits.get(PowerScope.MODULE))


def _device_rows(gpu: str, reading: GpuReading) -> Iterator[Row]:
    yield from known("gpu_utilization_ratio", (gpu,), reading.utilization_ratio)
    yield from known("gpu_memory_used_bytes", (gpu,), reading.memory_used_bytes)
    yield from known("gpu_memory_total_bytes", (gpu,), reading.memory_total_bytes)
    yield from known("gpu_memory_reserved_bytes", (gpu,), reading.memory_reserved_bytes)
    yield from known("gpu_memory_busy_ratio", (gpu,), reading.memory_busy_ratio)
    yield from known("gpu_video_engine_busy_ratio", (gpu, "encoder"), reading.encoder_busy_ratio)
    yield from known("gpu_video_engine_busy_ratio", (gpu, "decoder"), reading.decoder_busy_ratio)
    for sensor, celsius in reading.temperature_celsius.items():
        yield Row("gpu_temperature_celsius", (gpu, sensor), celsius)
    yield from known("gpu_thermal_margin_celsius", (gpu,), reading.thermal_margin_celsius)
    for clock, hertz in reading.clock_hertz.items():
        yield Row("gpu_clock_hertz", (gpu, clock), hertz)
    if reading.processes is not None:
        yield Row("gpu_processes", (gpu,), len(reading.processes))


def _activity_rows(gpu: str, reading: GpuReading) -> Iterator[Row]:
    for unit, ratio in reading.active_ratio.items():
        if unit in NAMED_UNITS:
            yield Row(NAMED_UNITS[unit], (gpu,), ratio)
        else:
            yield Row("gpu_unit_active_ratio", (gpu, unit), ratio)
    for way, rate in reading.link_bytes_per_second.items():
        link, _, direction = way.partition("_")
        yield Row("gpu_link_bytes_per_second", (gpu, link, direction), rate)
    yield from count_rows("gpu_nvlinks", (gpu,), tuple(reading.nvlinks.items()))
    slowest = reading.nvlink_slowest_bytes_per_second
    yield from known("gpu_nvlink_slowest_bytes_per_second", (gpu,), slowest)
    if reading.nvlink_worst is not None:
        worst, recoveries = reading.nvlink_worst
        yield Row("gpu_nvlink_worst_recoveries", (gpu, str(worst)), recoveries)
    yield from count_rows("gpu_c2c_links", (gpu,), tuple(reading.c2c_links.items()))
    yield from known("gpu_c2c_slowest_bytes_per_second", (gpu,), reading.c2c_slowest_bytes_per_second)


def _health_rows(gpu: str, reading: GpuReading) -> Iterator[Row]:
    if reading.throttle_active is not None:
        reasons = tuple(sorted(THROTTLE_REASONS | reading.throttle_active))
        yield from flag_rows("gpu_throttled", (gpu,), reasons, reading.throttle_active)
    yield from count_rows("gpu_remapped_rows", (gpu,), tuple(reading.remapped_rows.items()))
    if reading.recovery_action is not None:
        actions = tuple(dict.fromkeys((*RECOVERY_ACTIONS, reading.recovery_action)))
        yield from state_rows("gpu_recovery_action", (gpu,), actions, reading.recovery_action)
    if reading.placement is not None:
        yield from _placement_rows(gpu, reading.placement)


@functools.lru_cache(KEPT_PLACES)
def _placement_rows(gpu: str, placed: Placement) -> tuple[Row, ...]:
    """Return where a GPU stands and what its fabric is in: the same rows from page to page."""
    where = (placed.chassis_serial, placed.slot, placed.tray, placed.host, placed.module)
    rows = []
    if any(each is not None for each in where):
        texts = ("" if each is None else str(each) for each in where)
        rows.append(Row("gpu_placement_info", (gpu, *texts), 1))
    if placed.fabric_state is not None:
        clique = "" if placed.clique is None else str(placed.clique)
        rows.append(Row("gpu_fabric_info", (gpu, placed.cluster_uuid or "", clique, placed.fabric_state), 1))
    rows += known("gpu_fabric_healthy", (gpu,), placed.fabric_healthy)
    rows += [Row("gpu_fabric_trouble", (gpu, trouble), 1) for trouble in sorted(placed.fabric_troubles)]
    return tuple(rows)


def _engine_rows(figures: EngineFigures) -> Iterator[Row]:
    who = (figures.engine, figures.instance, figures.model)
    yield Row("engine_up", who, figures.up)
    yield from state_rows("engine_state", who, ACTIVITIES, figures.activity)
    yield Row("engine_restarts_total", who, figures.restarts)
    for tokens in figures.tokens:
        series = (figures.engine, figures.instance, tokens.model, tokens.kind)
        yield Row("engine_tokens_total", series, tokens.total)
        yield Row("engine_tokens_unobserved_total", series, tokens.unobserved)
        yield from known("engine_tokens_uncertainty", series, tokens.uncertainty)
        yield from known("engine_tokens_per_second", series, tokens.per_second)
    yield from known("engine_arrivals_total", who, figures.work.get("arrivals"))
    yield from known("engine_preemptions_total", who, figures.work.get("preemptions"))
    for outcome in OUTCOMES:
        yield from known("engine_requests_finished_total", (*who, outcome), figures.work.get(outcome))
    reading = figures.reading
    if reading is None:
        return
    yield from known("engine_requests", (*who, "running"), reading.demand.running)
    yield from known("engine_requests", (*who, "waiting"), reading.demand.waiting)
    yield from known("engine_kv_cache_usage_ratio", who, reading.kv_cache_usage_ratio)
    yield Row("engine_rate_live", who, reading.live)
    yield Row("engine_window_seconds", who, figures.window_seconds)
    first_byte = reading.at.monotonic_seconds - reading.asked_monotonic_seconds
    yield Row("engine_page_first_byte_seconds", who, first_byte)
    yield Row("engine_page_bytes", who, reading.page_bytes)


def _collector_rows(outcomes: Iterable[Outcome]) -> Iterator[Row]:
    """Fold the sources of each collector into one: all must succeed, the worst counts."""
    by_collector: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_collector.setdefault(_collector(outcome.source), []).append(outcome)
    for collector, group in by_collector.items():
        yield Row("collector_success", (collector,), all(outcome.ok for outcome in group))
        longest = max(outcome.duration_seconds for outcome in group)
        yield Row("collector_duration_seconds", (collector,), longest)
        successes = [outcome.last_success_unix_seconds for outcome in group]
        if None not in successes:
            oldest = min(moment for moment in successes if moment is not None)
            yield Row("collector_last_success_timestamp_seconds", (collector,), oldest)
        failures: dict[str, float] = dict.fromkeys(REASONS, 0)
        for outcome in group:
            for reason, count in outcome.failures.items():
                failures[reason] += count
        yield from count_rows("collector_failures_total", (collector,), tuple(failures.items()))


def _cost_rows(by_source: Mapping[str, Mapping[str, Cost]]) -> Iterator[Row]:
    """Add up what the sources of each collector have cost."""
    calls: dict[tuple[str, str], int] = {}
    seconds: dict[tuple[str, str], float] = {}
    for source, costs in by_source.items():
        for function, cost in costs.items():
            labels = (_collector(source), function)
            calls[labels] = calls.get(labels, 0) + cost.calls
            seconds[labels] = seconds.get(labels, 0.0) + cost.seconds
    for labels, count in calls.items():
        yield Row("source_calls_total", labels, count)
        yield Row("source_call_seconds_total", labels, seconds[labels])


def _collector(source: str) -> str:
    return source.partition("/")[0]
