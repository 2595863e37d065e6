"""How each GPU is connected: width and speed of its PCIe link now, and the most that both ends can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.measure.host import PcieLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.collectors._host.tree import Tree

DEVICES = "/sys/bus/pci/devices"
WIDTHS = frozenset({1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 32.0})
"""A device that fell off the bus reads as all ones: 63 lanes, or 255."""
GPU_CLASSES = ("0x03", "0x12")
"""Display controllers and processing accelerators: what a simulated GPU names may be some other device."""
SPEED = re.compile(r"(\d{1,3}(?:\.\d)?) GT/s")
GIGA = 1e9
ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


class PcieLinks:
    """Reads the links of GPUs; what both ends can is asked once for each."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._most: dict[str, tuple[float | None, float | None]] = {}
        """Lanes and speed that both ends of a link can, by the kernel's name of the device."""

    def read(self, gpus: Mapping[str, str]) -> dict[str, PcieLink]:
        """Return the link of each GPU that has one, by UUID; `gpus` has PCI ids as NVML prints them."""
        found = {}
        for uuid, pci in gpus.items():
            name = sysfs_name(pci)
            if name is not None and self._is_gpu(name):
                found[uuid] = self._link(name)
        return found

    def _is_gpu(self, name: str) -> bool:
        if name in self._most:
            return True
        return (self._tree.word(f"{DEVICES}/{name}/class") or "").startswith(GPU_CLASSES)

    def _link(self, name: str) -> PcieLink:
        device = f"{DEVICES}/{name}"
        most = self._most.get(name) or self._most_of(device)
        if None not in most:  # it may be off the bus just now
            self._most[name] = most
        lanes, speed = most
        now = self._width(f"{device}/current_link_width"), self._speed(f"{device}/current_link_speed")
        return PcieLink(now[0], lanes, now[1], speed)

    def _most_of(self, device: str) -> tuple[float | None, float | None]:
        ends = (device, f"{device}/..")  # a name in DEVICES is a link to where it hangs: below its port
        return (
            _least(self._width(f"{end}/max_link_width") for end in ends),
            _least(self._speed(f"{end}/max_link_speed") for end in ends),
        )

    def _width(self, path: str) -> float | None:
        lanes = self._tree.count(path)
        return lanes if lanes in WIDTHS else None

    def _speed(self, path: str) -> float | None:
        """Return a speed: `32.0 GT/s PCIe` is one, `Unknown` is none."""
        told = SPEED.match(self._tree.word(path) or "")
        return float(told[1]) * GIGA if told else None


def sysfs_name(pci: str) -> str | None:
    """Return the kernel's name of a PCI device: its domain has four digits where NVML writes eight."""
    parts = ADDRESS.fullmatch(pci.lower())
    if parts is None:
        return None
    domain, bus, device, function = parts.groups()
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}"


def _least(told: Iterable[float | None]) -> float | None:
    """Return the least of what is known: a card in a narrower slot is not degraded."""
    return min((each for each in told if each is not None), default=None)
