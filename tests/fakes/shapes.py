"""Whole machines of five shapes: a fake driver, a tree like /sys, a controller, and the truth of all of them.

What a machine draws is a function of time alone: its GPUs by the tape, the rest constant. Meters and
counters show it, each in its own way, and `joules` and `watts` say it apart from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fakes.nvml.driver import Truth, read_tape
from fakes.power_tree import PowerTree
from fakes.redfish_trees import CHASSIS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

GRACE_RAILS = {"Grace": 104.0, "CPU": 53.0, "SysIO": 6.25}
"""Of one socket: Grace holds the other two, and its module holds Grace."""
BESIDE_GPUS_WATTS = 130.0
"""Grace, regulators and the rest of one module."""
RAPL_RANGE_JOULES = 262_143.328850
DRAM_WATTS = 28.0
"""Of one package's memory."""
AVERAGED_SECONDS = 1.0
"""Meters tell the mean of the last second."""
BEGAN_SECONDS = 60.0
"""The tape begins so long before the story …"""
WRAPS_SECONDS = 5.0
"""… in which counters wrap after so long."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of machine."""

    preset: str
    """Of the fake driver."""
    gpus: int
    sockets: int = 0
    """Grace sockets, each with a module of two GPUs."""
    packages: int = 0
    """Of x86 CPUs, with RAPL."""
    package_watts: float = 0.0
    rest_watts: float = 0.0
    """Fans, network and supplies: what only the whole node's meter sees."""
    node_meter: str = ""
    """Label of the ACPI meter of the whole node."""
    controller: bool = False
    """It has one, which measures the node …"""
    counts: bool = False
    """… and counts its energy."""
    root_only: bool = False
    """Its RAPL counters are not for everybody."""
    header: tuple[tuple[str, int], ...] = ()
    """Keys of the tape that differ from the preset's."""

    @property
    def metered(self) -> bool:
        """Whether the kernel shows any meter."""
        return bool(self.sockets or self.packages or self.node_meter)

    @property
    def mortal(self) -> str:
        """Label of the meter that dies at the end of the story."""
        return "Module Power Socket 1" if self.sockets else self.node_meter

    @property
    def boundaries(self) -> tuple[str, ...]:
        """What can be measured here."""
        module = ("module",) if self.sockets else ()
        return ("gpu", *module, *(("node",) if self.node_meter or self.controller else ()))


SHAPES = {
    "gb300": Shape("gb300", 4, sockets=2, rest_watts=620.0, controller=True),
    "b200": Shape(
        "b200", 8, packages=2, package_watts=350.0, rest_watts=2300.0, controller=True, counts=True
    ),
    "h100_pcie": Shape(
        "h100_pcie", 4, packages=2, package_watts=240.0, rest_watts=410.0, node_meter="Chassis Power"
    ),
    "geforce": Shape("geforce", 1, packages=1, package_watts=90.0, root_only=True),
    "uncounted": Shape("geforce", 1, header=(("has_energy", 0),)),
}


WHOLE_NODE = tuple(f"{CHASSIS}/{name}/EnvironmentMetrics" for name in ("Chassis_0", "DGX"))
"""Where controllers tell what the whole node draws."""


SUPPLIES = 6
"""Of the eight-GPU server, which share its load."""


