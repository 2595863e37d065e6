"""Bounds on connections: so many at once, none without a request for long, no request for ever."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from agent.web.access import Access

MOST_CONNECTIONS = 256
"""A node has a handful of scrapers; each connection costs a file descriptor …"""
MOST_TLS_CONNECTIONS = 128
"""asyncio takes a quarter of a MiB for each that speaks TLS."""
SHARE_OF_DESCRIPTORS = 2
"""… and at least half of those are left for engines, the driver and the disk."""
FIRST_REQUEST_SECONDS = 10.0
"""A client that has not shaken hands and sent a whole request by then is dropped."""
REQUEST_SECONDS = 30.0
"""From the end of a request's header to the last byte of its answer, body included."""
IDLE_SECONDS = 75.0
"""Between two requests: longer than Prometheus' usual minute. A header sent slowly counts as idling."""
FLUSH_SECONDS = 5.0
"""A connection that is being closed by HTTP's rules is cut off after so much more."""
MOST_UNASKED_BYTES = 32 * 1024
"""What a connection may send while none of its requests is being answered."""
ENDLESS = frozenset({"/api/v1/stream"})
"""Answers that go on for as long as the client listens; their writer bounds each write."""
PROTOCOL_BOUNDS: dict[str, Any] = {
    "max_line_size": 4096,
    "max_field_size": 4096,
    "max_headers": 64,
    "keepalive_timeout": IDLE_SECONDS,
    "lingering_time": 2.0,  # to read a body that nobody wants, so that the client reads our answer first
    "auto_decompress": False,  # no body of ours is compressed; a few bytes must not become many
}
"""What aiohttp holds each connection to."""


class Guard:
    """Makes the protocol of each new connection, or refuses it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._connections: dict[_Connection, None] = {}
        """In the order in which they came."""
        self._by_handler: dict[Any, _Connection] = {}
        self._most = min(MOST_CONNECTIONS, descriptors() // SHARE_OF_DESCRIPTORS)

    @property
    def middleware(self) -> Middleware:
        """What holds each request to its time, and refuses those that may not be served."""

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = self._by_handler.get(request.protocol)
            if connection is not None:
                connection.begin_request()
            refusal = await self.access.refusal(request)
            if refusal is not None:
                return refusal
            if connection is not None:
                route = request.match_info.route.resource
                connection.admit(endless=route is not None and route.canonical in ENDLESS)
            return await handler(request)

        return admit

    @property
    def end_of_request(self) -> type[AbstractAccessLogger]:
        """What aiohttp is to tell when an answer has been written."""
        by_handler = self._by_handler

        class EndOfRequest(AbstractAccessLogger):
            def log(self, request: web.BaseRequest, _response: web.StreamResponse, _time: float) -> None:
                connection = by_handler.get(request.protocol)
                if connection is not None:
                    connection.end_request()

        return EndOfRequest

    def factory(self, server: web.Server) -> Callable[[], asyncio.BaseProtocol]:
        """Return what asyncio calls for each new connection."""
        return lambda: _Connection(self, server)

    def enter(self, connection: _Connection) -> bool:
        """Count a new connection in, if need be in place of one from which nothing is expected."""
        most = self._most if self.access.context is None else min(self._most, MOST_TLS_CONNECTIONS)
        if len(self._connections) >= most:
            useless = [each for each in self._connections if not each.busy]
            victim = next((each for each in useless if not each.admitted), None) or next(iter(useless), None)
            if victim is None:
                return False
            victim.drop()
        self._connections[connection] = None
        return True

    def know(self, handler: Any, connection: _Connection) -> None:
        """Remember whose requests a handler reads."""
        self._by_handler[handler] = connection

    def leave(self, connection: _Connection, handler: Any) -> None:
        """Count a connection out."""
        self._connections.pop(connection, None)
        self._by_handler.pop(handler, None)

    def close(self) -> None:
        """Drop whoever is still there."""
        for connection in list(self._connections):
            connection.drop()
        self.access.close()


class _Connection(asyncio.Protocol):
    """One client, from its first packet to its last: TLS if it is spoken, then aiohttp's handler."""

    __slots__ = (
        "_early",
        "_guard",
        "_handler",
        "_raw",
        "_server",
        "_shaking",
        "_timer",
        "_unasked",
        "admitted",
        "busy",
    )

    def __init__(self, guard: Guard, server: web.Server) -> None:
        self._guard, self._server = guard, server
        self._raw: Any = None
        self._handler: Any = None
        self._early: list[bytes] = []
        """What came behind the handshake before anybody read it."""
        self._unasked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._shaking: asyncio.Task[None] | None = None
        self.busy = False
        """A request is being answered."""
        self.admitted = False
        """It has had a request that could be served."""

    def connection_made(self, transport: Any) -> None:
        """Take a new client, unless there are too many."""
        self._raw = transport
        if not self._guard.enter(self):
            transport.abort()
            return
        self._due(FIRST_REQUEST_SECONDS)
        context = self._guard.access.context
        if context is None:
            self._serve(transport)
        else:
            transport.pause_reading()
            self._shaking = asyncio.create_task(self._shake_hands(context))

    def data_received(self, data: bytes) -> None:
        """Pass on what came, as long as it leads to requests."""
        self._unasked += 0 if self.busy else len(data)
        if self._unasked > MOST_UNASKED_BYTES:
            self.drop()
        elif self._handler is None:
            self._early.append(data)
        else:
            self._handler.data_received(data)

    def eof_received(self) -> None:
        """Let asyncio close: who has said all wants nothing more of us."""
        if self._handler is not None:
            self._handler.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads slowly."""
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it has read."""
        if self._handler is not None:
            self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget()
        if self._handler is not None:
            self._handler.connection_lost(exc)

    def begin_request(self) -> None:
        """Note that a whole header has come."""
        self.busy, self._unasked = True, 0
        self._due(REQUEST_SECONDS)

    def admit(self, *, endless: bool) -> None:
        """Note that the request is served; an endless one has no time to keep."""
        self.admitted = True
        if endless and self._timer is not None:
            self._timer.cancel()

    def end_request(self) -> None:
        """Note that the answer is written."""
        self.busy, self._unasked = False, 0
        self._due(IDLE_SECONDS + FLUSH_SECONDS)

    def drop(self) -> None:
        """Hang up without another word."""
        self._forget()
        if self._raw is not None:
            self._raw.abort()

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        seconds = FIRST_REQUEST_SECONDS
        try:
            transport = await asyncio.get_running_loop().start_tls(
                self._raw,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=FLUSH_SECONDS,
            )
        except OSError as error:  # no TLS, not our versions, no certificate that we trust, gone, or too slow
            error.__traceback__ = error.__context__ = None  # it holds a quarter of a MiB in a cycle
            self.drop()
            return
        certificate = None if transport is None else transport.get_extra_info("peercert")
        if transport is None or transport.is_closing() or not self._guard.access.admits(certificate):
            self.drop()
        else:
            self._serve(transport)

    def _serve(self, transport: Any) -> None:
        self._handler = self._server()
        self._guard.know(self._handler, self)
        self._handler.connection_made(transport)
        early, self._early = self._early, []
        for data in early:
            self._handler.data_received(data)

    def _due(self, seconds: float) -> None:
        """Give the client this much time from now, instead of what it had."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._raw.is_closing():
            self._timer = asyncio.get_running_loop().call_later(seconds, self.drop)

    def _forget(self) -> None:
        self._guard.leave(self, self._handler)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def descriptors() -> int:
    """Raise the limit of open files as far as this user may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
