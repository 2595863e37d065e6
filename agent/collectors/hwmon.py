"""Power meters that Linux shows: ACPI meters by their labels (Grace), energy counters of x86 CPUs (RAPL)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.aside import Aside
from agent.collectors._hwmon import acpi, rapl
from agent.measure.finding import found_once
from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Seconds, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.finding import Finding
    from agent.measure.snapshot import Snapshot

SEARCH_SECONDS = 60.0
"""Meters are looked for so often: a module may be loaded later, and its numbers then change."""
NOTHING = (
    "{root}: no ACPI power meter and no RAPL counter is there; load the kernel module acpi_power_meter "
    "(Grace) or intel_rapl_common (x86), or leave this collector out"
)
SHORT = (
    "hwmon: power is the mean of less than a second and may alias with periodic load; as root, write 1000 "
    "into power1_average_interval of each meter"
)
ROOT_ONLY = (
    "hwmon: RAPL counters are readable by root only on this kernel and stay absent; give this user the right "
    "to read /sys/class/powercap/*/energy_uj if the energy of CPUs is needed"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.hwmon`."""

    interval: Seconds = setting(Seconds(1.0), "How often the meters are read.")
    timeout: Seconds = setting(Seconds(3.0), "Deadline of one collection.")
    root: str = setting("/sys", "Where the kernel's tree is: /host/sys in a container that has it there.")
    node_meter: str = setting(
        "",
        "Label of the ACPI meter that measures the whole node at its inlet, if one does; without it no meter "
        "stands for the node.",
    )

    def __post_init__(self) -> None:
        """Refuse durations that mean nothing."""
        for key in ("interval", "timeout"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")


def build(settings: Settings) -> HwmonCollector:
    """Make the collector; nothing is opened before the first collection."""
    return HwmonCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at the meters once, for `rackwatt doctor`."""
    return await found_once(build(settings), Moment(time.monotonic(), time.time()), _in_words)


def _in_words(reading: Reading) -> str:
    names = ", ".join(sorted(f"{meter.part} {meter.unit}" for meter in reading.meters))
    return f"meters: {names}"


class HwmonCollector:
    """The plug-in and its only source."""

    name = "hwmon"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aside: Aside[tuple[MeterReading, ...]] = Aside("hwmon")
        self._meters: list[acpi.Meter] = []
        self._zones: list[rapl.Zone] = []
        self._searched_seconds: float | None = None
        self._short = False

    @property
    def interval_seconds(self) -> float:
        """The configured interval."""
        return self._settings.interval

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[HwmonCollector]:  # noqa: ARG002 - the port's signature
        """One source: this machine."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Read every meter; one that does not answer is absent."""
        if self._aside.busy:
            raise SourceError(Reason.OVERLAPPED, "the firmware has not returned from an earlier reading")
        meters = await self._aside.run(lambda: self._read(now))
        if not self._meters and not self._zones:
            raise SourceError(Reason.UNSUPPORTED, NOTHING.format(root=self._settings.root))
        notes = self._notes()
        if not meters and notes:
            raise SourceError(Reason.DENIED, notes[0].removeprefix("hwmon: "))
        return Reading(self.name, now, meters=meters, notes=notes)

    async def close(self) -> None:
        """Nothing is held open."""

    def _notes(self) -> tuple[str, ...]:
        root_only = (ROOT_ONLY,) if any(zone.denied for zone in self._zones) else ()
        return (*root_only, *((SHORT,) if self._short else ()))

    def _read(self, now: Moment) -> tuple[MeterReading, ...]:
        """Read each meter, in a thread of its own."""
        self._search()
        later = now.unix_seconds - now.monotonic_seconds
        told = []
        for meter in self._meters:
            watts, at = meter.watts(), time.monotonic()
            if watts is not None:
                told.append(meter.reading(Moment(at, at + later), watts, unverified=self._short))
        for zone in self._zones:
            joules, at = zone.joules(), time.monotonic()
            if joules is not None:
                told.append(MeterReading(zone.part, zone.unit, Moment(at, at + later), None, joules))
        return tuple(told)

    def _search(self) -> None:
        """Look for meters now and then; a counter that is known goes on."""
        now = time.monotonic()
        if self._searched_seconds is not None and now - self._searched_seconds < SEARCH_SECONDS:
            return
        self._searched_seconds = now
        root = Path(self._settings.root)
        self._meters = acpi.meters(root, self._settings.node_meter)
        self._short = any(meter.short for meter in self._meters)
        known = {zone.energy: zone for zone in self._zones}
        self._zones = [known.get(zone.energy, zone) for zone in rapl.zones(root)]
