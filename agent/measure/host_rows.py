"""The machine around the GPUs, as rows of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.row import Row, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.measure.host import HostFigures, LinkFigures
    from agent.measure.snapshot import Snapshot

DIRECTIONS = ("receive", "transmit")


def host_rows(snapshot: Snapshot) -> Iterator[Row]:
    """Yield what is known of the host and of its links to the GPUs. Unknown is left out, never 0."""
    host = snapshot.host
    if host is None:
        return
    for series, seconds in host.stalled_seconds_total.items():
        yield Row("host_pressure_stalled_seconds_total", series, seconds)
    yield from known("host_cpu_steal_seconds_total", (), host.cpu_steal_seconds_total)
    yield from known("host_oom_kills_total", (), host.oom_kills_total)
    for stat, hertz in host.cpu_frequency_hertz.items():
        yield Row("host_cpu_frequency_hertz", (stat,), hertz)
    yield from _clock_rows(host)
    for link in host.interfaces:
        yield from _interface_rows(link)
    for link in host.ports:
        yield from _port_rows(link)
    for gpu in snapshot.gpus:
        yield from _pcie_rows(str(gpu.gpu), gpu.uuid, host)


def _clock_rows(host: HostFigures) -> Iterator[Row]:
    if host.clock is not None:
        yield Row("host_clock_synchronized", (), host.clock.synchronized)
        yield Row("host_clock_error_bound_seconds", (), host.clock.error_bound_seconds)
        yield from known("host_clock_offset_seconds", (), host.clock.offset_seconds)


def _interface_rows(link: LinkFigures) -> Iterator[Row]:
    device, totals = (link.reading.device,), link.totals
    yield from known("host_network_up", device, link.reading.up)
    yield from known("host_network_speed_bytes_per_second", device, link.reading.speed_bytes_per_second)
    yield from known("host_network_carrier_changes_total", device, totals.get("carrier_changes"))
    for direction in DIRECTIONS:
        series = (*device, direction)
        yield from known("host_network_errors_total", series, totals.get(f"{direction}_errors"))
        yield from known("host_network_dropped_total", series, totals.get(f"{direction}_dropped"))


def _port_rows(link: LinkFigures) -> Iterator[Row]:
    port = (link.reading.device, link.reading.port)
    yield from known("host_infiniband_up", port, link.reading.up)
    yield from known("host_infiniband_speed_bytes_per_second", port, link.reading.speed_bytes_per_second)
    for error, count in link.totals.items():
        yield Row("host_infiniband_errors_total", (*port, error), count)


def _pcie_rows(gpu: str, uuid: str, host: HostFigures) -> Iterator[Row]:
    link = host.pcie_links.get(uuid)
    if link is not None:
        yield from known("gpu_pcie_link_width_lanes", (gpu,), link.width_lanes)
        yield from known("gpu_pcie_link_max_width_lanes", (gpu,), link.max_width_lanes)
        yield from known("gpu_pcie_link_transfers_per_second", (gpu,), link.transfers_per_second)
        yield from known("gpu_pcie_link_max_transfers_per_second", (gpu,), link.max_transfers_per_second)
