"""Trees of Redfish as controllers have them: written by hand after the schemas, none of them recorded.

The names are those that machines of the kind are publicly said to use; the figures are made up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

V1 = "/redfish/v1"
CHASSIS = f"{V1}/Chassis"
Tree = dict[str, dict[str, Any]]


def to(path: str) -> dict[str, str]:
    """A link."""
    return {"@odata.id": path}


def collection(path: str, *names: str) -> Tree:
    """A collection of the resources of these names below it."""
    return {path: {"@odata.id": path, "Name": path, "Members": [to(f"{path}/{name}") for name in names]}}


def root(*rooms: str, vendor: str = "Example", expands: bool = False) -> Tree:
    """The root, with links to these rooms."""
    told = {room: to(f"{V1}/{room}") for room in rooms}
    features = {"ProtocolFeaturesSupported": {"ExpandQuery": {"NoLinks": expands, "ExpandAll": expands}}}
    return {
        V1: {
            "@odata.id": V1,
            "Id": "RootService",
            "RedfishVersion": "1.17.0",
            "Vendor": vendor,
            **told,
            **features,
        }
    }


def chassis(name: str, kind: str, inside: str = "", **more: Any) -> Tree:
    """One chassis; more is added as it stands, a text becomes the link to what lies below it."""
    path = f"{CHASSIS}/{name}"
    links = {"Links": {"ContainedBy": to(f"{CHASSIS}/{inside}")}} if inside else {}
    told = {key: to(f"{path}/{value}") if isinstance(value, str) else value for key, value in more.items()}
    return {path: {"@odata.id": path, "Id": name, "Name": name, "ChassisType": kind, **links, **told}}


def metrics(path: str, watts: float | None, **more: Any) -> Tree:
    """The EnvironmentMetrics of something."""
    reading = {"PowerWatts": {"Reading": watts}}
    return {path: {"@odata.id": path, "Id": "EnvironmentMetrics", **reading, **more}}


def supplies(path: str, *watts: float | None) -> Tree:
    """A power subsystem whose supplies draw this much."""
    names = [f"PSU{number}" for number in range(len(watts))]
    tree = {path: {"@odata.id": path, "Id": "PowerSubsystem", "PowerSupplies": to(f"{path}/PowerSupplies")}}
    tree |= collection(f"{path}/PowerSupplies", *names)
    for name, each in zip(names, watts, strict=True):
        place = f"{path}/PowerSupplies/{name}"
        tree[place] = {"@odata.id": place, "Id": name, "Metrics": to(f"{place}/Metrics")}
        tree[f"{place}/Metrics"] = {"@odata.id": f"{place}/Metrics", "InputPowerWatts": {"Reading": each}}
    return tree


def thermal(path: str, *readings: tuple[str, float], leaks: dict[str, str] | None = None) -> Tree:
    """A thermal subsystem with these temperatures and leak detectors."""
    tree: Tree = {
        path: {"@odata.id": path, "Id": "ThermalSubsystem", "ThermalMetrics": to(f"{path}/ThermalMetrics")}
    }
    sensors = path.removesuffix("/ThermalSubsystem") + "/Sensors"
    told = [{"Reading": celsius, "DataSourceUri": f"{sensors}/{name}"} for name, celsius in readings]
    place = f"{path}/ThermalMetrics"
    tree[place] = {"@odata.id": place, "Id": "ThermalMetrics", "TemperatureReadingsCelsius": told}
    if leaks is not None:
        tree[path]["LeakDetection"] = to(f"{path}/LeakDetection")
        detectors = f"{path}/LeakDetection/LeakDetectors"
        tree[f"{path}/LeakDetection"] = {"Id": "LeakDetection", "LeakDetectors": to(detectors)}
        tree |= collection(detectors, *leaks)
        for name, state in leaks.items():
            tree[f"{detectors}/{name}"] = {
                "@odata.id": f"{detectors}/{name}",
                "Id": name,
                "DetectorState": state,
            }
    return tree


def systems(**places: str) -> Tree:
    """Computer systems, each in its chassis."""
    tree = collection(f"{V1}/Systems", *places)
    for name, place in places.items():
        path = f"{V1}/Systems/{name}"
        tree[path] = {"@odata.id": path, "Id": name, "Links": {"Chassis": [to(f"{CHASSIS}/{place}")]}}
    return tree


def gb300_tray(watts: float | None = 6120.0, *, expands: bool = False) -> Tree:
    """A compute tray: a chassis that holds a baseboard of GPUs, modules and a board for power."""
    top, board = f"{CHASSIS}/Chassis_0", "HGX_Chassis_0"
    gpus = [f"HGX_GPU_{number}" for number in range(4)]
    modules = ["HGX_ProcessorModule_0", "HGX_ProcessorModule_1"]
    tree = root("Chassis", "Systems", vendor="NVIDIA", expands=expands)
    tree |= collection(CHASSIS, "Chassis_0", "BMC_0", "PDB_0", board, *modules, *gpus)
    tree |= systems(System_0="Chassis_0", HGX_Baseboard_0=board)
    tree |= chassis(
        "Chassis_0",
        "RackMount",
        EnvironmentMetrics="EnvironmentMetrics",
        Sensors="Sensors",
        ThermalSubsystem="ThermalSubsystem",
    )
    tree |= metrics(f"{top}/EnvironmentMetrics", watts)
    tree |= collection(f"{top}/Sensors", "Chassis_0_Altitude_0", "Chassis_0_TotalHSC_Power_0")
    sensor = f"{top}/Sensors/Chassis_0_TotalHSC_Power_0"
    tree[sensor] = {
        "Id": "Chassis_0_TotalHSC_Power_0",
        "Name": "Chassis 0 TotalHSC Power",
        "Reading": 6098.5,
        "ReadingType": "Power",
        "ReadingUnits": "W",
    }
    altitude = f"{top}/Sensors/Chassis_0_Altitude_0"
    tree[altitude] = {
        "Id": "Chassis_0_Altitude_0",
        "Name": "Chassis 0 Altitude 0",
        "Reading": 12.0,
        "ReadingType": "Altitude",
        "ReadingUnits": "m",
    }
    leaks = {"Chassis_0_LeakDetector_0_ColdPlate": "OK", "Chassis_0_LeakDetector_0_Manifold": "OK"}
    tree |= thermal(f"{top}/ThermalSubsystem", leaks=leaks)
    tree |= chassis("BMC_0", "Module", "Chassis_0") | chassis("PDB_0", "Module", "Chassis_0")
    tree |= chassis(board, "Module", "Chassis_0", EnvironmentMetrics="EnvironmentMetrics")
    tree |= metrics(f"{CHASSIS}/{board}/EnvironmentMetrics", 4720.0)
    for number, name in enumerate(modules):
        tree |= chassis(
            name,
            "Module",
            board,
            EnvironmentMetrics="EnvironmentMetrics",
            ThermalSubsystem="ThermalSubsystem",
        )
        tree |= metrics(f"{CHASSIS}/{name}/EnvironmentMetrics", None)
        inlet = (f"{name}_Inlet_Temp_0", 24.5 + number)
        tree |= thermal(f"{CHASSIS}/{name}/ThermalSubsystem", inlet, (f"{name}_Exhaust_Temp_0", 41.0))
    for name in gpus:
        tree |= chassis(name, "Component", board, EnvironmentMetrics="EnvironmentMetrics")
        tree |= metrics(f"{CHASSIS}/{name}/EnvironmentMetrics", 1180.0)
    return tree


def dgx() -> Tree:
    """An eight-GPU server with air: power by its metrics, its supplies, and the older schema at once."""
    tree = root("Chassis", "Systems", vendor="NVIDIA") | collection(CHASSIS, "DGX", "HGX_Chassis_0")
    tree |= systems(DGX="DGX", HGX_Baseboard_0="HGX_Chassis_0")
    top = f"{CHASSIS}/DGX"
    tree |= chassis(
        "DGX",
        "RackMount",
        EnvironmentMetrics="EnvironmentMetrics",
        PowerSubsystem="PowerSubsystem",
        Power="Power",
        Thermal="Thermal",
    )
    tree |= metrics(f"{top}/EnvironmentMetrics", 10_401.0, EnergyJoules={"Reading": 5.0e9})
    tree |= supplies(f"{top}/PowerSubsystem", 1730.0, 1740.0, 1735.0, 1731.0, 1738.0, 1736.0)
    tree[f"{top}/Power"] = {
        "PowerControl": [
            {"MemberId": "0", "PowerConsumedWatts": 10_395},
            {"MemberId": "1", "PowerConsumedWatts": 700},
        ]
    }
    tree[f"{top}/Thermal"] = {
        "Temperatures": [
            {"Name": "Inlet Temp", "PhysicalContext": "Intake", "ReadingCelsius": 22},
            {"Name": "PSU1 Inlet", "PhysicalContext": "PowerSupply", "ReadingCelsius": 31},
            {"Name": "CPU1 Temp", "PhysicalContext": "CPU", "ReadingCelsius": 61},
        ],
        "Fans": [{"Name": "FAN1", "Reading": 40, "ReadingUnits": "Percent"}],
    }
    tree |= chassis("HGX_Chassis_0", "Module", EnvironmentMetrics="EnvironmentMetrics")
    return tree | metrics(f"{CHASSIS}/HGX_Chassis_0/EnvironmentMetrics", 7600.0)


def old_server(watts: float | None = 612.0) -> Tree:
    """A server that knows the older schema alone, and no system's chassis."""
    tree = root("Chassis") | collection(CHASSIS, "1") | chassis("1", "RackMount", Power="Power")
    return tree | {f"{CHASSIS}/1/Power": {"PowerControl": [{"PowerConsumedWatts": watts}]}}


