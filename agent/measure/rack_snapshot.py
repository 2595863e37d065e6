"""The rack at one moment, as every output may see it; a node without members is the rack of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.costs import NO_FIGURES
from agent.measure.quick import quick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.costs import SiteFigures
    from agent.measure.engine import TokenKind
    from agent.measure.incident import Incident
    from agent.measure.ladder import Remainder
    from agent.measure.limiter import Limiter
    from agent.measure.reading import Moment
    from agent.measure.service import ServiceFigures
    from agent.measure.snapshot import BoundaryFigures
    from agent.measure.validity import Invalid, Validity


@dataclass(frozen=True, slots=True)
class MemberGpu:
    """One GPU of a member, as its node told; None is unknown, never 0."""

    gpu: int
    uuid: str
    up: bool
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    utilization_ratio: float | None = None
    clock_hertz: float | None = None
    """Of the streaming multiprocessors."""
    throttled: tuple[str, ...] | None = None
    """Reasons that hold its clocks down now; None is unknown."""
    power_to_median_ratio: float | None = None
    """Its power over the median GPU of the rack."""
    nvlinks_active: int | None = None
    nvlink_slowest_bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """One node of the rack; while it is away its figures are absent, not old (T15)."""

    node: str
    """Its name; the host and port of its address until it has told one."""
    url: str
    """Empty for the node that reckons itself."""
    up: bool
    drained: bool = False
    """Taken out on purpose: not expected, not missing."""
    why: str = ""
    """Why it does not report: reason and detail in one phrase."""
    age_seconds: float | None = None
    """Since it last answered; None when it never did."""
    coverage: float = 0.0
    """Share of the window for which its series are known, 0 to 1."""
    state: str = "unknown"
    """serving, idle, asleep or unknown."""
    models: tuple[str, ...] = ()
    tokens_per_second: Mapping[TokenKind, float] = field(default_factory=dict)
    power_watts: Mapping[str, float] = field(default_factory=dict)
    """By boundary."""
    power_sources: Mapping[str, str] = field(default_factory=dict)
    """Of boundaries that the rack's daemon reads itself, because the node does not tell them."""
    read_here_watts: float | None = None
    """What the whole node draws by the controller that the rack's daemon reads, also while it is away."""
    tokens_per_joule: Mapping[tuple[TokenKind, str], float] = field(default_factory=dict)
    """By kind and boundary."""
    rate_to_median_ratio: float | None = None
    """Its output tokens per second over the median member of the rack; None for a rack of one."""
    gpus: tuple[MemberGpu, ...] = ()
    """Every GPU that the member has ever shown; while it is away they are not up and tell nothing."""
    version: str = ""
    tokens_total: Mapping[TokenKind, float] = field(default_factory=dict)
    """What it has contributed to the rack's totals; stays while it is away."""
    spans_nodes: bool = False
    """Its tokens and its joules belong together only over several nodes (T24)."""
    in_flight: float | None = None
    """Requests in work or waiting."""
    waiting: float | None = None
    """Those that wait; None where no engine tells."""
    engines: int | None = None
    """Engine instances that count its output; None while it is away."""
    incidents: tuple[Incident, ...] = ()
    """What it says is wrong with it, or was a moment ago."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """One model over all members that serve it."""

    model: str
    tokens_per_second: Mapping[TokenKind, float]
    tokens_total: Mapping[TokenKind, float]
    tokens_per_joule: Mapping[tuple[TokenKind, str], float]
    """Only of members that serve nothing else: their joules are this model's (T5)."""
    nodes: int
    """Members that serve it."""
    running: float | None = None
    """Requests in its engines."""
    waiting: float | None = None
    service: ServiceFigures | None = None
    """Of a node alone: quantiles of several nodes make none of their rack."""


