"""Ports of InfiniBand and RoCE devices: state, rate and errors, as /sys/class/infiniband tells them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.measure.host import LinkReading

if TYPE_CHECKING:
    from agent.collectors._host.devices import Devices
    from agent.collectors._host.tree import Tree

INFINIBAND = "/sys/class/infiniband"
COUNTERS = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "port_xmit_discards",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
)
"""Of every port, in `counters`. Some have 8 or 16 bits and stop at their end until they are cleared."""
HARDWARE_COUNTERS = (
    "out_of_sequence",
    "packet_seq_err",
    "local_ack_timeout_err",
    "rnr_nak_retry_err",
    "out_of_buffer",
)
"""Of NVIDIA's cards, in `hw_counters`: what a lossy or stuck fabric looks like to its transport."""
ACTIVE, DISABLED = "ACTIVE", "Disabled"
RATE = re.compile(r"(\d{1,6}(?:\.\d{1,2})?) Gb/sec")
BYTES_PER_GIGABIT = 125_000_000.0
MOST_PORTS = 64


class Ports:
    """Reads the ports of the devices that are wanted."""

    def __init__(self, tree: Tree, devices: Devices) -> None:
        self._tree, self._matches = tree, devices.matcher()
        self.left_out = 0
        """Ports beyond MOST_PORTS."""

    def read(self) -> tuple[LinkReading, ...]:
        """Return every port; each of these values is asked of the card's firmware."""
        devices = [name for name in self._tree.names(INFINIBAND) if self._matches(name)]
        ports = [(name, port) for name in devices for port in self._tree.names(f"{INFINIBAND}/{name}/ports")]
        self.left_out = max(0, len(ports) - MOST_PORTS)
        links = (self._port(name, port) for name, port in ports[:MOST_PORTS])
        return tuple(link for link in links if link is not None)

    def _port(self, device: str, port: str) -> LinkReading | None:
        base = f"{INFINIBAND}/{device}/ports/{port}"
        state = _meaning(self._tree.word(f"{base}/state"))
        if state is None:
            return None
        up: bool | None = state == ACTIVE
        if not up and _meaning(self._tree.word(f"{base}/phys_state")) == DISABLED:
            up = None  # on purpose, which is no fault (T4)
        rate = rate_in(self._tree.word(f"{base}/rate")) if up else None
        read = {name: self._tree.count(f"{base}/counters/{name}") for name in COUNTERS}
        read |= {name: self._tree.count(f"{base}/hw_counters/{name}") for name in HARDWARE_COUNTERS}
        return LinkReading(
            device, port, up, rate, {n: count for n, count in read.items() if count is not None}
        )


def _meaning(line: str | None) -> str | None:
    """Return the word of a state: `4: ACTIVE` is ACTIVE."""
    number, colon, word = (line or "").partition(": ")
    return word if colon and number.isdigit() else None


def rate_in(line: str | None) -> float | None:
    """Return the data rate that a port tells (`400 Gb/sec (4X NDR)`) in bytes per second."""
    told = RATE.match(line or "")
    return float(told[1]) * BYTES_PER_GIGABIT or None if told else None