class World:
    """One machine of a shape: its truth at any moment, and the files that show it."""

    def __init__(self, shape: Shape, tape: Path, root: Path) -> None:
        """`root` is where its tree like /sys stands."""
        self.shape, self.tape, self.root = shape, tape, root
        self._tree = PowerTree(root)
        self._dead: set[str] = set()
        self.epoch = self._truth().epoch

    # ---- the truth

    def watts(self, boundary: str, at: float) -> float:
        """Power of a boundary at one monotonic moment."""
        truth = self._truth()
        return self._beside(boundary) + sum(truth.power_watts(gpu, at) for gpu in range(self.shape.gpus))

    def mean_watts(self, boundary: str, at: float) -> float:
        """Its mean power in the second before a moment, which is what meters tell."""
        return self._mean(range(self.shape.gpus), self._beside(boundary), at)

    def joules(self, boundary: str, at: float) -> float:
        """Energy of a boundary from the start of the tape until a moment."""
        truth = self._truth()
        of_gpus = sum(truth.energy_joules(gpu, at) for gpu in range(self.shape.gpus))
        return self._beside(boundary) * (at - self.epoch) + of_gpus

    def _beside(self, boundary: str) -> float:
        """What a boundary draws beside the GPUs in it, all the time."""
        shape = self.shape
        modules = BESIDE_GPUS_WATTS * shape.sockets
        whole = modules + shape.packages * (shape.package_watts + DRAM_WATTS) + shape.rest_watts
        return {"gpu": 0.0, "module": modules, "node": whole}[boundary]

    def _truth(self) -> Truth:
        return Truth(*read_tape(self.tape))

    # ---- what shows it

    def kill(self, label: str) -> None:
        """Let an ACPI meter answer nothing from now on."""
        self._dead.add(label)

    def refresh(self, at: float) -> None:
        """Write what meters and counters show at a moment."""
        for number, (label, watts) in enumerate(self._rails()):
            self._tree.acpi(number, label, None if label in self._dead else watts(at))
        for (zone, name), watts in self._zones().items():
            counter = self.root / "class" / "powercap" / f"intel-rapl:{zone}" / "energy_uj"
            if self.shape.root_only and counter.exists():
                continue
            self._tree.rapl(zone, name, self._counted(watts, at), RAPL_RANGE_JOULES)
            if self.shape.root_only:
                counter.chmod(0)

    def _rails(self) -> list[tuple[str, Callable[[float], float]]]:
        """Label of each ACPI meter, in the order of their numbers, and what it shows at a moment."""
        rails: list[tuple[str, Callable[[float], float]]] = []
        for socket in range(self.shape.sockets):
            pair = (2 * socket, 2 * socket + 1)
            rails.append((f"Module Power Socket {socket}", partial(self._mean, pair, BESIDE_GPUS_WATTS)))
            rails += [
                (f"{r} Power Socket {socket}", partial(self._mean, (), w)) for r, w in GRACE_RAILS.items()
            ]
        if self.shape.node_meter:
            every = tuple(range(self.shape.gpus))
            rails.append((self.shape.node_meter, partial(self._mean, every, self._beside("node"))))
        return rails

    def _mean(self, gpus: Sequence[int], beside: float, at: float) -> float:
        """The mean of the last second of some GPUs, and of what is constant beside them."""
        truth, since = self._truth(), at - AVERAGED_SECONDS
        used = (truth.energy_joules(gpu, at) - truth.energy_joules(gpu, since) for gpu in gpus)
        return sum(used) / AVERAGED_SECONDS + beside

    def _zones(self) -> dict[tuple[str, str], float]:
        """Power of each RAPL zone, by its number and name."""
        packages = range(self.shape.packages)
        whole = {(f"{n}", f"package-{n}"): self.shape.package_watts for n in packages}
        return whole | {(f"{n}:0", "dram"): DRAM_WATTS for n in packages}

    def _counted(self, watts: float, at: float) -> float:
        """A counter that wraps some seconds after the daemon was started, as one does every few minutes."""
        began = RAPL_RANGE_JOULES - watts * (BEGAN_SECONDS + WRAPS_SECONDS)
        return math.fmod(began + watts * (at - self.epoch), RAPL_RANGE_JOULES)

    def documents(self, at: float, tree: dict[str, Any]) -> None:
        """Bring a controller's tree to a moment: every way in which it tells the power of the whole node."""
        mean = self.mean_watts("node", at)
        for path, document in tree.items():
            if path in WHOLE_NODE:
                document["PowerWatts"] = {"Reading": mean}
                document.pop("EnergyJoules", None)
                if self.shape.counts:
                    document["EnergyJoules"] = {"Reading": 5.0e9 + self.joules("node", at)}
            elif path.endswith("TotalHSC_Power_0"):
                document["Reading"] = mean
            elif "InputPowerWatts" in document:
                document["InputPowerWatts"] = {"Reading": mean / SUPPLIES}
            elif "PowerControl" in document:
                document["PowerControl"][0]["PowerConsumedWatts"] = mean
