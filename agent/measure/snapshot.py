"""The immutable whole that every output sees: readings reckoned, and how each source fares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.energy import Verdict
    from agent.measure.engine import EngineReading, TokenKind
    from agent.measure.gpu import GpuReading, GpuState
    from agent.measure.reading import Cost, Moment, Outcome
    from agent.measure.validity import Validity


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
    xid_errors_total: Mapping[int, float] = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class BoundaryFigures:
    """Power and energy of the node at one boundary (T7)."""

    boundary: str
    source: str
    power_watts: float | None
    energy_joules_total: float | None


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
    self_gauges: Mapping[str, float] = field(default_factory=dict)
    """What the daemon says of itself, by metric name."""
    version: str = ""
    """Version of rackwatt."""
    revision: str = ""
    """Source revision it was built from, if known."""
