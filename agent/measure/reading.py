"""What a source said at one moment, and how the asking went."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.quick import quick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.carbon import CarbonReading
    from agent.measure.engine import EngineReading
    from agent.measure.environment import EnvironmentReading
    from agent.measure.gpu import GpuReading
    from agent.measure.host import HostReading
    from agent.measure.meter import MeterReading
    from agent.measure.owner import GpuOwner
    from agent.measure.totals import MemberReading


class Reason(StrEnum):
    """Why a collection failed: a closed list, so that it can be a label."""

    UNREACHABLE = "unreachable"  # nothing answers there, or it hung up
    TIMED_OUT = "timed_out"  # it did not answer within its deadline
    MALFORMED = "malformed"  # it answered something that cannot be trusted
    TOO_LARGE = "too_large"  # it answered more than the limit for bytes, lines or series
    UNSUPPORTED = "unsupported"  # it answers, but not with what is needed (old driver, metrics off)
    DENIED = "denied"  # rights or credentials are missing
    OVERLAPPED = "overlapped"  # the previous collection is still stuck
    RELEASED = "released"  # let go of on request, for a GPU reset
    LIBRARY_MISMATCH = "library_mismatch"  # the driver was upgraded under us; needs a restart
    BUG = "bug"  # an error of rackwatt itself; the log has the traceback


class SourceError(Exception):
    """A collection failed for a known reason; `detail` says what, where, and what to do."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant on both clocks: monotonic for differences, wall for people."""

    monotonic_seconds: float
    unix_seconds: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What calling one function of a source has cost since this process started."""

    calls: int
    seconds: float


@quick
@dataclass(frozen=True, slots=True)
class Reading:
    """Everything one source said in one collection; a source fills what it knows."""

    source: str
    at: Moment
    gpus: tuple[GpuReading, ...] = ()
    engines: tuple[EngineReading, ...] = ()
    meters: tuple[MeterReading, ...] = ()
    member: MemberReading | None = None
    """Another node's totals, for the rack."""
    serves_elsewhere: bool = False
    """Processes here work for an engine whose tokens another node shows (T24): its further nodes."""
    found: Mapping[str, str] | None = None
    """Engines that were found, by instance: what tells, after a restart of ours, that one is the same."""
    owners: tuple[GpuOwner, ...] = ()
    """Who uses which GPU."""
    host: HostReading | None = None
    """The machine around the GPUs."""
    environment: tuple[EnvironmentReading, ...] = ()
    """Air, coolant and leaks around them."""
    carbon: CarbonReading | None = None
    """What electricity emits here and now."""
    costs: Mapping[str, Cost] = field(default_factory=dict)
    renewed_seconds: float = 0.0
    """How often what it says is renewed, where that is less often than it is asked."""
    notes: tuple[str, ...] = ()
    """Permanent findings a person should know once ("ECC counters need root"), not failures."""


@quick
@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last collection of one source went."""

    source: str
    ok: bool
    reason: Reason | None
    detail: str
    duration_seconds: float
    last_success_unix_seconds: float | None
    failures: Mapping[Reason, int]
    """Failed collections by reason since this process started."""
