"""Which resources measure a boundary: every way that a service offers, the best first."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.collectors._redfish.documents import (
    amount,
    at,
    is_absent,
    items,
    last_step,
    link,
    links,
    name_of,
    path_of,
)
from agent.collectors._redfish.target import Boundary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._redfish.documents import Document
    from agent.collectors._redfish.target import Target
    from agent.collectors._redfish.tree import Chassis, Equipment, Explorer

PARTS = frozenset({"Component", "Module", "Card", "Cartridge", "Zone", "Expansion", "IPBasedDrive"})
"""Kinds of chassis that are a part of a node: a baseboard of GPUs, a GPU, a network card."""
SHELVES = frozenset({"Shelf", "PowerShelf"})
RACKS = frozenset({"Rack"})
AROUND = frozenset({"Enclosure", "Rack", "Pod", "Row"})
"""Kinds of chassis that hold several nodes."""
TOTAL = re.compile(
    r"(?:.*_)?(?:total_?(?:hsc_|system_|input_)?power|totalhsc_power|(?:system|chassis|node|platform|sys)_?"
    r"(?:total_?|input_?)?power)(?:_\d+)?",
    re.IGNORECASE,
)
"""Names of sensors that measure a whole chassis (Chassis_0_TotalHSC_Power_0), and not its GPUs alone."""
MOST_PROBES = 64


@dataclass(frozen=True, slots=True)
class Probe:
    """One figure of one resource that is read each round."""

    path: str
    watts: tuple[str, ...]
    """Keys of the power in it."""
    unit: str = ""
    """Which of several; empty for the only one."""
    joules: tuple[str, ...] = ()
    """Keys of an energy counter in joules."""
    kwh: tuple[str, ...] = ()
    """Keys of an energy counter in kilowatt hours."""
    listed: str = ""
    """In a metric report: the sensor whose value it is."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to measure a boundary: the sum of its probes."""

    name: str
    """environment, power_supplies, power_control, sensor, power_shelves, rack_pdus."""
    what: str
    """For people: where it is read."""
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways of one boundary, the first of which is its source."""

    ways: tuple[Way, ...] = ()
    note: str = ""
    """Why there is none, and how to have one."""
    chassis: tuple[Chassis, ...] = ()
    """What was chosen to be the boundary."""


async def choose(explorer: Explorer, target: Target) -> Choice:
    """Find what measures the target's boundary."""
    if target.boundary is Boundary.NONE:
        return Choice()
    if target.meter:
        return await _configured(explorer, target)
    if target.boundary is Boundary.RACK:
        return await _of_rack(explorer)
    return await _of_node(explorer)


async def _of_node(explorer: Explorer) -> Choice:
    """Take the one chassis that holds the computer, whole; of several that tell power none is added."""
    tree = explorer.tree
    kinds = {each.path: each.kind for each in tree.chassis}
    whole = frozenset(path for path, kind in kinds.items() if kind not in PARTS | AROUND | SHELVES)
    named = frozenset(tree.of_systems & whole)
    outermost = tree.outermost(named or whole or frozenset(kinds))
    told = [(each, ways) for each in outermost if (ways := await _of_chassis(explorer, each))]
    if len(told) == 1:
        chassis, ways = told[0]
        return Choice(tuple(ways), chassis=(chassis,))
    if told:
        several = ", ".join(each.path for each, _ in told)
        text = f"several chassis tell power, and none is said to contain the others ({several}); set meter"
        return Choice(note=text, chassis=outermost)
    text = "no chassis of the computer tells its power; set meter, or boundary: none for its sensors alone"
    return Choice(note=text, chassis=outermost)


async def _of_rack(explorer: Explorer) -> Choice:
    """Take all power shelves, else all PDUs, else the chassis of shelves: never two of these together."""
    tree = explorer.tree
    ways = []
    for name, listed in (("power_shelves", tree.shelves), ("rack_pdus", tree.pdus)):
        way = await _of_equipment(explorer, name, listed)
        if way is not None:
            ways.append(way)
    racks = [each for each in tree.chassis if each.kind in RACKS]
    shelves = [each for each in tree.chassis if each.kind in SHELVES]
    chosen = tree.outermost(frozenset(each.path for each in (racks or shelves)))
    ways += await _of_several(explorer, chosen)
    note = "" if ways else "neither power shelves nor PDUs nor a rack tell their power; set meter"
    return Choice(tuple(ways), note, chosen)


async def _of_several(explorer: Explorer, chosen: Sequence[Chassis]) -> list[Way]:
    """Add chassis up, each by the same way; a way that one of them lacks is none."""
    each_ways = [{way.name: way for way in await _of_chassis(explorer, each)} for each in chosen]
    if not each_ways:
        return []
    return [
        Way(name, " + ".join(ways[name].what for ways in each_ways), _named(chosen, each_ways, name))
        for name in each_ways[0]
        if all(name in ways for ways in each_ways)
    ]


def _named(chosen: Sequence[Chassis], each_ways: Sequence[dict[str, Way]], name: str) -> tuple[Probe, ...]:
    found = []
    for chassis, ways in zip(chosen, each_ways, strict=True):
        for probe in ways[name].probes:
            unit = "/".join(filter(None, (chassis.name if len(chosen) > 1 else "", probe.unit)))
            found.append(replace(probe, unit=unit))
    return tuple(found)


