"""Whether an address is this machine's own."""

from __future__ import annotations

import ipaddress
import socket

LOCAL = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


def provably_foreign(host: str) -> bool:
    """Whether a host is certainly another machine; a name that cannot be told is not. May take its time."""
    if host.lower() in LOCAL or host.lower() == socket.gethostname().lower():
        return False
    try:
        return not _own(str(ipaddress.ip_address(host)))
    except ValueError:
        pass
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)}
    except OSError:
        return False
    return bool(found) and not any(_own(address) for address in found)


def _own(address: str) -> bool:
    """Ask the kernel: only an own address can be bound to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
