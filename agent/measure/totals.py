"""What a node tells its rack: cumulative series with their moments on its own monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.attribution import Group
from agent.measure.counting import NONE
from agent.measure.engine import TokenKind
from agent.measure.gpu import GpuState, PowerScope, gpu_watts
from agent.measure.incident import told_to_rack
from agent.measure.meter import PUE
from agent.measure.model_figures import served_by
from agent.measure.rack_snapshot import MemberGpu
from agent.measure.validity import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.incident import Incident
    from agent.measure.limiter import Limiter
    from agent.measure.rack_snapshot import DeploymentFigures
    from agent.measure.reading import Moment
    from agent.measure.series import Point
    from agent.measure.snapshot import (
        Activity,
        BoundaryFigures,
        EngineFigures,
        GpuFigures,
        NodeIdentity,
        Origin,
        Snapshot,
    )
    from agent.measure.validity import Flag


@dataclass(frozen=True, slots=True)
class EngineTotals:
    """One engine instance: its live series, and what it is doing."""

    engine: str
    instance: str
    models: tuple[str, ...]
    """What it serves now; several share its series."""
    up: bool
    activity: Activity
    on_finish: bool
    """Its output shows only when a request ends (T21)."""
    cadence_seconds: float
    reset_seconds: float | None
    """When it was last seen to have restarted."""
    running: float | None
    waiting: float | None
    live: Mapping[TokenKind, Point]
    """Newest point of each series that counts; for output with what unfinished requests have produced."""
    counts_output: bool = True
    """False where another instance counts the output tokens of its requests (T13)."""
    deployment: int | None = None
    """Place of its deployment among those of the node."""


@dataclass(frozen=True, slots=True)
class BoundaryTotals:
    """Energy at one boundary: cumulative, at one moment."""

    boundary: str
    source: str
    joules: float
    at_seconds: float
    since_seconds: float | None
    """A hole in the energy ended then; None when nothing is missing in it."""
    cadence_seconds: float
    power_watts: float | None
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]


@dataclass(frozen=True, slots=True)
class DeploymentTotals:
    """What one deployment has on this node."""

    deployment: str
    model: str
    gpus: int
    whole: bool
    """All that counts here and every GPU is its own: its energy is that of the node."""
    since_seconds: float = 0.0
    """Since when it has had these instances and GPUs."""
    energies: tuple[BoundaryTotals, ...] = ()
    """Its energy where it is a part of the node's."""
    reasons: frozenset[Invalid] = frozenset()
    """What speaks against dividing its tokens by its joules here."""
    limiter: Limiter | None = None
    """What bounds it here; of the evidence only the first."""


@dataclass(frozen=True, slots=True)
class NodeTotals:
    """One node as its rack sees it; every moment in it is on the node's own monotonic clock."""

    node: NodeIdentity
    version: str
    origin: Origin
    sequence: int
    """Of the snapshot that it was made of."""
    at: Moment
    """The node's clocks when this was written."""
    reckoned_seconds: float
    """When its figures were reckoned."""
    activity: Activity
    drained: str | None
    """Why it was taken out on purpose; None while it is in duty."""
    tokens: Mapping[tuple[str, TokenKind], float]
    """Exact totals by model and kind, of all engines that ever were; never fall within one ledger."""
    engines: tuple[EngineTotals, ...]
    boundaries: tuple[BoundaryTotals, ...]
    gpus: tuple[MemberGpu, ...]
    zeros: frozenset[TokenKind] = NONE
    """Kinds of which it makes none for certain: its joules count in a ratio all the same (T5)."""
    spans_nodes: bool = False
    """Its tokens and its joules belong together only over several nodes (T24)."""
    gpus_absent: int = 0
    """GPUs that should be there, and that it never saw."""
    deployments: tuple[DeploymentTotals, ...] = ()
    """Those that are served now."""
    incidents: tuple[Incident, ...] = ()
    """What is wrong here, and what was a moment ago: the most important few."""


@dataclass(frozen=True, slots=True)
class MemberReading:
    """A member's totals, and what brackets its clock: it wrote them after we asked, before the answer."""

    totals: NodeTotals
    asked_monotonic_seconds: float
    first_byte_monotonic_seconds: float


