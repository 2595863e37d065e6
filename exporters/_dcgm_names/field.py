"""A field of DCGM: what it is called, and how its value is found in what we read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.gpu import PowerScope

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.measure.gpu import GpuReading
    from agent.measure.snapshot import GpuFigures

    Tell = Callable[[GpuFigures, GpuReading], float | None]

MEBI = 2**20
MEGA = 1e6
MILLI = 1e3
NANO = 1e9
PERCENT = 100

XID = 230
"""Number of the field that holds the last Xid."""


@dataclass(frozen=True, slots=True)
class DcgmField:
    """One field of DCGM."""

    number: int
    old: str
    """Name until DCGM 4.5, which public dashboards use."""
    type: str
    """As dcgm-exporter has it."""
    unit: str
    doc: str
    tell: Tell
    source: str
    """Where our value comes from, for the documentation."""
    renamed: str = ""
    """Name since DCGM 4.6, where it is another."""
    differs: str = ""
    """What dcgm-exporter says differently."""
    of_lost: bool = False
    """It stays true of a GPU that answers no more."""

    @property
    def new(self) -> str:
        """Name since DCGM 4.6."""
        return self.renamed or self.old


def scaled(value: float | None, factor: float) -> int | None:
    """Return whole units, as DCGM's integer fields are."""
    return None if value is None else round(value * factor)


def mebibytes(size: float | None) -> int | None:
    """Return whole MiB, cut off as DCGM does."""
    return None if size is None else int(size // MEBI)


def clock(name: str) -> Tell:
    """Tell a clock in MHz."""
    return lambda _, reading: scaled(reading.clock_hertz.get(name), 1 / MEGA)


def celsius(sensor: str) -> Tell:
    """Tell a temperature."""
    return lambda _, reading: scaled(reading.temperature_celsius.get(sensor), 1)


def held(reason: str) -> Tell:
    """Tell for how many nanoseconds a reason held the clocks down."""
    return lambda gpu, _: scaled(gpu.throttled_seconds_total.get(reason), NANO)


def errors(severity: str) -> Tell:
    """Tell the ECC errors that the driver has counted."""
    return lambda _, reading: reading.ecc_errors.get(severity)


def activity(unit: str) -> Tell:
    """Tell the share of its peak at which a unit worked."""
    return lambda _, reading: reading.active_ratio.get(unit)


def traffic(way: str) -> Tell:
    """Tell the traffic of a link in one direction."""
    return lambda _, reading: scaled(reading.link_bytes_per_second.get(way), 1)


def rows(kind: str) -> Tell:
    """Tell remapped rows, or whether one is pending or failed."""
    return lambda _, reading: reading.remapped_rows.get(kind)


def instant_watts(_: GpuFigures, reading: GpuReading) -> float | None:
    """Return the power over the driver's shortest window."""
    power = reading.power.get(PowerScope.GPU)
    return None if power is None else power.instant_watts


def free_bytes(reading: GpuReading) -> float | None:
    """Return what is neither used nor reserved; where `reserved` is not told, `used` holds it."""
    if reading.memory_total_bytes is None or reading.memory_used_bytes is None:
        return None
    return reading.memory_total_bytes - reading.memory_used_bytes - (reading.memory_reserved_bytes or 0)


def used_ratio(_: GpuFigures, reading: GpuReading) -> float | None:
    """Return the share of the memory that is used, of what the driver leaves."""
    total, used, reserved = (
        reading.memory_total_bytes,
        reading.memory_used_bytes,
        reading.memory_reserved_bytes,
    )
    if total is None or used is None or reserved is None or total <= reserved:
        return None
    return used / (total - reserved)