def power_shelf(name: str = "powershelf", *watts: float | None) -> Tree:
    """One power shelf with a controller of its own: its chassis, and six supplies in it."""
    tree = root("Chassis", vendor="Delta") | collection(CHASSIS, name)
    tree |= chassis(name, "Shelf", PowerSubsystem="PowerSubsystem")
    return tree | supplies(f"{CHASSIS}/{name}/PowerSubsystem", *(watts or (2750.0,) * 6))


def rack_manager(
    shelves: tuple[float | None, ...] = (66_000.0, 65_500.0), pdus: tuple[float, ...] = ()
) -> Tree:
    """A manager of a rack that lists shelves, PDUs with outlets, and a cooling unit."""
    tree = root("PowerEquipment", "ThermalEquipment")
    equipment = f"{V1}/PowerEquipment"
    rooms = {"PowerShelves": shelves, "RackPDUs": pdus}
    tree[equipment] = {"Id": "PowerEquipment", **{room: to(f"{equipment}/{room}") for room in rooms}}
    for room, watts in rooms.items():
        names = [f"{room[:-1]}{number}" for number in range(len(watts))]
        tree |= collection(f"{equipment}/{room}", *names)
        for name, each in zip(names, watts, strict=True):
            path = f"{equipment}/{room}/{name}"
            tree[path] = {"Id": name, "Metrics": to(f"{path}/Metrics"), "Outlets": to(f"{path}/Outlets")}
            tree[f"{path}/Metrics"] = {"PowerWatts": {"Reading": each}, "EnergykWh": {"Reading": 1234.5}}
            tree |= collection(f"{path}/Outlets", "A1", "A2")
    return tree | cdu_room()


