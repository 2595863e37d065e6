"""What the machine around the GPUs says of itself. Counts here are raw: the ledger turns them into totals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment


@dataclass(frozen=True, slots=True)
class HostClock:
    """How well the wall clock is kept, by the kernel's own account."""

    synchronized: bool
    """Whether a time service says that it keeps the clock."""
    error_bound_seconds: float
    """Farthest that the clock can be off; grows while nobody keeps it."""
    offset_seconds: float | None = None
    """What the kernel's own loop still has to correct; None when a service corrects by itself (chrony)."""


@dataclass(frozen=True, slots=True)
class LinkReading:
    """One network interface, or one port of an InfiniBand or RoCE device."""

    device: str
    port: str = ""
    """Empty for a network interface."""
    up: bool | None = None
    """None is unknown, or taken down on purpose."""
    speed_bytes_per_second: float | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    """Raw since the driver began, by what is counted."""


@dataclass(frozen=True, slots=True)
class PcieLink:
    """How a GPU is connected; the most is what both ends of the link can."""

    width_lanes: float | None = None
    max_width_lanes: float | None = None
    transfers_per_second: float | None = None
    """On each lane."""
    max_transfers_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class HostReading:
    """The machine at one moment, as far as one source tells; the rest is None or empty."""

    at: Moment
    stalled_seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Raw since boot, by resource and share of tasks (some, full)."""
    clock: HostClock | None = None
    cpu_steal_seconds: float | None = None
    """Raw since boot, over all processors."""
    oom_kills: float | None = None
    """Raw since boot."""
    cpu_frequency_hertz: Mapping[str, float] = field(default_factory=dict)
    """Over all processors: min, mean, max."""
    interfaces: tuple[LinkReading, ...] = ()
    ports: tuple[LinkReading, ...] = ()
    pcie_links: Mapping[str, PcieLink] = field(default_factory=dict)
    """By the GPU's UUID."""


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """A link with its totals."""

    reading: LinkReading
    totals: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class HostFigures:
    """The machine as all its sources tell it, with totals in place of raw counts."""

    stalled_seconds_total: Mapping[tuple[str, str], float] = field(default_factory=dict)
    clock: HostClock | None = None
    cpu_steal_seconds_total: float | None = None
    oom_kills_total: float | None = None
    cpu_frequency_hertz: Mapping[str, float] = field(default_factory=dict)
    interfaces: tuple[LinkFigures, ...] = ()
    ports: tuple[LinkFigures, ...] = ()
    pcie_links: Mapping[str, PcieLink] = field(default_factory=dict)
