"""What one moment says of the machine around the GPUs: totals and states that a drop may come of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.host import HostFigures, LinkFigures
    from agent.measure.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class HostSigns:
    """The machine at one moment; None is unknown, totals only grow."""

    stalled: Mapping[str, float] = field(default_factory=dict)
    """Seconds in which tasks waited, total, by resource and share of tasks: `cpu some`, `io full`."""
    stolen: float | None = None
    """Processor seconds that the hypervisor took, total."""
    oom_kills: float | None = None
    """Total."""
    cpu_hertz: float | None = None
    """Mean over all processors."""
    links_down: frozenset[str] = frozenset()
    """Network interfaces and InfiniBand ports that should be up."""
    lanes: Mapping[int, float] = field(default_factory=dict)
    """PCIe lanes that each GPU is connected by."""


def host_signs_of(snapshot: Snapshot) -> HostSigns | None:
    """Read the signs out of a snapshot; None while nothing tells of the machine."""
    host = snapshot.host
    if host is None:
        return None
    links = host.pcie_links
    return HostSigns(
        stalled={
            f"{resource} {share}": told for (resource, share), told in host.stalled_seconds_total.items()
        },
        stolen=host.cpu_steal_seconds_total,
        oom_kills=host.oom_kills_total,
        cpu_hertz=host.cpu_frequency_hertz.get("mean"),
        links_down=_down(host),
        lanes={
            gpu.gpu: lanes
            for gpu in snapshot.gpus
            if (link := links.get(gpu.uuid)) is not None and (lanes := link.width_lanes) is not None
        },
    )


def _down(host: HostFigures) -> frozenset[str]:
    if not host.interfaces and not host.ports:
        return frozenset()
    return frozenset(_name(link) for link in (*host.interfaces, *host.ports) if link.reading.up is False)


def _name(link: LinkFigures) -> str:
    device, port = link.reading.device, link.reading.port
    return f"{device} port {port}" if port else device