def cdu_room() -> Tree:
    """A cooling unit with one connector to the facility and one to the rack."""
    path = f"{V1}/ThermalEquipment/CDUs"
    tree = {f"{V1}/ThermalEquipment": {"CDUs": to(path)}} | collection(path, "1")
    tree[f"{path}/1"] = {
        "Id": "1",
        "SecondaryCoolantConnectors": to(f"{path}/1/SecondaryCoolantConnectors"),
        "LeakDetection": to(f"{path}/1/LeakDetection"),
    }
    tree |= collection(f"{path}/1/SecondaryCoolantConnectors", "1")
    tree[f"{path}/1/SecondaryCoolantConnectors/1"] = {
        "Id": "Secondary1",
        "SupplyTemperatureCelsius": {"Reading": 30.0},
        "ReturnTemperatureCelsius": {"Reading": 42.5},
        "FlowLitersPerMinute": {"Reading": 120.0},
        "HeatRemovedkW": {"Reading": 104.5},
        "SupplyPressurekPa": {"Reading": 250.0},
    }
    group = [
        {"DeviceName": "Moisture", "DetectorState": "Critical"},
        {"DeviceName": "Overflow", "DetectorState": "OK"},
    ]
    tree[f"{path}/1/LeakDetection"] = {"LeakDetectorGroups": [{"GroupName": "Pan", "Detectors": group}]}
    return tree


def write(tree: Tree, folder: Path) -> None:
    """Lay a tree out as mock-up servers want it: an index.json for each resource below redfish/v1."""
    for path, document in tree.items():
        place = folder / path.removeprefix(V1).strip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "index.json").write_text(json.dumps(document))