@quick
@dataclass(frozen=True, slots=True)
class DeploymentFigures:
    """The instances and GPUs that serve one model together, on one node or over a rack (T13)."""

    deployment: str
    model: str
    gpus: int = 0
    nodes: int = 1
    tokens_per_second: Mapping[TokenKind, float] = field(default_factory=dict)
    tokens_per_joule: Mapping[tuple[TokenKind, str], float] = field(default_factory=dict)
    """Of its own GPUs; absent while some are not known, or not its own."""
    power_watts: Mapping[str, float] = field(default_factory=dict)
    """By boundary."""
    running: float | None = None
    waiting: float | None = None
    reasons: frozenset[Invalid] = frozenset()
    """What speaks against dividing its tokens by its joules here."""
    gpu_numbers: tuple[int, ...] = ()
    """On a node: its GPUs."""
    energy_joules_total: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """On a node: by boundary and what it did meanwhile (serving, idle, unknown)."""
    kv_cache_usage_ratio: float | None = None
    """On a node: of its fullest instance, which puts requests off first."""
    requests_finished_total: Mapping[str, float] = field(default_factory=dict)
    """On a node: requests that its instances saw end, by outcome."""
    instances: tuple[str, ...] = ()
    """On a node: those that count."""
    service: ServiceFigures | None = None
    """Of a node alone."""
    one_model: bool = True
    """Whether none of its instances serves another model beside."""
    whole: bool = False
    """On a node: all that counts there and every GPU is its own, and so is the energy of the node."""
    split: bool = False
    """On a node: one half of its prefill and decode instances is elsewhere, and its GPUs with it."""
    since_monotonic_seconds: float = 0.0
    """On a node: since when it has had these instances and GPUs."""
    energies: tuple[BoundaryFigures, ...] = ()
    """On a node of which it is a part: its energy as a rack reads it."""
    limiter: Limiter | None = None
    """What bounds it now; None while nobody has looked."""


@dataclass(frozen=True, slots=True)
class RecordFigures:
    """How the rack compares with a published record; never a benchmark result itself (T20)."""

    name: str
    title: str
    tokens_per_second: float
    """Of the record."""
    ratio: float | None
    """Ours over the record's; None while our rate is unknown or not valid (T10)."""
    caveats: tuple[str, ...] = ()
    source: str = ""
    """Address of what was published."""


@dataclass(frozen=True, slots=True)
class RackSnapshot:
    """The rack at one moment: rates and ratios over one window, totals since the beginning."""

    sequence: int
    at: Moment
    rack: str
    of_one: bool
    """True when no members are configured and the node speaks for itself."""
    window_seconds: float
    tokens_per_second: Mapping[TokenKind, float]
    tokens_total: Mapping[TokenKind, float]
    backfilled_tokens_total: Mapping[TokenKind, float]
    """Part of the totals that members had made while they were away (T10)."""
    power_watts: Mapping[str, float]
    """By boundary."""
    power_sources: Mapping[str, str]
    """Who measures each boundary."""
    energy_joules_total: Mapping[str, float]
    tokens_per_joule: Mapping[tuple[TokenKind, str], float]
    """By kind and boundary: ratios of sums over the same members (T5)."""
    coverage: float | None
    """Valid member-seconds over expected member-seconds of the window; None when nobody is expected."""
    validity: tuple[Validity, ...]
    """Of rack_tokens_per_second and rack_tokens_per_joule_<boundary>."""
    nodes_expected: int
    nodes_reporting: int
    missing: tuple[str, ...]
    drained: tuple[str, ...]
    gpus_expected: int
    gpus_reporting: int
    models: tuple[ModelFigures, ...]
    members: tuple[MemberFigures, ...]
    record: RecordFigures | None = None
    deployments: tuple[DeploymentFigures, ...] = ()
    """Every deployment that is served now."""
    incidents: tuple[Incident, ...] = ()
    """What is wrong, and what was lately, the newest first."""
    incident_counts: Mapping[tuple[str, str, str], tuple[float, float]] = field(default_factory=dict)
    """Number of incidents and tokens lost by them, by scope, kind and cause."""
    remainders: tuple[Remainder, ...] = ()
    """What each boundary draws beside the one inside it."""
    power_coverage: Mapping[str, float] = field(default_factory=dict)
    """Share of the expected nodes whose energy is known over the window, by boundary."""
    crosschecks: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Power by boundary and source, of what is not a boundary's own source."""
    site: SiteFigures = NO_FIGURES
    """What all of this costs and emits."""
    window_end_monotonic_seconds: float | None = None
    """When the window of the rates ended, on the clock of `at`; None while there is none."""

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against the rate of output tokens."""
        return all(standing.valid for standing in self.validity if standing.figure == RATE)


RATE = "rack_tokens_per_second"
EFFICIENCY = "rack_tokens_per_joule"
REMAINDER = "rack_power_remainder"
