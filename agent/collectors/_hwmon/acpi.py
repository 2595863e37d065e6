"""ACPI power meters under /sys/class/hwmon: on Grace one for each rail of a socket, by its label."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._hwmon.files import number, text
from agent.measure.meter import MeterReading
from agent.wire.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from agent.measure.reading import Moment

MICRO = 1e-6
MILLI = 1e-3
DRIVER = "power_meter"
"""What the kernel's acpi_power_meter calls itself."""
LABELS = re.compile(
    r"(?P<rail>[A-Za-z]+(?: Rail)?)(?: Input)? Power(?: in uW)?,? Socket (?P<socket>\d+)", re.IGNORECASE
)
RAILS = {
    "module": "module",  # both GPUs, the CPU, regulators
    "grace": "grace",  # the CPU socket with its memory
    "cpu": "cpu",  # its cores alone
    "cpu rail": "cpu",
    "sysio": "sysio",
    "soc": "soc",
    "soc rail": "soc",
    "dram": "dram",
    "total": "total",
}
"""Rails contain each other: the module's holds the others, Grace's holds CPU and SysIO."""
WHOLE_SECOND = 1.0
MOST_MEAN_SECONDS = 60.0
"""A meter that says more is not believed."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter and where it is read."""

    part: str
    unit: str
    power: Path
    mean_seconds: float
    """Its power is the mean of so long; 0 where it does not tell."""
    label: str

    def watts(self) -> float | None:
        """Return its power; None while the firmware has no valid value."""
        micro = number(self.power)
        return None if micro is None or micro < 0 else micro * MICRO

    def reading(self, at: Moment, watts: float, *, unverified: bool) -> MeterReading:
        """Return what it told at a moment."""
        return MeterReading(
            self.part, self.unit, at, watts, unverified=unverified, mean_seconds=self.mean_seconds
        )

    @property
    def short(self) -> bool:
        """Whether its power is the mean of less than a second."""
        return 0.0 < self.mean_seconds < WHOLE_SECOND


def meters(root: Path, node_meter: str) -> list[Meter]:
    """Find the meters. Their numbers change from boot to boot, so that labels alone tell them apart."""
    found = []
    for folder in sorted((root / "class" / "hwmon").glob("hwmon*"), key=_number):
        if text(folder / "name") not in {"", DRIVER}:
            continue
        for place in (folder, folder / "device"):  # kernels differ in where the driver's files are
            if (place / "power1_average").exists():
                label = text(place / "power1_oem_info") or text(place / "power1_label")
                part, unit = part_of(label, node_meter, folder.name)
                mean = (number(place / "power1_average_interval") or 0) * MILLI
                mean = mean if 0.0 < mean <= MOST_MEAN_SECONDS else 0.0
                found.append(Meter(part, unit, place / "power1_average", mean, label))
                break
    return found


def part_of(label: str, node_meter: str, name: str) -> tuple[str, str]:
    """Return what a label names; one that is unknown keeps its own name, and is added to nothing."""
    if node_meter and label == node_meter:
        return "node", "0"
    match = LABELS.fullmatch(label.strip())
    if match is not None and match["rail"].lower() in RAILS:
        return RAILS[match["rail"].lower()], match["socket"]
    return printable(label.strip()) or "unlabelled", name


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.removeprefix("hwmon")
    return (int(digits) if digits.isdecimal() else 0), folder.name
