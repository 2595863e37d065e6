"""A node in a network of its own, with a link to the twin and one to its rack, which can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Self

LINK = "10.213.{}.{}"
"""Addresses of our own links, which lead nowhere else."""


def available() -> bool:
    """Whether this machine lets us make networks."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    name = f"rw-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    _ip("netns", "del", name)
    return True


class Netns:
    """Two pairs of interfaces and a network namespace; gone with the context."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self._name = f"rw-net-{os.getpid()}"
        self.twin_side = LINK.format(number, 1)
        """Our address on the link over which the node reaches its engines."""
        self.address = LINK.format(number, 6)
        """Its address on the link over which the rack reaches it."""
        self._links = [(LINK.format(number, at), LINK.format(number, at + 1)) for at in (1, 5)]
        self.prefix = ["nsenter", f"--net=/run/netns/{self._name}"]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _build(self) -> None:
        _ip("netns", "add", self._name)
        for place, (ours, theirs) in enumerate(self._links):
            outside, inside = self._names(place)
            _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", self._name)
            _ip("addr", "add", f"{ours}/30", "dev", outside)
            _ip("-n", self._name, "addr", "add", f"{theirs}/30", "dev", inside)
            _ip("link", "set", outside, "up")
            _ip("-n", self._name, "link", "set", inside, "up")
        _ip("-n", self._name, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for place in range(len(self._links)):
            _ip("link", "del", self._names(place)[0], check=False)
        _ip("netns", "del", self._name, check=False)

    def cut(self) -> None:
        """Pull the cable between the node and its rack: packets are lost, nothing is refused."""
        _ip("-n", self._name, "link", "set", self._names(1)[1], "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", self._name, "link", "set", self._names(1)[1], "up")

    def _names(self, place: int) -> tuple[str, str]:
        return f"rwo{place}-{os.getpid()}", f"rwi{place}-{os.getpid()}"


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=check)
