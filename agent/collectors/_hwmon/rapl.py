"""Energy counters of x86 CPUs (RAPL) under /sys/class/powercap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._hwmon.files import number, text

if TYPE_CHECKING:
    from pathlib import Path

MICRO = 1e-6
PARTS = {"package": "package", "core": "core", "uncore": "uncore", "dram": "dram", "psys": "platform"}
"""A package holds core and uncore; whether the platform holds memory differs between machines."""


@dataclass(slots=True)
class Zone:
    """One counter, made to go on where it wraps."""

    part: str
    unit: str
    energy: Path
    range_joules: float
    denied: bool = False
    """This user may not read it: since kernel 5.10 only root may."""
    _last: float | None = None
    _wrapped: float = 0.0

    def joules(self) -> float | None:
        """Return what it has counted; None when it cannot be read."""
        try:
            self.energy.open("rb").close()
        except OSError as error:
            self.denied = isinstance(error, PermissionError)
            return None
        self.denied = False
        micro = number(self.energy)
        if micro is None or micro < 0:
            return None
        raw = micro * MICRO
        if self._last is not None and raw < self._last:
            self._wrapped += self.range_joules
        self._last = raw
        return self._wrapped + raw


def zones(root: Path) -> list[Zone]:
    """Find the zones. `intel-rapl-mmio` shows the same packages a second time and is left out."""
    found = []
    folders = sorted((root / "class" / "powercap").glob("intel-rapl:*"))
    packages = {folder.name: text(folder / "name") for folder in folders}
    for folder in folders:
        kind, _, place = packages[folder.name].partition("-")
        parent = ":".join(folder.name.split(":")[:2])
        unit = place or packages.get(parent, "").partition("-")[2] or parent.removeprefix("intel-rapl:")
        wrap = number(folder / "max_energy_range_uj")
        if kind in PARTS and wrap is not None and (folder / "energy_uj").exists():
            found.append(Zone(PARTS[kind], unit, folder / "energy_uj", wrap * MICRO))
    return found
