"""What stands around GPUs and cools them: air, coolant, fans, leaks, as management controllers tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.row import Row, state_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from agent.measure.reading import Moment


class LeakState(StrEnum):
    """What a leak detector says."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"  # it is there and says nothing


@dataclass(frozen=True, slots=True)
class EnvironmentReading:
    """Sensors of one target; what does not answer is not in it."""

    target: str
    """Who told them: the name of a management controller."""
    at: Moment
    temperature_celsius: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By place (intake, exhaust, ambient, coolant_supply, coolant_return) and sensor."""
    coolant_flow_liters_per_second: Mapping[str, float] = field(default_factory=dict)
    coolant_pressure_pascals: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By place (supply, return, delta) and sensor."""
    coolant_heat_watts: Mapping[str, float] = field(default_factory=dict)
    """What the coolant carries away."""
    fan_speed_ratio: Mapping[str, float] = field(default_factory=dict)
    leaks: Mapping[str, LeakState] = field(default_factory=dict)


class EnvironmentBook:
    """What each source told last of its surroundings."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[EnvironmentReading, ...]] = {}

    @property
    def readings(self) -> tuple[EnvironmentReading, ...]:
        """All that is told now."""
        return tuple(each for told in self._told.values() for each in told)

    def expect(self, sources: Collection[str]) -> None:
        """Know only what these sources told."""
        for source in self._told.keys() - set(sources):
            del self._told[source]

    def take(self, source: str, told: tuple[EnvironmentReading, ...]) -> None:
        """Take what one source tells, if it tells anything."""
        if told:
            self._told[source] = told
        else:
            self.miss(source)

    def miss(self, source: str) -> None:
        """Note that a source failed: what it told is no longer known (T15)."""
        self._told.pop(source, None)


LEAK_STATES = (*LeakState,)


def environment_rows(readings: Sequence[EnvironmentReading]) -> Iterator[Row]:
    """Yield what is known of the surroundings. Unknown is left out, never 0."""
    for told in readings:
        of = (told.target,)
        for (place, sensor), celsius in told.temperature_celsius.items():
            yield Row("environment_temperature_celsius", (*of, place, sensor), celsius)
        yield from _coolant_rows(told)
        for sensor, ratio in told.fan_speed_ratio.items():
            yield Row("fan_speed_ratio", (*of, sensor), ratio)
        for sensor, state in told.leaks.items():
            yield from state_rows("leak_detector_state", (*of, sensor), LEAK_STATES, state)


def _coolant_rows(told: EnvironmentReading) -> Iterator[Row]:
    of = (told.target,)
    for sensor, flow in told.coolant_flow_liters_per_second.items():
        yield Row("coolant_flow_liters_per_second", (*of, sensor), flow)
    for (place, sensor), pascals in told.coolant_pressure_pascals.items():
        yield Row("coolant_pressure_pascals", (*of, place, sensor), pascals)
    for sensor, watts in told.coolant_heat_watts.items():
        yield Row("coolant_heat_watts", (*of, sensor), watts)
