"""What the kernel prints under /proc, as values."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

LISTEN = "0A"
"""State of a listening socket (include/net/tcp_states.h)."""
STAT_FIELDS = 20
"""Fields of `stat` after the name, up to the start time."""
ENDED = ("Z", "X", "x")
"""States of a process that has ended."""
MAPPED = "::ffff:"
"""What an IPv4 address begins with on an IPv6 socket."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What `/proc/PID/stat` says of a process."""

    name: str
    parent: int
    session: int
    start_ticks: int
    """Since boot: with the pid it names one process for good."""
    ended: bool = False
    """Its parent has not taken note of its end yet: it holds nothing any more."""


@dataclass(frozen=True, slots=True)
class Listening:
    """One listening socket of a network namespace."""

    host: str
    port: int
    uid: int
    inode: int


def stat_of(text: str) -> Stat:
    """Read `stat`; the name may hold spaces and brackets. Raises ValueError."""
    before, bracket, after = text.rpartition(")")
    fields = after.split()
    if not bracket or len(fields) < STAT_FIELDS:
        raise ValueError("not a line of /proc/PID/stat")
    return Stat(before.partition("(")[2], int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in ENDED)


def uid_of(status: str) -> int:
    """Return the effective user of `/proc/PID/status`. Raises ValueError."""
    found = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    if found is None:
        raise ValueError("no Uid in /proc/PID/status")
    return int(found[1])


def arguments_of(cmdline: str) -> tuple[str, ...]:
    """Return the arguments of `cmdline`; a process that wrote its title over them has one."""
    return tuple(cmdline.rstrip("\0").split("\0")) if cmdline.strip("\0") else ()


def listening_of(table: str) -> tuple[Listening, ...]:
    """Return the listening sockets of `net/tcp` or `net/tcp6`."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == LISTEN:  # noqa: PLR2004 - the inode is the tenth
            host, _, port = fields[1].partition(":")
            found.append(Listening(_address(host), int(port, 16), int(fields[7]), int(fields[9])))
    return tuple(found)


def is_past_listening(table: str) -> bool:
    """Whether the last whole line of a part of `net/tcp` is of a socket that does not listen."""
    fields = table.rpartition("\n")[0].rpartition("\n")[2].split()
    return len(fields) > 9 and ":" in fields[1] and fields[3] != LISTEN  # noqa: PLR2004 - as above


def _address(text: str) -> str:
    """Return an address that is printed as words in the machine's (little endian) order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)).removeprefix(MAPPED)
