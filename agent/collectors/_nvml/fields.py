"""NVML's numbers: field ids (by driver version where they moved), scopes, clock event bits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.gpu import RECOVERY_ACTIONS, PowerScope

if TYPE_CHECKING:
    from collections.abc import Hashable

MILLI = 1e3
NANO = 1e9


@dataclass(frozen=True, slots=True)
class Field:
    """One (field id, scope) of nvmlDeviceGetFieldValues and where its value goes."""

    attribute: str
    """Of GpuReading."""
    key: Hashable
    """Inside that attribute, when it is a mapping."""
    number: int
    scope: int
    divisor: float
    """From NVML's unit to ours."""

    @property
    def label(self) -> str:
        """What to call it in a sentence."""
        inside = "" if self.key is None else f" {self.key}"
        return f"field {self.number} scope {self.scope} ({self.attribute}{inside})"


SCOPES = {PowerScope.GPU: 0, PowerScope.MODULE: 1, PowerScope.MEMORY: 2}

ENERGY = Field("energy_joules", None, 83, 0, MILLI)
AVERAGES = tuple(Field("average_watts", scope, 185, number, MILLI) for scope, number in SCOPES.items())
INSTANTS = tuple(Field("instant_watts", scope, 186, number, MILLI) for scope, number in SCOPES.items())
LIMITS = tuple(
    Field("power_limit_watts", scope, 190, SCOPES[scope], MILLI)
    for scope in (PowerScope.GPU, PowerScope.MODULE)
)
MEMORY_TEMPERATURE = Field("temperature_celsius", "memory", 82, 0, 1)
RECOVERY_ACTION = Field("recovery_action", None, 230, 0, 1)
PCIE_REPLAYS = Field("pcie_replays", None, 94, 0, 1)

FAST = (ENERGY, *AVERAGES, *INSTANTS)
SLOW = (RECOVERY_ACTION, PCIE_REPLAYS)

THROTTLES = {
    "sw_power_cap": 74,
    "thermal": 75,
    "sync_boost": 76,
    "board_limit": 77,
    "low_utilization": 78,
    "reliability": 79,
    "base_clocks": 81,
}
"""Nanoseconds spent below the wished clocks, by reason; these ids never moved."""

MOVED_REASONS = ("sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")

FIRST_MOVED_ID = (
    (
        (575, 0),
        251,
    ),  # 12.9 and 13.0.39 headers: the reasons entered at 251 and pushed power smoothing up by 5
    ((580, 82), 269),  # 13.0.87 header: power smoothing is back at 251, the reasons went behind it
)
"""First of three consecutive ids, from a driver version on. On other drivers the same ids mean power
smoothing, so that a fixed table would read "smoothing enabled" as nanoseconds of thermal slowdown."""


def driver_version(text: str) -> tuple[int, int]:
    """Return (branch, minor) of a driver's version, (0, 0) when it cannot be told."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def throttle_fields(driver: str) -> tuple[Field, ...]:
    """Return the throttle time counters that this driver has, by its own numbering."""
    numbers = dict(THROTTLES)
    version = driver_version(driver)
    firsts = [first for since, first in FIRST_MOVED_ID if version >= since]
    if firsts:
        numbers |= {reason: firsts[-1] + place for place, reason in enumerate(MOVED_REASONS)}
    return tuple(Field("throttled_seconds", reason, number, 0, NANO) for reason, number in numbers.items())


def detail(driver: str) -> tuple[Field, ...]:
    """Return the fields that are read every few seconds: what they count is not less for that."""
    return (*LIMITS, MEMORY_TEMPERATURE, *throttle_fields(driver))


def recovery_action(number: float) -> str:
    """Name a value of field 230; one that is newer than this table keeps its number."""
    place = int(number)
    return RECOVERY_ACTIONS[place] if 0 <= place < len(RECOVERY_ACTIONS) else f"action_{place}"
