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


def links(tree: Tree, gpus: Mapping[str, str]) -> dict[str, PcieLink]:
    """Return the link of each GPU that has one, by UUID; `gpus` has their PCI ids as NVML prints them."""
    found = {}
    for uuid, pci in gpus.items():
        name = sysfs_name(pci)
        if name is not None and (tree.word(f"{DEVICES}/{name}/class") or "").startswith(GPU_CLASSES):
            found[uuid] = _link(tree, f"{DEVICES}/{name}")
    return found


def sysfs_name(pci: str) -> str | None:
    """Return the kernel's name of a PCI device: its domain has four digits where NVML writes eight."""
    parts = ADDRESS.fullmatch(pci.lower())
    if parts is None:
        return None
    domain, bus, device, function = parts.groups()
    return f"{int(domain, 16):04x}:{bus}:{device}.{function}"


def _link(tree: Tree, device: str) -> PcieLink:
    port = f"{device}/.."  # a name in DEVICES is a link to where the device hangs: below its port
    return PcieLink(
        width_lanes=_width(tree, f"{device}/current_link_width"),
        max_width_lanes=_least(_width(tree, f"{each}/max_link_width") for each in (device, port)),
        transfers_per_second=_speed(tree, f"{device}/current_link_speed"),
        max_transfers_per_second=_least(_speed(tree, f"{each}/max_link_speed") for each in (device, port)),
    )


def _width(tree: Tree, path: str) -> float | None:
    lanes = tree.count(path)
    return lanes if lanes in WIDTHS else None


def _speed(tree: Tree, path: str) -> float | None:
    """Return a speed: `32.0 GT/s PCIe` is one, `Unknown` is none."""
    told = SPEED.match(tree.word(path) or "")
    return float(told[1]) * GIGA if told else None


def _least(told: Iterable[float | None]) -> float | None:
    """Return the least of what is known: a card in a narrower slot is not degraded."""
    return min((each for each in told if each is not None), default=None)
