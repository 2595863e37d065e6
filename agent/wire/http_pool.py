"""Connections kept for the next poll, by what two requests must share; bounded in number and age."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from agent.wire.http_connection import Connection
from agent.wire.http_dial import dial
from agent.wire.resolver import DaemonResolver

if TYPE_CHECKING:
    from agent.wire.http_dial import Route

KEEP_ALIVE_SECONDS = 30.0
"""Longer than the slowest cadence, so that a poll rarely connects anew."""
READ_BUFFER_BYTES = 128 * 1024
"""Received at most at a time: one piece of memory for all connections."""
MAX_IDLE = 4096
"""Connections kept in all: a rack daemon has one for each of 1,000 members or so …"""
MAX_IDLE_PER_ROUTE = 8
"""… and hardly ever asks one server for more than one thing at once."""


class ConnectionPool:
    """Hands out connections; each is asked one thing at a time."""

    def __init__(self) -> None:
        self._idle: dict[Route, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._resolver = DaemonResolver()
        self._buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._swept = time.monotonic()

    def kept(self, route: Route) -> Connection | None:
        """Return a connection that was used before, the last one first."""
        self._sweep()
        idle = self._idle.get(route)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
        return None

    async def fresh(self, route: Route) -> Connection:
        """Return a new connection. Raises what `dial` raises."""
        connection = await dial(route, self._resolver, self._make)
        self._open.add(connection)
        return connection

    def keep(self, route: Route, connection: Connection) -> None:
        """Keep a connection for the next request, if it is good for one and there is room."""
        idle = self._idle.setdefault(route, [])
        if not connection.usable or len(idle) >= MAX_IDLE_PER_ROUTE or len(self._open) > MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = time.monotonic()
        idle.append(connection)

    def close(self) -> None:
        """Hang up everywhere, in the middle of requests too."""
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()

    def _make(self) -> Connection:
        return Connection(self._buffer, self._open.discard)

    def _sweep(self) -> None:
        """Hang up, now and then, what nobody has used for long."""
        now = time.monotonic()
        if now - self._swept < KEEP_ALIVE_SECONDS:
            return
        self._swept = now
        for route, idle in list(self._idle.items()):
            for connection in idle:
                if now - connection.idle_since >= KEEP_ALIVE_SECONDS:
                    connection.abort()
            left = [connection for connection in idle if connection.usable]
            if left:
                self._idle[route] = left
            else:
                del self._idle[route]