def totals_of(snapshot: Snapshot, now: Moment) -> NodeTotals:
    """Return what a node tells its rack at this moment."""
    deployments = [each for each in snapshot.deployments if each.nodes]
    places = {instance: place for place, each in enumerate(deployments) for instance in each.instances}
    return NodeTotals(
        node=snapshot.node,
        version=snapshot.version,
        origin=snapshot.origin,
        sequence=snapshot.sequence,
        at=now,
        reckoned_seconds=snapshot.at.monotonic_seconds,
        activity=snapshot.activity,
        drained=snapshot.drained,
        tokens={
            (model.model, kind): total
            for model in snapshot.models
            for kind, total in model.tokens_total.items()
        },
        engines=tuple(_engine(each, places.get(each.instance)) for each in snapshot.engines if each.counted),
        boundaries=tuple(
            told
            for at in snapshot.boundaries
            if at.source != PUE and (told := _boundary(at)) is not None  # a rack models its own
        ),
        gpus=tuple(gpu_of(gpu) for gpu in snapshot.gpus),
        zeros=snapshot.zeros,
        spans_nodes=snapshot.spans_nodes,
        gpus_absent=snapshot.gpus_absent,
        deployments=tuple(_deployment(each, snapshot) for each in deployments),
        incidents=told_to_rack(snapshot.incidents, now.unix_seconds),
    )


def gpu_of(figures: GpuFigures) -> MemberGpu:
    """Return one GPU as the rack shows it."""
    reading = figures.reading
    if reading is None or reading.state is not GpuState.OK:
        return MemberGpu(figures.gpu, figures.uuid, up=False)
    return MemberGpu(
        gpu=figures.gpu,
        uuid=figures.uuid,
        up=True,
        power_watts=gpu_watts(reading),
        power_limit_watts=reading.power_limit_watts.get(PowerScope.GPU),
        temperature_celsius=reading.temperature_celsius.get("gpu"),
        utilization_ratio=reading.utilization_ratio,
        clock_hertz=reading.clock_hertz.get("sm"),
        throttled=None if reading.throttle_active is None else tuple(sorted(reading.throttle_active)),
        nvlinks_active=reading.nvlinks.get("active"),
        nvlink_slowest_bytes_per_second=reading.nvlink_slowest_bytes_per_second,
    )


def _deployment(figures: DeploymentFigures, snapshot: Snapshot) -> DeploymentTotals:
    return DeploymentTotals(
        deployment=figures.deployment,
        model=figures.model,
        gpus=figures.gpus,
        whole=figures.whole,
        since_seconds=figures.since_monotonic_seconds,
        energies=tuple(told for at in figures.energies if (told := _boundary(at)) is not None),
        reasons=figures.reasons - {Invalid.SPANS_NODES} if figures.split else figures.reasons,
        limiter=snapshot.limiters.get(Group(figures.deployment, figures.model)),
    )


def _engine(figures: EngineFigures, deployment: int | None) -> EngineTotals:
    reading = figures.reading
    return EngineTotals(
        engine=figures.engine,
        instance=figures.instance,
        models=tuple(sorted(served_by(figures))),
        up=figures.up,
        activity=figures.activity,
        on_finish=reading is not None and not reading.live,
        cadence_seconds=figures.cadence_seconds,
        reset_seconds=figures.reset_monotonic_seconds,
        running=None if reading is None else reading.demand.running,
        waiting=None if reading is None else reading.demand.waiting,
        live={kind: point for kind, point in figures.live.items() if kind in figures.counted},
        counts_output=TokenKind.OUTPUT in figures.counted,
        deployment=deployment,
    )


def _boundary(figures: BoundaryFigures) -> BoundaryTotals | None:
    if figures.energy_joules_total is None or figures.at_monotonic_seconds is None:
        return None
    return BoundaryTotals(
        boundary=figures.boundary,
        source=figures.source,
        joules=figures.energy_joules_total,
        at_seconds=figures.at_monotonic_seconds,
        since_seconds=figures.since_monotonic_seconds,
        cadence_seconds=figures.cadence_seconds,
        power_watts=figures.power_watts,
        reasons=figures.reasons,
        flags=figures.flags,
    )


def counting_output(totals: NodeTotals) -> int:
    """Return how many of its engines count output tokens."""
    return sum(engine.counts_output for engine in totals.engines)


def told_seconds(totals: NodeTotals) -> float | None:
    """Return the newest moment, on its own clock, of which any engine told."""
    return max((point.seconds for engine in totals.engines for point in engine.live.values()), default=None)
