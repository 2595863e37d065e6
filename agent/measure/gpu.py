"""What a GPU source says of one GPU. Counters here are raw: the ledger turns them into totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.quick import quick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment


RECOVERY_ACTIONS = (
    "none",
    "gpu_reset",
    "node_reboot",
    "drain_p2p",
    "drain_and_reset",
    "recover_imex_domain",
    "bus_reset",
    "system_reboot",
)
"""What a driver may ask for, in the order of NVML's numbers (field 230)."""

UNITS = ("graphics", "sm", "sm_occupancy", "tensor", "dram", "fp64", "fp32", "fp16")
"""Units of a GPU whose activity can be told by hardware counters."""


class GpuState(StrEnum):
    """Whether a GPU answers its driver."""

    OK = "ok"
    LOST = "lost"  # fell off the bus (NVML 15); only a reset or reboot brings it back
    RESET_REQUIRED = "reset_required"  # NVML 16
    WEDGED = "wedged"  # a driver call for it did not return within its deadline
    FAILED = "failed"  # the driver answers with errors


class PowerScope(StrEnum):
    """What a power reading covers; scopes contain each other and are never added (T7)."""

    GPU = "gpu"  # the GPU and its circuitry, memory included
    MODULE = "module"  # the superchip: both GPUs, the Grace CPU and regulators (T8)
    MEMORY = "memory"  # a part of GPU


@dataclass(frozen=True, slots=True)
class GpuIdentity:
    """Who a GPU is, for as long as the driver runs."""

    uuid: str
    product: str
    pci: str
    """PCI bus id as NVML prints it, e.g. 00000008:06:00.0."""
    driver: str
    serial: str | None = None
    """Board serial; the two GPUs of a superchip share it."""
    minor: int | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """Power of one scope in watts; None is unsupported or failed, never 0."""

    average_watts: float | None = None
    """Mean of the last second (NVML field 185, nvmlDeviceGetPowerUsage)."""
    instant_watts: float | None = None
    """NVML field 186: a short window, aliases with periodic load; never integrated when a mean exists."""


NO_POWER = Power()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a GPU sits: rack, tray and NVLink domain, as NVML tells it (Blackwell and later)."""

    chassis_serial: str | None = None
    slot: int | None = None
    tray: int | None = None
    host: int | None = None
    module: int | None = None
    """Module id printed on the board; not the device index."""
    cluster_uuid: str | None = None
    """NVLink domain; None when all zero (no multi-node fabric)."""
    clique: int | None = None
    fabric_state: str | None = None
    """unsupported, not_started, in_progress or completed."""
    fabric_healthy: bool | None = None
    fabric_troubles: frozenset[str] = frozenset()
    """What its health mask says is wrong: degraded_bandwidth, route_unhealthy, insufficient_nvlinks, …"""


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process with a compute context on a GPU."""

    pid: int
    memory_bytes: int | None
    mig: str = ""
    """GPU instance and compute instance, as in `1/0`; empty on a GPU that is not divided, or not told."""


@quick
@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU at one moment; everything it could not tell is None or missing from its mapping."""

    identity: GpuIdentity
    at: Moment
    """Taken between the energy and the power call of this GPU."""
    state: GpuState = GpuState.OK
    trouble: str = ""
    """What is wrong and what to do, when `state` is not OK."""
    power: Mapping[PowerScope, Power] = field(default_factory=dict)
    energy_joules: float | None = None
    """Raw, since the driver was loaded (NVML field 83)."""
    power_limit_watts: Mapping[PowerScope, float] = field(default_factory=dict)
    utilization_ratio: float | None = None
    memory_busy_ratio: float | None = None
    """Share of time in which its memory was read or written."""
    active_ratio: Mapping[str, float] = field(default_factory=dict)
    """Share of its peak at which a unit worked, by UNITS."""
    link_bytes_per_second: Mapping[str, float] = field(default_factory=dict)
    """By link (nvlink, pcie, c2c) and direction as the GPU sees it: nvlink_tx."""
    encoder_busy_ratio: float | None = None
    decoder_busy_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    memory_reserved_bytes: float | None = None
    """Kept by the driver; None where it counts that as used."""
    temperature_celsius: Mapping[str, float] = field(default_factory=dict)
    """By sensor: gpu, memory."""
    thermal_margin_celsius: float | None = None
    """Degrees to the nearest slowdown threshold."""
    clock_hertz: Mapping[str, float] = field(default_factory=dict)
    """By clock: graphics, sm, memory, video."""
    throttle_active: frozenset[str] | None = None
    """Clock event reasons that hold now (idle excluded); None is unknown."""
    clock_event_mask: int | None = None
    """The same as NVML's bit mask, idle included."""
    throttled_seconds: Mapping[str, float] = field(default_factory=dict)
    """Raw, by reason."""
    ecc_errors: Mapping[str, int] = field(default_factory=dict)
    """Raw since boot, by severity: corrected, uncorrected."""
    remapped_rows: Mapping[str, int] = field(default_factory=dict)
    """By kind: correctable, uncorrectable, pending, failure."""
    nvlink_bytes: Mapping[str, float] = field(default_factory=dict)
    """Raw over all links, by direction: tx, rx."""
    nvlink_errors: Mapping[str, float] = field(default_factory=dict)
    """Raw over all links, by kind."""
    nvlinks: Mapping[str, int] = field(default_factory=dict)
    """Links by state: active, sleep, inactive, traffic_disabled."""
    nvlink_slowest_bytes_per_second: float | None = None
    """Speed of the slowest link that is active, in one direction."""
    nvlink_worst: tuple[int, int] | None = None
    """The link that had to recover most often since the driver was loaded, and how often."""
    c2c_links: Mapping[str, int] = field(default_factory=dict)
    """Links to the CPU of its superchip by state: active, low_power, inactive."""
    c2c_slowest_bytes_per_second: float | None = None
    """Speed of the slowest of them that is up."""
    c2c_errors: Mapping[str, float] = field(default_factory=dict)
    """Raw over all of them, by kind: interrupt, replay, replay_b2b."""
    pcie_replays: int | None = None
    """Raw, since the driver was loaded."""
    recovery_action: str | None = None
    """What NVML recommends: none, gpu_reset, node_reboot, drain_p2p, drain_and_reset, …"""
    xid_errors: Mapping[int, int] = field(default_factory=dict)
    """Events counted by this process since it started, by Xid."""
    last_xid: int | None = None
    """The newest of them, 0 before the first; None when nobody would have told of one."""
    placement: Placement | None = None
    processes: tuple[GpuProcess, ...] | None = None


def gpu_watts(reading: GpuReading | None) -> float | None:
    """Return the one-second mean of a GPU, or its instant power where there is no mean."""
    if reading is None or reading.state is not GpuState.OK:
        return None
    power = reading.power.get(PowerScope.GPU, NO_POWER)
    return power.average_watts if power.average_watts is not None else power.instant_watts
