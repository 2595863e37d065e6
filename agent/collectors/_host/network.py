"""Network interfaces: state, speed and errors, as /sys/class/net tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.host import LinkReading

if TYPE_CHECKING:
    from agent.collectors._host.devices import Devices
    from agent.collectors._host.tree import Tree

NETWORK = "/sys/class/net"
COUNTS = {
    "receive_errors": "statistics/rx_errors",
    "transmit_errors": "statistics/tx_errors",
    "receive_dropped": "statistics/rx_dropped",
    "transmit_dropped": "statistics/tx_dropped",
    "carrier_changes": "carrier_changes",
}
UP, UNKNOWN = "up", "unknown"
SWITCHED_ON = 0x1
"""IFF_UP in `flags`: not taken down by its administrator."""
BYTES_PER_MEGABIT = 125_000.0
NO_SPEED = (0.0, 4294967295.0)
"""What drivers write that do not know; others write -1, which is no count."""
MOST_INTERFACES = 64


class Interfaces:
    """Reads interfaces, and asks for the speed of one only when its link has changed.

    To ask a driver for the speed takes a lock of the whole network stack and, on some cards, their firmware.
    """

    def __init__(self, tree: Tree, devices: Devices) -> None:
        self._tree, self._matches = tree, devices.matcher()
        self._virtual = devices.virtual
        self._speeds: dict[str, tuple[object, float | None]] = {}
        self.left_out = 0
        """Interfaces beyond MOST_INTERFACES."""

    def read(self) -> tuple[LinkReading, ...]:
        """Return every interface that is wanted."""
        names = [name for name in self._tree.names(NETWORK) if self._is_wanted(name)]
        self.left_out = max(0, len(names) - MOST_INTERFACES)
        links = [link for name in names[:MOST_INTERFACES] if (link := self._interface(name)) is not None]
        there = {link.device for link in links}
        self._speeds = {name: kept for name, kept in self._speeds.items() if name in there}
        return tuple(links)

    def _is_wanted(self, name: str) -> bool:
        if not self._matches(name):
            return False
        return self._virtual or self._tree.exists(f"{NETWORK}/{name}/device")

    def _interface(self, name: str) -> LinkReading | None:
        tree, base = self._tree, f"{NETWORK}/{name}"
        state = tree.word(f"{base}/operstate")
        if state is None:
            return None  # it has gone, or is none: `bonding_masters` is a file
        read = {what: tree.count(f"{base}/{file}") for what, file in COUNTS.items()}
        counts = {what: count for what, count in read.items() if count is not None}
        up = None if state == UNKNOWN or not self._is_on(base) else state == UP
        speed = self._speed(name, (state, counts.get("carrier_changes"))) if up else None
        return LinkReading(name, "", up, speed, counts)

    def _is_on(self, base: str) -> bool:
        """Tell whether its administrator wants it up; one that is down on purpose is no fault (T4)."""
        try:
            return bool(int(self._tree.word(f"{base}/flags") or "", 16) & SWITCHED_ON)
        except ValueError:
            return True

    def _speed(self, name: str, link: tuple[str, float | None]) -> float | None:
        known = self._speeds.get(name)
        if known is not None and known[0] == link and link[1] is not None:
            return known[1]
        megabits = self._tree.count(f"{NETWORK}/{name}/speed")
        speed = None if megabits is None or megabits in NO_SPEED else megabits * BYTES_PER_MEGABIT
        self._speeds[name] = (link, speed)
        return speed
