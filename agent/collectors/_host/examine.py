"""What `rackwatt doctor` asks of the host: what is told, what is not, and how to mend it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.measure.finding import Finding, Level, problem_of
from agent.measure.reading import Moment, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.measure.host import HostReading, LinkReading, PcieLink
    from agent.measure.ports import Source
    from agent.measure.reading import Reading
    from agent.measure.snapshot import Snapshot

NO_TIME_SERVICE = "start a time service: chrony (with rtcsync), systemd-timesyncd or ntpd"
RESEAT = "reseat the card and its riser; look for AER errors in the kernel log"


async def findings(sources: Iterable[Source], seen: Snapshot) -> tuple[Finding, ...]:
    """Read each source once and say what of each is there."""
    found: list[Finding] = []
    readings: list[Reading] = []
    for source in sources:
        try:
            readings.append(await source.collect(Moment(time.monotonic(), time.time()), seen))
        except SourceError as error:
            found.append(problem_of(source.name, error))
    for reading in readings:
        found += [Finding(Level.NOTE, "host", note) for note in reading.notes]
        if reading.host is not None:
            found += [*_kernel(reading.host), *_devices(reading.host, seen)]
    return tuple(found)


def _kernel(host: HostReading) -> Iterator[Finding]:
    if host.stalled_seconds:
        resources = ", ".join(sorted({resource for resource, _ in host.stalled_seconds}))
        yield Finding(Level.OK, "pressure", f"told for {resources}")
    clock = host.clock
    if clock is not None:
        text = f"kept by a time service, at most {clock.error_bound_seconds:.3g} s off"
        alone = Finding(Level.NOTE, "wall clock", "nobody keeps it", NO_TIME_SERVICE)
        yield Finding(Level.OK, "wall clock", text) if clock.synchronized else alone


def _devices(host: HostReading, seen: Snapshot) -> Iterator[Finding]:
    for what, links in (("network", host.interfaces), ("InfiniBand", host.ports)):
        if links:
            yield Finding(Level.OK, what, _links(links))
    numbers = {gpu.uuid: gpu.gpu for gpu in seen.gpus}
    for uuid, link in host.pcie_links.items():
        yield _pcie(f"GPU {numbers[uuid]} PCIe", link)


def _links(links: Sequence[LinkReading]) -> str:
    words = {True: "up", False: "down", None: "off or unknown"}
    named = (f"{link.device}{link.port and f' port {link.port}'} {words[link.up]}" for link in links)
    return ", ".join(named)


def _pcie(subject: str, link: PcieLink) -> Finding:
    width, most = link.width_lanes, link.max_width_lanes
    if width is None or most is None:
        return Finding(Level.NOTE, subject, "the kernel does not tell its width")
    if width < most:
        return Finding(Level.PROBLEM, subject, f"{width:g} of {most:g} lanes", RESEAT)
    return Finding(Level.OK, subject, f"{width:g} lanes")
