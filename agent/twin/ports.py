"""Ports that stay ours while nobody listens: a crashed engine refuses connections, nobody takes its place."""

from __future__ import annotations

import socket

BACKLOG = 64


class ReservedPort:
    """A port of the kernel's choice; held by a socket that is bound and never listens."""

    def __init__(self, host: str, port: int = 0) -> None:
        """Take a port. Raises OSError when it is taken."""
        self._holder = _bound(host, port)
        self.host = host
        self.port: int = self._holder.getsockname()[1]

    def listening(self) -> socket.socket:
        """Return a new socket that listens on it. Linux allows that beside one that does not listen."""
        listener = _bound(self.host, self.port)
        listener.listen(BACKLOG)
        return listener

    def close(self) -> None:
        """Let go of the port."""
        self._holder.close()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)  # noqa: FBT003 - the library's signature
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
