"""Incidents: an interval in which something is wrong, with kind, cause, evidence and loss."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TOLD = 4
"""Incidents that a node tells its rack, so that its document stays small …"""
TOLD_SECONDS = 120.0
"""… and one that has ended for so long."""


class Kind(StrEnum):
    """What is wrong."""

    DROP = "drop"  # fewer tokens than this deployment gives at this load
    STALL = "stall"  # none at all, though requests wait
    STRAGGLER = "straggler"  # one node or GPU behind its like
    FAULT = "fault"  # a hardware event without a drop
    GAP = "gap"  # not known: telemetry is missing
    RESTART = "restart"  # an engine was stopped and came back
    DEMAND = "demand"  # clients ask for less
    SATURATION = "saturation"  # the cache is full, and nothing is lost yet
    EFFICIENCY = "efficiency"  # more joules for the same tokens


class Cause(StrEnum):
    """Why."""

    ENGINE_DOWN = "engine_down"
    ENGINE_RESTART = "engine_restart"
    ENGINE_STALL = "engine_stall"
    KV_SATURATION = "kv_saturation"
    THERMAL = "thermal"
    POWER_CAP = "power_cap"
    POWER_BRAKE = "power_brake"
    CLOCKS_LOW = "clocks_low"
    GPU_LOST = "gpu_lost"
    GPU_FAULT = "gpu_fault"
    ECC = "ecc"
    NVLINK = "nvlink"
    HOST_PRESSURE = "host_pressure"
    NODE_DOWN = "node_down"
    TELEMETRY_GAP = "telemetry_gap"
    WORKLOAD_SHIFT = "workload_shift"
    DEMAND = "demand"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """Who must know: nobody now, somebody today, somebody at once."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One figure that speaks for a cause: what it was before, and what it is since."""

    metric: str
    node: str
    gpu: int | None
    before: float | None
    during: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an amount that is estimated lies between."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it stands now; moments are Unix seconds."""

    id: str
    scope: str
    """node or rack."""
    kind: Kind
    cause: Cause
    severity: Severity
    node: str
    gpu: int | None
    engine_instance: str
    """Empty when it is not about one engine."""
    model: str
    started: float
    detected: float
    ended: float | None
    """None while it goes on."""
    lost_tokens: float
    lost_joules: float | None
    """Energy of the GPUs that made no tokens; None is unknown."""
    confidence: float
    """How well the cause explains what is missing, 0 to 1."""
    evidence: tuple[Evidence, ...]
    summary: str
    lost_cost: float | None = None
    """In the currency of the site; None without a price."""
    lost_tokens_bounds: Bounds | None = None
    lost_joules_bounds: Bounds | None = None
    lost_cost_bounds: Bounds | None = None
    lost_gpu_seconds: float | None = None
    """Time of GPUs that was asked for and made nothing: what capacity is lost by it."""
    currency: str = ""
    """Of the cost; empty without one."""
    recording: str = ""
    """Where its recording is: a path here, or an address at its node; empty where nothing is recorded."""


def recording_at(incident: str, address: str = "") -> str:
    """Return where a daemon gives the recording of one of its own incidents."""
    return f"{address.rstrip('/')}/api/v1/incidents/{quote(incident, safe='/:')}/recording"


_HARDWARE = (
    Cause.THERMAL,
    Cause.POWER_CAP,
    Cause.POWER_BRAKE,
    Cause.CLOCKS_LOW,
    Cause.GPU_LOST,
    Cause.GPU_FAULT,
    Cause.ECC,
    Cause.NVLINK,
)
CAUSES_OF: dict[Kind, tuple[Cause, ...]] = {
    Kind.DROP: (
        *_HARDWARE,
        Cause.ENGINE_DOWN,
        Cause.ENGINE_STALL,
        Cause.KV_SATURATION,
        Cause.HOST_PRESSURE,
        Cause.WORKLOAD_SHIFT,
        Cause.NODE_DOWN,
        Cause.UNKNOWN,
    ),
    Kind.STALL: (Cause.ENGINE_STALL,),
    Kind.STRAGGLER: (Cause.POWER_CAP, Cause.THERMAL, Cause.CLOCKS_LOW, Cause.NVLINK, Cause.UNKNOWN),
    Kind.FAULT: (Cause.GPU_LOST, Cause.GPU_FAULT, Cause.ECC, Cause.NVLINK),
    Kind.GAP: (Cause.TELEMETRY_GAP,),
    Kind.EFFICIENCY: (Cause.POWER_CAP, Cause.THERMAL, Cause.CLOCKS_LOW, Cause.UNKNOWN),
    Kind.SATURATION: (Cause.KV_SATURATION,),
    Kind.DEMAND: (Cause.DEMAND,),
    Kind.RESTART: (Cause.ENGINE_DOWN, Cause.ENGINE_RESTART),
}
"""What is told of each kind: its counters exist at 0 from the start."""


def told_to_rack(incidents: Iterable[Incident], unix_seconds: float) -> tuple[Incident, ...]:
    """Return what a node tells its rack: what stands before what has ended lately."""
    young = [e for e in incidents if e.ended is None or unix_seconds - e.ended < TOLD_SECONDS]
    return tuple(sorted(young, key=lambda each: (each.ended is not None, -each.started))[:MOST_TOLD])
