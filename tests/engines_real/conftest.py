"""Run by `make test-engines` only, in a network of their own: some engines listen on every address."""

import fcntl
import socket
import struct
from pathlib import Path

import pytest

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


@pytest.fixture(scope="session", autouse=True)
def network():
    """A loopback of our own, which comes up here; refuse to run where anybody else could reach us."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    assert routes == [], "run these tests by `make test-engines`: it gives them a network that leads nowhere"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(door, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(door, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))
