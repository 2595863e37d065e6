"""What one moment of a node says about the work and the hardware of each deployment on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.diagnose.host_signs import HostSigns, host_signs_of  # a recording reads its records here
from agent.measure.engine import TokenKind
from agent.measure.engine_work import OUTCOMES
from agent.measure.gpu import GpuState, PowerScope, gpu_watts
from agent.measure.quick import quick
from agent.measure.reading import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.rack_snapshot import DeploymentFigures
    from agent.measure.reading import Moment
    from agent.measure.series import Point
    from agent.measure.snapshot import Activity, EngineFigures, GpuFigures, Snapshot

GONE = {Reason.UNREACHABLE}
"""Outcomes that speak of a process that is not there; any other failure may be ours or the way's."""
ANSWERING = {Reason.MALFORMED, Reason.TOO_LARGE, Reason.DENIED, Reason.UNSUPPORTED}
"""Outcomes that speak of a process that answers, though not with a page that can be read."""
ENGINES = "engines/"
IDLE_UTILIZATION_RATIO = 0.05
IDLE_POWER_RATIO = 0.25
"""Share of its limit that a GPU without work stays below."""


LOST = frozenset({GpuState.LOST, GpuState.RESET_REQUIRED})


@quick
@dataclass(frozen=True, slots=True)
class GpuSigns:
    """One GPU; None is unknown."""

    gpu: int
    state: str
    """As GpuState, or unknown when its source failed."""
    power_watts: float | None = None
    limit_watts: float | None = None
    utilization_ratio: float | None = None
    clock_hertz: float | None = None
    temperature_celsius: float | None = None
    throttle: frozenset[str] = frozenset()
    xids: Mapping[int, float] = field(default_factory=dict)
    """Events so far, by number."""
    uncorrected: float = 0.0
    """Uncorrected memory errors so far."""
    fabric_healthy: bool | None = None
    nvlinks: int | None = None
    """That are active."""
    nvlink_bytes_per_second: float | None = None
    """Of the slowest of them, in one direction."""

    @property
    def is_lost(self) -> bool:
        """Whether only a reset or a reboot brings it back."""
        return self.state in LOST


@quick
@dataclass(frozen=True, slots=True)
class EngineSigns:
    """One instance; None is unknown."""

    instance: str
    up: bool
    gone: bool
    """Nothing listens there any more, or it is silent."""
    activity: Activity
    restarts: float
    output: Point | None = None
    """Newest point of the live series, with what unfinished requests have made."""
    prompt: Point | None = None
    cached: Point | None = None
    running: float | None = None
    waiting: float | None = None
    kv_cache_usage_ratio: float | None = None
    preemptions: float | None = None
    finished: float | None = None
    """Requests that ended, however."""
    cadence_seconds: float = 1.0
    silent: bool = False
    """It does not answer, and its GPUs do nothing: it may be there, but it does not work."""
    answers: bool = False
    """Something answers for it, though not with a page that can be read."""
    on_finish: bool = False
    """It counts tokens when their request ends, and nothing live stands in for that (T21) …"""
    heartbeat: float | None = None
    """… so that its steps are looked at: a raw count of them, in one of those engines alone."""

    def free_share(self, batch: float) -> float:
        """Share of so many requests that it could have in work and has not, where that is known."""
        if not self.up or self.running is None or self.waiting:
            return 0.0
        return max(0.0, 1.0 - self.running / batch) if batch else float(self.running == 0.0)


@dataclass(frozen=True, slots=True)
class UnitSigns:
    """What one deployment has on this node."""

    deployment: str
    model: str
    engines: tuple[EngineSigns, ...]
    gpus: tuple[GpuSigns, ...]


@dataclass(frozen=True, slots=True)
class NodeSigns:
    """The node at one moment."""

    at: Moment
    node: str
    drained: bool
    units: tuple[UnitSigns, ...]
    gpus: tuple[GpuSigns, ...]
    """All of them, also those that nobody works on."""
    host: HostSigns | None = None
    """The machine around them; None while nothing tells of it."""
    gpus_absent: int = 0
    """GPUs that should be there, and were never seen."""


def are_idle(gpus: tuple[GpuSigns, ...]) -> bool:
    """Whether all of them are known to do nothing; a kernel that hangs is no work, but looks like it."""
    return bool(gpus) and all(_is_idle(gpu) for gpu in gpus)


