"""Air, coolant, fans and leak detectors: which resources tell of them, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from agent.collectors._redfish.documents import (
    amount,
    at,
    excerpt_name,
    is_absent,
    items,
    link,
    name_of,
    number,
    path_of,
)
from agent.measure.environment import EnvironmentReading, LeakState

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from agent.collectors._redfish.documents import Document
    from agent.collectors._redfish.tree import Chassis, Explorer
    from agent.measure.reading import Moment

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")
MOST_WANTED = 32
"""Resources of this kind that are read for one target …"""
MOST_SENSORS = 64
"""… and sensors of one kind that are told of it."""
MOST_CHASSIS = 16
"""Chassis whose cooling is looked at: those of the boundary, and those that hold boards."""
PARTS = frozenset({"Component", "Card", "Cartridge", "IPBasedDrive"})
COLDEST_CELSIUS, HOTTEST_CELSIUS = -50.0, 150.0
PER_MINUTE = 1.0 / 60.0
KILO = 1000.0
PERCENT = 0.01
CONTEXTS = {"Intake": "intake", "Exhaust": "exhaust", "Room": "ambient"}
SUMMARY = {"Intake": "intake", "Exhaust": "exhaust", "Ambient": "ambient"}
PLACES = (
    ("intake", re.compile(r"inlet|intake", re.IGNORECASE)),
    ("exhaust", re.compile(r"exhaust|outlet", re.IGNORECASE)),
    ("ambient", re.compile(r"ambient", re.IGNORECASE)),
)
"""By the name of a sensor, where it does not say its place otherwise."""
PRESSURES = {"supply": "SupplyPressurekPa", "return": "ReturnPressurekPa", "delta": "DeltaPressurekPa"}
LEAKS = {"OK": LeakState.OK, "Warning": LeakState.WARNING, "Critical": LeakState.CRITICAL}


@dataclass(slots=True)
class Air:
    """What is gathered in one round, before it becomes a reading."""

    temperatures: dict[tuple[str, str], float] = field(default_factory=dict)
    flows: dict[str, float] = field(default_factory=dict)
    pressures: dict[tuple[str, str], float] = field(default_factory=dict)
    heats: dict[str, float] = field(default_factory=dict)
    fans: dict[str, float] = field(default_factory=dict)
    leaks: dict[str, LeakState] = field(default_factory=dict)

    def reading(self, target: str, moment: Moment) -> EnvironmentReading | None:
        """Return what was gathered; None when it is nothing."""
        told = (self.temperatures, self.flows, self.pressures, self.heats, self.fans, self.leaks)
        return EnvironmentReading(target, moment, *told) if any(told) else None

    def warm(self, place: str, sensor: str, value: object) -> None:
        """Note a temperature, if it is one."""
        celsius = number(value)
        if celsius is not None and COLDEST_CELSIUS <= celsius <= HOTTEST_CELSIUS:
            keep(self.temperatures, (place, sensor), celsius)


@dataclass(frozen=True, slots=True)
class Want:
    """One resource that is read for its surroundings."""

    path: str
    read: Callable[[Document, str, Air], None]
    """What takes its figures out of it; gets what owns the resource."""
    owner: str


def keep(into: dict[Key, Value], key: Key, value: Value) -> None:
    """Note one sensor, unless there are too many."""
    if len(into) < MOST_SENSORS or key in into:
        into[key] = value


async def look(explorer: Explorer, chosen: Sequence[Chassis]) -> tuple[Want, ...]:
    """Find what tells of the surroundings: of what was chosen first, then of other boards and of CDUs."""
    rest = [each for each in explorer.tree.chassis if each.kind not in PARTS and each not in chosen]
    wants: list[Want] = []
    for chassis in [*chosen, *rest][:MOST_CHASSIS]:
        wants += await _of_chassis(explorer, chassis)
    for cdu in explorer.tree.cdus:
        for key in ("PrimaryCoolantConnectors", "SecondaryCoolantConnectors"):
            wants += await _each(explorer, link(cdu.document, key), connector, cdu.name)
        wants += await _leaks(explorer, link(cdu.document, "LeakDetection"), cdu.name)
    return tuple(wants[:MOST_WANTED])


async def _of_chassis(explorer: Explorer, chassis: Chassis) -> list[Want]:
    name, subsystem = chassis.name, await explorer.get(link(chassis.document, "ThermalSubsystem"))
    wants = await _leaks(explorer, link(subsystem, "LeakDetection"), name)
    wants += await _one(explorer, link(subsystem, "ThermalMetrics"), thermal, name)
    wants += await _each(explorer, link(subsystem, "CoolantConnectors"), connector, name)
    wants += await _each(explorer, link(subsystem, "Fans"), fan, name)
    if subsystem is None:
        wants += await _one(explorer, link(chassis.document, "Thermal"), old_thermal, name)
    return wants


async def _leaks(explorer: Explorer, path: str | None, owner: str) -> list[Want]:
    """Read the groups of detectors where they tell states, else each detector."""
    wants = await _one(explorer, path, leak_groups, owner)
    if wants:
        return wants
    return await _each(explorer, link(await explorer.get(path), "LeakDetectors"), leak, owner)


async def _one(
    explorer: Explorer, path: str | None, read: Callable[[Document, str, Air], None], owner: str
) -> list[Want]:
    """Want a resource if it tells anything now."""
    document = await explorer.get(path)
    if path is None or document is None:
        return []
    air = Air()
    read(document, owner, air)
    told = (air.temperatures, air.flows, air.pressures, air.heats, air.fans, air.leaks)
    return [Want(path, read, owner)] if any(told) else []


async def _each(
    explorer: Explorer, path: str | None, read: Callable[[Document, str, Air], None], owner: str
) -> list[Want]:
    """Want every member of a collection that tells anything now."""
    wants = []
    for place, _ in (await explorer.members(path))[:MOST_WANTED]:
        wants += await _one(explorer, place, read, owner)
    return wants


def thermal(document: Document, owner: str, air: Air) -> None:
    """Read ThermalMetrics: its summary, and those of its sensors whose place is known."""
    for key, place in SUMMARY.items():
        told = at(document, "TemperatureSummaryCelsius", key)
        air.warm(place, excerpt_name(told, owner), told)
    for told in items(document, "TemperatureReadingsCelsius"):
        sensor = excerpt_name(told, owner)
        place = place_of(told.get("PhysicalContext"), sensor)
        if place:
            air.warm(place, sensor, told)


def old_thermal(document: Document, owner: str, air: Air) -> None:
    """Read Thermal, the older schema."""
    for told in items(document, "Temperatures"):
        name = told.get("Name")
        sensor = name_of({"Id": name}, owner)
        place = place_of(told.get("PhysicalContext"), sensor)
        if place and not is_absent(told):
            air.warm(place, sensor, told.get("ReadingCelsius"))
    for told in items(document, "Fans"):
        ratio = amount(told.get("Reading"))
        if told.get("ReadingUnits") == "Percent" and ratio is not None and not is_absent(told):
            keep(air.fans, name_of({"Id": told.get("Name")}, owner), ratio * PERCENT)


def place_of(context: object, sensor: str) -> str:
    """Return where a sensor is; empty where that is nowhere of interest."""
    if isinstance(context, str) and context in CONTEXTS:
        return CONTEXTS[context]
    if context not in {None, "SystemBoard", "Chassis", "Board", "Other", ""}:
        return ""  # the inlet of a power supply is no inlet of the node
    return next((place for place, words in PLACES if words.search(sensor)), "")


def connector(document: Document, owner: str, air: Air) -> None:
    """Read one coolant connector."""
    sensor = f"{owner}/{name_of(document, str(document.get('@odata.id', '')))}"
    air.warm("coolant_supply", sensor, document.get("SupplyTemperatureCelsius"))
    air.warm("coolant_return", sensor, document.get("ReturnTemperatureCelsius"))
    flow, heat = amount(document.get("FlowLitersPerMinute")), amount(document.get("HeatRemovedkW"))
    if flow is not None:
        keep(air.flows, sensor, flow * PER_MINUTE)
    if heat is not None:
        keep(air.heats, sensor, heat * KILO)
    for place, key in PRESSURES.items():
        pressure = number(document.get(key))
        if pressure is not None:
            keep(air.pressures, (place, sensor), pressure * KILO)


def fan(document: Document, owner: str, air: Air) -> None:
    """Read one fan."""
    percent = amount(document.get("SpeedPercent"))
    if percent is not None and not is_absent(document):
        keep(air.fans, f"{owner}/{name_of(document, '')}", percent * PERCENT)


def leak(document: Document, owner: str, air: Air) -> None:
    """Read one leak detector."""
    if not is_absent(document):
        state = document.get("DetectorState", at(document, "Status", "Health"))
        keep(air.leaks, f"{owner}/{name_of(document, '')}", _state(state))


def leak_groups(document: Document, owner: str, air: Air) -> None:
    """Read the detectors that LeakDetection tells itself."""
    for group in items(document, "LeakDetectorGroups"):
        for told in items(group, "Detectors"):
            source = path_of(told.get("DataSourceUri"))
            if "DetectorState" in told and (source or told.get("DeviceName")):
                keep(air.leaks, f"{owner}/{excerpt_name(told, '')}", _state(told["DetectorState"]))


def _state(told: object) -> LeakState:
    return LEAKS.get(told, LeakState.UNKNOWN) if isinstance(told, str) else LeakState.UNKNOWN