async def _of_equipment(explorer: Explorer, name: str, listed: Sequence[Equipment]) -> Way | None:
    """Add up the metrics of all that are there; outlets and branches are parts of them and never read."""
    probes = []
    for each in listed:
        if is_absent(each.document):
            continue
        path = link(each.document, "Metrics")
        document = await explorer.get(path)
        if amount(at(document, "PowerWatts")) is None or path is None:
            return None
        probes.append(Probe(path, ("PowerWatts",), each.name, kwh=_kwh(document)))
    where = listed[0].path.rpartition("/")[0] + "/*/Metrics" if listed else ""
    return Way(name, where, tuple(probes)) if 0 < len(probes) <= MOST_PROBES else None


async def _of_chassis(explorer: Explorer, chassis: Chassis) -> list[Way]:
    """Return every way in which one chassis tells its power, the best first."""
    document = chassis.document
    found = [
        await _environment(explorer, link(document, "EnvironmentMetrics")),
        await _power_supplies(explorer, link(document, "PowerSubsystem")),
        await _power_control(explorer, link(document, "Power")),
        await _sensor(explorer, link(document, "Sensors")),
    ]
    ways = [way for way in found if way is not None]
    return ways or await _reported(explorer, chassis)


async def _environment(explorer: Explorer, path: str | None) -> Way | None:
    document = await explorer.get(path)
    if path is None or amount(at(document, "PowerWatts")) is None:
        return None
    counts = ("EnergyJoules",) if amount(at(document, "EnergyJoules")) is not None else ()
    return Way("environment", path, (Probe(path, ("PowerWatts",), "", counts, _kwh(document)),))


def _kwh(document: Document | None) -> tuple[str, ...]:
    """Return where its counter in kilowatt hours is: that of its whole life, which nobody resets, first."""
    if amount(at(document, "EnergykWh", "LifetimeReading")):  # 0 is a firmware that does not count it
        return ("EnergykWh", "LifetimeReading")
    return ("EnergykWh",) if amount(at(document, "EnergykWh")) is not None else ()


async def _power_supplies(explorer: Explorer, path: str | None) -> Way | None:
    """Add up what all supplies draw; a supply that does not tell makes the sum none."""
    supplies = await explorer.members(link(await explorer.get(path), "PowerSupplies"))
    probes = []
    for place, supply in supplies:
        if is_absent(supply):
            continue
        metrics = link(supply, "Metrics")
        document = await explorer.get(metrics)
        if metrics is None or amount(at(document, "InputPowerWatts")) is None:
            return None
        probes.append(Probe(metrics, ("InputPowerWatts",), name_of(supply, place), kwh=_kwh(document)))
    return (
        Way("power_supplies", f"{path}/PowerSupplies", tuple(probes))
        if 0 < len(probes) <= MOST_PROBES
        else None
    )


async def _power_control(explorer: Explorer, path: str | None) -> Way | None:
    """Take the first figure of the older schema; further ones are parts of it (CPUs, memory)."""
    document = await explorer.get(path)
    controls = items(document, "PowerControl")
    if path is None or not controls or amount(controls[0].get("PowerConsumedWatts")) is None:
        return None
    return Way("power_control", path, (Probe(path, ("PowerControl", "PowerConsumedWatts")),))


async def _sensor(explorer: Explorer, path: str | None) -> Way | None:
    """Take the sensor whose name says that it measures the whole."""
    for place in links(await explorer.get(path), "Members"):
        if not TOTAL.fullmatch(last_step(place)):
            continue
        sensor = await explorer.get(place)
        if at(sensor, "ReadingUnits") in {"W", None} and amount(at(sensor, "Reading")) is not None:
            return Way("sensor", place, (Probe(place, ("Reading",)),))
    return None


async def _reported(explorer: Explorer, chassis: Chassis) -> list[Way]:
    """Look for the total of a chassis among the reports of the telemetry service."""
    for path in explorer.tree.reports:
        for row in items(await explorer.get(path), "MetricValues"):
            sensor = sensor_of(row)
            whole = sensor.startswith(f"{chassis.path}/") and TOTAL.fullmatch(last_step(sensor))
            if whole and reported(row) is not None:
                return [Way("metric_report", path, (Probe(path, (), listed=sensor),))]
    return []


def sensor_of(row: Document) -> str:
    """Return the path of the sensor that a row of a report tells of; empty for what is no sensor."""
    return (path_of(row.get("MetricProperty")) or "").removesuffix("/Reading")


def reported(row: Document) -> float | None:
    """Return the value of a row of a report, which is text."""
    value = row.get("MetricValue")
    try:
        return amount(float(value)) if isinstance(value, str) and len(value) < NUMBER_CHARACTERS else None
    except ValueError:
        return None


NUMBER_CHARACTERS = 40


async def _configured(explorer: Explorer, target: Target) -> Choice:
    """Take the resource that the configuration names, by what it is."""
    path = path_of(target.meter) or ""
    document = await explorer.get(path)
    chassis = next((each for each in explorer.tree.chassis if each.path == path), None)
    if chassis is not None:
        ways = await _of_chassis(explorer, chassis)
        if ways:
            return Choice(tuple(ways), chassis=(chassis,))
    for keys in (("PowerWatts",), ("InputPowerWatts",), ("Reading",)):
        if amount(at(document, *keys)) is not None:
            counts = ("EnergyJoules",) if amount(at(document, "EnergyJoules")) is not None else ()
            return Choice((Way("meter", path, (Probe(path, keys, "", counts, _kwh(document)),)),))
    return Choice(note=f"meter: {path} tells no power; name a chassis, its EnvironmentMetrics or a sensor")
