"""Bounds on who may hold a connection: so many at once, and none without a request for long."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

MOST_CONNECTIONS = 256
"""A node has a handful of scrapers; each connection costs a file descriptor …"""
SHARE_OF_DESCRIPTORS = 2
"""… and at least half of those are left for engines, the driver and the disk."""
FIRST_REQUEST_SECONDS = 10.0
"""A client that has not sent a whole request by then is dropped."""


class Guard:
    """Makes the protocol of each new connection, or refuses it."""

    def __init__(self) -> None:
        self._silent: set[asyncio.BaseProtocol] = set()
        """Connections that have not sent a request; each leaves at its first, or when its time is over."""
        self._most = min(MOST_CONNECTIONS, descriptors() // SHARE_OF_DESCRIPTORS)

    @property
    def middleware(self) -> Middleware:
        """What notes that a connection has sent a request."""

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            return await handler(request)

        return note

    def factory(self, server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """Return what asyncio calls for each new connection."""

        def make() -> asyncio.BaseProtocol:
            if len(server.connections) >= self._most:
                return _Refusal()
            protocol = server()
            self._silent.add(protocol)
            asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self._drop_if_silent, protocol)
            return protocol

        return make

    def _drop_if_silent(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()


class _Refusal(asyncio.Protocol):
    """Hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close at once."""
        transport.close()


def descriptors() -> int:
    """Raise the limit of open files as far as this user may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
