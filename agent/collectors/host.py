"""The machine around the GPUs: what it may be that is not the GPU's fault. Unprivileged, and cheap."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.aside import Aside
from agent.collectors._host import kernel
from agent.collectors._host.clock import KernelClock
from agent.collectors._host.devices import Devices
from agent.collectors._host.infiniband import Ports
from agent.collectors._host.network import Interfaces
from agent.collectors._host.pcie import PcieLinks
from agent.collectors._host.tree import Tree
from agent.measure.host import HostReading
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Seconds, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.measure.finding import Finding
    from agent.measure.ports import Source
    from agent.measure.snapshot import Snapshot

MAX_LOAD = 0.02
"""Share of time that the slower values may take: a machine with very many devices is asked less often …"""
SLOWEST_SECONDS = 60.0
"""… but not less often than this."""
NO_PRESSURE = (
    "this kernel tells no pressure (/proc/pressure): boot it with psi=1, or one that has CONFIG_PSI; "
    "stalls of CPU, memory and I/O stay absent"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the `host` collector.

    In a pod `root` also decides whose network interfaces are seen: without the machine's /sys, only its own.
    """

    interval: Seconds = setting(Seconds(1.0), "How often pressure is read.")
    slow_interval: Seconds = setting(
        Seconds(5.0),
        "How often all else is read: steal, OOM kills, frequencies, clock, network, InfiniBand, PCIe.",
    )
    timeout: Seconds = setting(Seconds(3.0), "Deadline of one collection.")
    root: str = setting(
        "/", "Where the machine's /proc and /sys are; in a container where its root is mounted, e.g. /host."
    )
    devices: Devices = setting(Devices(), "Which network interfaces and InfiniBand devices are read.")

    def __post_init__(self) -> None:
        """Refuse durations that mean nothing, and a root that depends on where rackwatt was started."""
        for key in ("interval", "slow_interval", "timeout"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")
        if not self.root.startswith("/"):
            raise ValueError(f"root: {self.root!a} must begin with /")


def build(settings: Settings) -> HostCollector:
    """Make the collector; nothing is read before the first collection."""
    return HostCollector(settings)


async def examine(settings: Settings, seen: Snapshot) -> tuple[Finding, ...]:
    """Look at everything that this collector reads, for `rackwatt doctor`."""
    from agent.collectors._host.examine import findings  # noqa: PLC0415 - only the doctor pays for it

    return await findings(build(settings).sources(seen), seen)


class HostCollector:
    """The plug-in: pressure is read often, what is dear or asks drivers less often and aside."""

    def __init__(self, settings: Settings) -> None:
        self.fast = FastSource(settings)
        self.slow = SlowSource(settings)
        self._sources = (self.fast, self.slow)

    def sources(self, seen: Snapshot | None) -> Sequence[Source]:  # noqa: ARG002 - the port's signature
        """Two sources: a card whose driver hangs does not hide that the machine starves."""
        return self._sources

    async def close(self) -> None:
        """Nothing is held open."""


class FastSource:
    """Pressure: the kernel has it in memory and waits for no device."""

    name = "host"

    def __init__(self, settings: Settings) -> None:
        self._tree = Tree(settings.root)
        self.interval_seconds: float = settings.interval
        self.timeout_seconds: float = settings.timeout

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Read it. Raises SourceError where no kernel shows itself."""
        self._tree.refused.clear()
        stalled = kernel.stalled_seconds(self._tree)
        if not stalled and not self._tree.exists("/proc/stat"):
            where = self._tree.shown("/proc")
            raise SourceError(
                Reason.UNREACHABLE, f"{where} is no /proc; mend collectors.host.root or mount it"
            )
        notes = () if stalled or self._tree.refused else (NO_PRESSURE,)
        reading = HostReading(now, stalled_seconds=stalled)
        return Reading(self.name, now, host=reading, notes=(*notes, *_refusals(self._tree)))

    async def close(self) -> None:
        """Nothing is held open."""


class SlowSource:
    """What is costly to read, or goes through a driver that may hang: in a thread of its own."""

    name = "host/slow"

    def __init__(self, settings: Settings) -> None:
        self._tree = Tree(settings.root)
        self._interfaces = Interfaces(self._tree, settings.devices)
        self._ports = Ports(self._tree, settings.devices)
        self._clock, self._links = KernelClock(), PcieLinks(self._tree)
        self._aside: Aside[HostReading] = Aside("host")
        self._gpus: dict[str, str] = {}
        """PCI id of each GPU that was told of, by UUID; also of one that has fallen silent."""
        self._least_seconds: float = max(settings.slow_interval, settings.interval)
        self._taken_seconds = 0.0
        self.timeout_seconds: float = settings.timeout

    @property
    def interval_seconds(self) -> float:
        """The configured interval, longer where reading takes more than its share of time."""
        return max(self._least_seconds, min(self._taken_seconds / MAX_LOAD, SLOWEST_SECONDS))

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        """Read everything. Raises SourceError, with the file, while a read does not return."""
        if self._aside.busy:
            raise SourceError(Reason.OVERLAPPED, f"{self._where} has not returned from an earlier read")
        if seen is not None:
            self._learn(seen)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                reading = await self._aside.run(lambda: self._read(now))
        except TimeoutError:
            raise SourceError(Reason.TIMED_OUT, f"reading {self._where} does not return") from None
        self._taken_seconds = clock() - began
        return Reading(self.name, now, host=reading, notes=tuple(self._notes()))

    @property
    def _where(self) -> str:
        return self._tree.shown(self._tree.path)

    def _learn(self, seen: Snapshot) -> None:
        told = {gpu.uuid: gpu.reading.identity.pci for gpu in seen.gpus if gpu.reading is not None}
        known = {gpu.uuid for gpu in seen.gpus}
        self._gpus = {uuid: pci for uuid, pci in (self._gpus | told).items() if uuid in known}

    def _read(self, now: Moment) -> HostReading:
        tree = self._tree
        tree.refused.clear()
        return HostReading(
            now,
            clock=self._clock.ask(),
            cpu_steal_seconds=kernel.steal_seconds(tree),
            oom_kills=kernel.oom_kills(tree),
            cpu_frequency_hertz=kernel.frequencies(tree),
            interfaces=self._interfaces.read(),
            ports=self._ports.read(),
            pcie_links=self._links.read(self._gpus),
        )

    def _notes(self) -> Iterator[str]:
        yield from _refusals(self._tree)
        if self._clock.trouble:
            yield f"the kernel does not tell of its clock (adjtimex: {self._clock.trouble}): it stays absent"
        for what, more in (("interfaces", self._interfaces), ("InfiniBand ports", self._ports)):
            if more.left_out:
                yield f"{more.left_out} {what} are left out: narrow collectors.host.devices.include"

    async def close(self) -> None:
        """Leave a read behind that hangs."""


def _refusals(tree: Tree) -> Iterator[str]:
    if tree.refused:
        first, more = min(tree.refused), len(tree.refused) - 1
        others = f" and {more} more" if more else ""
        yield f"{tree.shown(first)}{others} may not be read by this user, and what they tell stays absent"
