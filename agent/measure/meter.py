"""What a power meter says that is no GPU: of a whole boundary, or of a part of the node."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.measure.reading import Moment

GPU, MODULE, NODE, RACK, FACILITY = LADDER = ("gpu", "module", "node", "rack", "facility")
"""Boundaries from the inside out: each contains the one before it, so they are never added (T7)."""
BOUNDARIES = (MODULE, NODE)
"""Boundaries of a node that a meter outside of the GPUs may measure. One of the RACK is the rack's alone, and
anything else is a part of a node."""
PUE = "pue"
"""The source of the boundary FACILITY: it is modelled, never measured."""


@dataclass(frozen=True, slots=True)
class MeterReading:
    """One meter at one moment."""

    part: str
    """A boundary, whose meters are added over their units; or a part of one (grace, cpu, package), which
    may contain other parts and is never added to anything (T7)."""
    unit: str
    """Which of several: a socket."""
    at: Moment
    power_watts: float | None = None
    """Mean power; None where it only counts, or did not answer."""
    energy_joules: float | None = None
    """Raw counter without wraps, of this process; None where it has none."""
    _: KW_ONLY
    coarse_joules: float | None = None
    """Raw counter in steps too large for a window of seconds (kWh): good for the total alone."""
    unverified: bool = False
    """Its power is the mean of less time than lies between two readings: it may alias with periodic load."""
    mean_seconds: float = 0.0
    """Its power is the mean of so long before the moment, where that is known: it speaks of the middle."""
    source: str = ""
    """Who tells it, where it is not the name of the reading: several readings may measure one boundary
    together, and one may tell a boundary in several ways, of which all but the first are cross-checks."""
    readings: tuple[str, ...] = ()
    """Names of all readings that measure the boundary together: it is whole only with all of them."""
    node: str = ""
    """Whose meter it is, where it is another node's: a member of the rack that this daemon reckons."""


@dataclass(frozen=True, slots=True)
class PartFigures:
    """Power and energy of one part of the node."""

    part: str
    unit: str
    source: str
    power_watts: float | None
    energy_joules_total: float | None
