"""The immutable whole that every output sees: readings reckoned, and how each source fares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.counting import ALL, NONE
from agent.measure.quick import quick
from agent.measure.site import NO_SITE, Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.attribution import Claim, Group
    from agent.measure.carbon import CarbonReading
    from agent.measure.energy import Verdict
    from agent.measure.engine import EngineReading, TokenKind
    from agent.measure.environment import EnvironmentReading
    from agent.measure.gpu import GpuReading, GpuState
    from agent.measure.host import HostFigures
    from agent.measure.incident import Incident
    from agent.measure.ladder import Remainder
    from agent.measure.limiter import Limiter
    from agent.measure.meter import PartFigures
    from agent.measure.owner import GpuOwner
    from agent.measure.push import PushFigures
    from agent.measure.rack_snapshot import DeploymentFigures, ModelFigures, RackSnapshot
    from agent.measure.reading import Cost, Moment, Outcome
    from agent.measure.series import Point
    from agent.measure.service import ServiceFigures
    from agent.measure.validity import Flag, Invalid, Validity


class Activity(StrEnum):
    """What an engine or a node is doing (T4)."""

    SERVING = "serving"
    IDLE = "idle"
    ASLEEP = "asleep"  # on purpose
    UNKNOWN = "unknown"  # a failed read is never idle


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Which node this is and where it stands."""

    name: str
    rack: str
    chassis: str = ""
    tray: str = ""
    domain: str = ""
    """NVLink domain: cluster UUID and clique."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who counts: what tells two counts, and two clocks, apart."""

    boot_id: str = ""
    """Of the kernel: another one has another monotonic clock."""
    run: str = ""
    """Of this process."""
    ledger: str = ""
    """Made when the kept totals began anew: totals of another ledger are another count."""
    began_unix_seconds: float | None = None
    """When the ledger was begun; None when an older rackwatt began it."""
    started_unix_seconds: float | None = None
    """When this process began to count what is not kept."""


@quick
@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One known GPU; `reading` is None while it does not report (T15)."""

    gpu: int
    """Number first given to its UUID."""
    uuid: str
    state: GpuState | None
    """None when its source failed."""
    reading: GpuReading | None
    energy_joules_total: float | None
    energy_integrated_joules_total: float | None
    verdict: Verdict
    throttled_seconds_total: Mapping[str, float] = field(default_factory=dict)
    ecc_errors_total: Mapping[str, float] = field(default_factory=dict)
    nvlink_bytes_total: Mapping[str, float] = field(default_factory=dict)
    nvlink_errors_total: Mapping[str, float] = field(default_factory=dict)
    c2c_errors_total: Mapping[str, float] = field(default_factory=dict)
    xid_errors_total: Mapping[int, float] = field(default_factory=dict)
    pcie_replays_total: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Who told a figure of `reading`, by its name; `gpu_sources.DEFAULT` for those not named."""


@quick
@dataclass(frozen=True, slots=True)
class TokenFigures:
    """Tokens of one model and kind of one engine instance."""

    model: str
    kind: TokenKind
    total: float
    uncertainty: float | None
    """The engine may have produced this many more than `total` by now; None is not known."""
    unobserved: float
    """Upper estimate of tokens that were produced but never seen, because the engine restarted."""
    per_second: float | None


@quick
@dataclass(frozen=True, slots=True)
class EngineFigures:
    """One engine instance; `reading` is None while it does not answer."""

    engine: str
    instance: str
    model: str
    up: bool
    activity: Activity
    reading: EngineReading | None
    tokens: tuple[TokenFigures, ...]
    restarts: float
    live: Mapping[TokenKind, Point] = field(default_factory=dict)
    """Newest point of each live series: for output, with what unfinished requests have produced."""
    cadence_seconds: float = 1.0
    """How often it is read; or how rarely its output counter moves, if that is longer."""
    reset_monotonic_seconds: float | None = None
    """When it was last seen to have restarted."""
    window_seconds: float = 10.0
    """Interval that its rates speak of."""
    counted: frozenset[TokenKind] = ALL
    """Kinds that enter the figures of node, model and rack (T13)."""
    work: Mapping[str, float] = field(default_factory=dict)
    """Totals of requests, by how they ended and otherwise."""