def _is_idle(gpu: GpuSigns) -> bool:
    if gpu.utilization_ratio is None or gpu.power_watts is None or not gpu.limit_watts:
        return False
    low = gpu.power_watts <= IDLE_POWER_RATIO * gpu.limit_watts
    return low and gpu.utilization_ratio <= IDLE_UTILIZATION_RATIO


def signs_of(snapshot: Snapshot) -> NodeSigns:
    """Read the signs out of a snapshot."""
    reasons = {outcome.source: outcome.reason for outcome in snapshot.outcomes}
    gpus = tuple([_gpu(gpu) for gpu in snapshot.gpus])
    engines = {
        each.instance: _engine(each, reasons.get(ENGINES + each.instance))
        for each in snapshot.engines
        if TokenKind.OUTPUT in each.counted
    }
    here = [each for each in snapshot.deployments if set(each.instances) & engines.keys()]
    units = tuple(_unit(each, engines, gpus, alone=len(here) == 1) for each in here)
    return NodeSigns(
        at=snapshot.at,
        node=snapshot.node.name,
        drained=snapshot.drained is not None,
        units=units,
        gpus=gpus,
        host=host_signs_of(snapshot),
        gpus_absent=snapshot.gpus_absent,
    )


def _unit(
    deployment: DeploymentFigures,
    engines: Mapping[str, EngineSigns],
    gpus: tuple[GpuSigns, ...],
    *,
    alone: bool,
) -> UnitSigns:
    own = tuple(gpu for gpu in gpus if gpu.gpu in deployment.gpu_numbers)
    instances = tuple(engines[name] for name in deployment.instances if name in engines)
    # Where nothing tells whose a GPU is, the only deployment of a node is taken to have them all.
    return UnitSigns(deployment.deployment, deployment.model, instances, own or (gpus if alone else ()))


def _engine(figures: EngineFigures, reason: Reason | None) -> EngineSigns:
    reading = figures.reading
    demand = None if reading is None else reading.demand
    on_finish = reading is not None and not reading.live
    return EngineSigns(
        instance=figures.instance,
        up=figures.up,
        gone=not figures.up and reason in GONE,
        activity=figures.activity,
        restarts=figures.restarts,
        output=figures.live.get(TokenKind.OUTPUT),
        prompt=figures.live.get(TokenKind.PROMPT),
        cached=figures.live.get(TokenKind.PROMPT_CACHED),
        running=None if demand is None else demand.running,
        waiting=None if demand is None else demand.waiting,
        kv_cache_usage_ratio=None if reading is None else reading.kv_cache_usage_ratio,
        preemptions=figures.work.get("preemptions"),
        finished=_finished(figures.work),
        cadence_seconds=figures.cadence_seconds,
        answers=not figures.up and reason in ANSWERING,
        on_finish=on_finish,
        heartbeat=demand.heartbeat if demand is not None and on_finish else None,
    )


def _finished(work: Mapping[str, float]) -> float | None:
    ends = [work[outcome] for outcome in OUTCOMES if outcome in work]
    return sum(ends) if ends else None


def _gpu(figures: GpuFigures) -> GpuSigns:
    reading = figures.reading
    counted = {
        "xids": figures.xid_errors_total,
        "uncorrected": figures.ecc_errors_total.get("uncorrected", 0.0),
    }
    if reading is None or reading.state is not GpuState.OK:
        state = "unknown" if figures.state is None else str(figures.state)
        return GpuSigns(figures.gpu, state, **counted)  # type: ignore[arg-type]  # two fields of two types
    placement = reading.placement
    return GpuSigns(
        gpu=figures.gpu,
        state=str(reading.state),
        power_watts=gpu_watts(reading),
        limit_watts=reading.power_limit_watts.get(PowerScope.GPU),
        utilization_ratio=reading.utilization_ratio,
        clock_hertz=reading.clock_hertz.get("sm"),
        temperature_celsius=reading.temperature_celsius.get("gpu"),
        throttle=reading.throttle_active or frozenset(),
        fabric_healthy=None if placement is None else placement.fabric_healthy,
        nvlinks=reading.nvlinks.get("active"),
        nvlink_bytes_per_second=reading.nvlink_slowest_bytes_per_second,
        **counted,  # type: ignore[arg-type]  # two fields of two types
    )
