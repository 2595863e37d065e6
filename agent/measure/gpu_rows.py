"""A GPU as rows of the catalogue. Most of what it tells is read seldom, and its rows are kept meanwhile."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from agent.measure.energy import Verdict
from agent.measure.gpu import NO_POWER, RECOVERY_ACTIONS, GpuState, PowerScope
from agent.measure.row import Row, flag_rows, kept, known, state_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from agent.measure.gpu import GpuIdentity, GpuProcess, GpuReading, Placement
    from agent.measure.snapshot import GpuFigures

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
VERDICTS, GPU_STATES = (*Verdict,), (*GpuState, "unknown")
"""Members of these enumerations: to walk an enumeration takes five times as long."""


def gpu_rows(figures: GpuFigures) -> list[Row]:
    """Return the rows of one GPU; most of what it tells is read seldom, and its rows are kept meanwhile."""
    gpu = str(figures.gpu)
    rows = [
        Row("gpu_up", (gpu,), figures.state is GpuState.OK),
        *state_rows("gpu_state", (gpu,), GPU_STATES, figures.state or "unknown"),
        *_gpu_count_rows(gpu, *GPU_COUNTS(figures)),
        *known("gpu_energy_joules_total", (gpu,), figures.energy_joules_total),
        *known("gpu_energy_integrated_joules_total", (gpu,), figures.energy_integrated_joules_total),
    ]
    reading = figures.reading
    if reading is None:
        return rows
    rows += _gpu_info_rows(gpu, figures.sources, reading.identity)
    if reading.state is GpuState.OK:
        rows += state_rows("gpu_energy_crosscheck", (gpu,), VERDICTS, figures.verdict)
        rows += _gauge_rows(gpu, reading)
        rows += _limit_rows(gpu, reading.power_limit_watts)
        rows += _device_rows(gpu, *DEVICE(reading))
        rows += _activity_rows(gpu, *ACTIVITY(reading))
        rows += _health_rows(gpu, *HEALTH(reading))
    return rows


GPU_COUNTS = attrgetter(
    "xid_errors_total",
    "throttled_seconds_total",
    "ecc_errors_total",
    "nvlink_bytes_total",
    "nvlink_errors_total",
    "c2c_errors_total",
    "pcie_replays_total",
)
"""What `_gpu_count_rows` takes, as it is called in the figures of a GPU …"""
DEVICE = attrgetter(
    "memory_used_bytes",
    "memory_total_bytes",
    "memory_reserved_bytes",
    "encoder_busy_ratio",
    "decoder_busy_ratio",
    "thermal_margin_celsius",
    "processes",
)
ACTIVITY = attrgetter(
    "active_ratio",
    "link_bytes_per_second",
    "nvlinks",
    "nvlink_slowest_bytes_per_second",
    "nvlink_worst",
    "c2c_links",
    "c2c_slowest_bytes_per_second",
)
HEALTH = attrgetter("throttle_active", "remapped_rows", "recovery_action", "placement")
"""… and in its reading what those functions take."""


@kept
def _gpu_count_rows(
    gpu: str,
    xids: Mapping[int, float],
    throttled: Mapping[str, float],
    ecc: Mapping[str, float],
    nvlink_bytes: Mapping[str, float],
    nvlink_errors: Mapping[str, float],
    c2c_errors: Mapping[str, float],
    pcie_replays: float | None,
) -> Iterator[Row]:
    for xid, count in xids.items():
        yield Row("gpu_xid_errors_total", (gpu, str(xid)), count)
    for reason, seconds in throttled.items():
        yield Row("gpu_throttled_seconds_total", (gpu, reason), seconds)
    for severity, count in ecc.items():
        yield Row("gpu_ecc_errors_total", (gpu, severity), count)
    for direction, size in nvlink_bytes.items():
        yield Row("gpu_nvlink_bytes_total", (gpu, direction), size)
    for error, count in nvlink_errors.items():
        yield Row("gpu_nvlink_errors_total", (gpu, error), count)
    for error, count in c2c_errors.items():
        yield Row("gpu_c2c_errors_total", (gpu, error), count)
    yield from known("gpu_pcie_replays_total", (gpu,), pcie_replays)


@kept
def _gpu_info_rows(gpu: str, sources: Mapping[str, str], who: GpuIdentity) -> Iterator[Row]:
    for figure, source in sources.items():
        yield Row("gpu_source_info", (gpu, figure, source), 1)
    yield Row("gpu_info", (gpu, who.uuid, who.product, who.serial or "", who.pci, who.driver), 1)


def _gauge_rows(gpu: str, reading: GpuReading) -> list[Row]:
    """Return the rows of what is another number each second."""
    whole = reading.power.get(PowerScope.GPU, NO_POWER)
    memory = reading.power.get(PowerScope.MEMORY, NO_POWER)
    gauges = (
        ("gpu_power_watts", whole.average_watts),
        ("gpu_power_instant_watts", whole.instant_watts),
        ("gpu_memory_power_watts", memory.average_watts),
        ("gpu_utilization_ratio", reading.utilization_ratio),
        ("gpu_memory_busy_ratio", reading.memory_busy_ratio),
    )
    celsius, hertz = reading.temperature_celsius.items(), reading.clock_hertz.items()
    return [
        *[Row(metric, (gpu,), value) for metric, value in gauges if value is not None],
        *[Row("gpu_temperature_celsius", (gpu, sensor), value) for sensor, value in celsius],
        *[Row("gpu_clock_hertz", (gpu, clock), value) for clock, value in hertz],
    ]


@kept
def _limit_rows(gpu: str, watts: Mapping[PowerScope, float]) -> Iterator[Row]:
    yield from known("gpu_power_limit_watts", (gpu,), watts.get(PowerScope.GPU))
    yield from known("gpu_module_power_limit_watts", (gpu,), watts.get(PowerScope.MODULE))


@kept
def _device_rows(
    gpu: str,
    used: float | None,
    total: float | None,
    reserved: float | None,
    encoder: float | None,
    decoder: float | None,
    margin: float | None,
    processes: tuple[GpuProcess, ...] | None,
) -> Iterator[Row]:
    yield from known("gpu_memory_used_bytes", (gpu,), used)
    yield from known("gpu_memory_total_bytes", (gpu,), total)
    yield from known("gpu_memory_reserved_bytes", (gpu,), reserved)
    yield from known("gpu_video_engine_busy_ratio", (gpu, "encoder"), encoder)
    yield from known("gpu_video_engine_busy_ratio", (gpu, "decoder"), decoder)
    yield from known("gpu_thermal_margin_celsius", (gpu,), margin)
    yield from known("gpu_processes", (gpu,), None if processes is None else len(processes))


@kept
def _activity_rows(
    gpu: str,
    active: Mapping[str, float],
    links: Mapping[str, float],
    nvlinks: Mapping[str, int],
    slowest: float | None,
    worst: tuple[int, int] | None,
    c2c: Mapping[str, int],
    slowest_c2c: float | None,
) -> Iterator[Row]:
    for unit, ratio in active.items():
        if unit in NAMED_UNITS:
            yield Row(NAMED_UNITS[unit], (gpu,), ratio)
        else:
            yield Row("gpu_unit_active_ratio", (gpu, unit), ratio)
    for way, rate in links.items():
        link, _, direction = way.partition("_")
        yield Row("gpu_link_bytes_per_second", (gpu, link, direction), rate)
    for state, number in nvlinks.items():
        yield Row("gpu_nvlinks", (gpu, state), number)
    yield from known("gpu_nvlink_slowest_bytes_per_second", (gpu,), slowest)
    if worst is not None:
        link_number, recoveries = worst
        yield Row("gpu_nvlink_worst_recoveries", (gpu, str(link_number)), recoveries)
    for state, number in c2c.items():
        yield Row("gpu_c2c_links", (gpu, state), number)
    yield from known("gpu_c2c_slowest_bytes_per_second", (gpu,), slowest_c2c)


@kept
def _health_rows(
    gpu: str,
    throttling: frozenset[str] | None,
    remapped: Mapping[str, int],
    action: str | None,
    placement: Placement | None,
) -> Iterator[Row]:
    if throttling is not None:
        reasons = tuple(sorted(THROTTLE_REASONS | throttling))
        yield from flag_rows("gpu_throttled", (gpu,), reasons, throttling)
    for kind, count in remapped.items():
        yield Row("gpu_remapped_rows", (gpu, kind), count)
    if action is not None:
        actions = tuple(dict.fromkeys((*RECOVERY_ACTIONS, action)))
        yield from state_rows("gpu_recovery_action", (gpu,), actions, action)
    if placement is not None:
        yield from _placement_rows(gpu, placement)


def _placement_rows(gpu: str, placed: Placement) -> list[Row]:
    """Return where a GPU stands and what its fabric is in."""
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
    return rows