@quick
@dataclass(frozen=True, slots=True)
class BoundaryFigures:
    """Power and energy of the node at one boundary (T7)."""

    boundary: str
    source: str
    power_watts: float | None
    energy_joules_total: float | None
    at_monotonic_seconds: float | None = None
    """When the energy was that much: the mean moment of the meters that it sums."""
    since_monotonic_seconds: float | None = None
    """There is a hole in the energy that ended then; None when nothing is missing in it."""
    cadence_seconds: float = 1.0
    reasons: frozenset[Invalid] = frozenset()
    """What speaks now against dividing by it."""
    flags: frozenset[Flag] = frozenset()


@quick
@dataclass(frozen=True, slots=True)
class Snapshot:
    """The node at one moment."""

    sequence: int
    at: Moment
    node: NodeIdentity
    activity: Activity
    gpus: tuple[GpuFigures, ...]
    engines: tuple[EngineFigures, ...]
    boundaries: tuple[BoundaryFigures, ...]
    tokens_per_second: Mapping[TokenKind, float]
    tokens_per_joule: Mapping[tuple[TokenKind, str], float]
    """By kind and boundary."""
    validity: tuple[Validity, ...]
    outcomes: tuple[Outcome, ...]
    costs: Mapping[str, Mapping[str, Cost]]
    """By source and function."""
    notes: tuple[str, ...] = ()
    owners: tuple[GpuOwner, ...] = ()
    """Who uses which GPU."""
    self_gauges: Mapping[str, float] = field(default_factory=dict)
    """What the daemon says of itself, by metric name."""
    version: str = ""
    """Version of rackwatt."""
    revision: str = ""
    """Source revision it was built from, if known."""
    origin: Origin = Origin()
    models: tuple[ModelFigures, ...] = ()
    """Every model that was ever served here, with its totals; rates of those that are served now."""
    rack: RackSnapshot | None = None
    """The rack as this daemon last reckoned it; None without members."""
    drained: str | None = None
    """Why this node was taken out on purpose; None while it is in duty."""
    zeros: frozenset[TokenKind] = NONE
    """Kinds of which it makes none for certain."""
    deployments: tuple[DeploymentFigures, ...] = ()
    """Every deployment that is served here, and the energy of those that were."""
    found: Mapping[str, str] = field(default_factory=dict)
    """Engines that were found, here or before a restart of ours: what tells that one is the same."""
    claims: Mapping[int, Claim] = field(default_factory=dict)
    """Whether each GPU belongs to a deployment, by number."""
    model_energy: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Joules of each model by model and boundary, of GPUs that worked for nothing else."""
    gpus_absent: int = 0
    """GPUs that somebody said are here, and that were never seen."""
    spans_nodes: bool = False
    """Its tokens and its joules belong together only over several nodes (T24)."""
    crosschecks: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Power by boundary and source, of the meters that are not a boundary's own."""
    remainders: tuple[Remainder, ...] = ()
    """What each boundary draws beside the one inside it."""
    meters: Mapping[tuple[str, str, str], bool] = field(default_factory=dict)
    """Whether each power meter beside the GPUs answers, by source, part and unit."""
    meter_energy: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """How the total of each that answers is known: counter, coarse_counter (kWh) or integrated."""
    carbon: CarbonReading | None = None
    """What electricity emits, as a feed tells it."""
    site: Site = NO_SITE
    """What energy costs here, and the PUE that `facility` is modelled with."""
    parts: tuple[PartFigures, ...] = ()
    """What meters tell of parts of the node; they contain each other."""
    services: tuple[ServiceFigures, ...] = ()
    """How well each model is served …"""
    deployment_services: Mapping[Group, ServiceFigures] = field(default_factory=dict)
    """… and each deployment of one model."""
    incidents: tuple[Incident, ...] = ()
    """What is wrong here, and what was lately, the newest first."""
    incident_counts: Mapping[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    """Number of incidents and tokens lost by them, by scope, kind and cause."""
    limiters: Mapping[Group, Limiter] = field(default_factory=dict)
    """What bounds each deployment now."""
    host: HostFigures | None = None
    """The machine around the GPUs; None while nothing tells of it."""
    environment: tuple[EnvironmentReading, ...] = ()
    """Air, coolant and leaks around them."""
    pushes: tuple[PushFigures, ...] = ()
    """How sending goes, of each exporter that pushes."""
