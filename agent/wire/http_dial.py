"""New connections: look-up, the race between a host's addresses, TLS, and the way through a proxy."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from agent.wire.address import DEFAULT_PORTS, login
from agent.wire.http_response import HttpError, NotHttpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.wire.http_connection import Connection
    from agent.wire.resolver import Address, DaemonResolver

HEAD_START_SECONDS = 0.25
"""The next address of a host is tried when the one before has failed, or after this long (RFC 8305)."""
PROXY_ANSWER_BYTES = 8192
"""A proxy that says more than this before it lets us through is none."""

Spoken = TypeVar("Spoken", bound=asyncio.BaseProtocol)


class NoAddressError(HttpError):
    """The host's name leads nowhere; the cause is the system's error."""


class NoConnectionError(HttpError):
    """None of the host's addresses took the connection; the cause is the system's error."""


class ProxyRefusedError(HttpError):
    """The proxy does not let us through."""


class Route(NamedTuple):
    """What two requests must have in common to share a connection."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None
    """None where nothing on the way speaks TLS."""
    server_name: str = ""
    """Expected in the server's certificate."""
    proxy: str = ""
    """URL of the proxy; empty without one."""


async def dial(route: Route, resolver: DaemonResolver, make: Callable[[], Connection]) -> Connection:
    """Return a new connection.

    Raises NoAddressError, NoConnectionError, ProxyRefusedError, NotHttpError, ssl.SSLError and ValueError.
    """
    if not route.proxy:
        return (await _direct(route, resolver, make))[1]
    parts = urlsplit(route.proxy)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    way = Route(parts.scheme, host, port, route.tls, host)
    if route.scheme == "http":
        return (await _direct(way, resolver, make))[1]
    return await _tunnelled(route, await _direct(way, resolver, _Tunnel), make)


def proxy_authorization(proxy: str) -> str:
    """Return the header line with the login that a proxy's URL carries; empty when it carries none."""
    given = login(proxy)
    return f"Proxy-Authorization: {given}\r\n" if given else ""


async def _direct(
    route: Route, resolver: DaemonResolver, make: Callable[[], Spoken]
) -> tuple[asyncio.Transport, Spoken]:
    try:
        addresses = await resolver.resolve(route.host, route.port, socket.AF_UNSPEC)
    except OSError as error:
        raise NoAddressError from error
    connected: socket.socket | None = None
    secure = route.scheme == "https"
    try:
        connected = await _first_connected(addresses)
        return await asyncio.get_running_loop().create_connection(
            make,
            sock=connected,
            ssl=route.tls if secure else None,
            server_hostname=route.server_name if secure else None,
        )
    except BaseException as error:
        if connected is not None:
            connected.close()
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | TimeoutError):
            raise NoConnectionError from error
        raise


async def _first_connected(addresses: Sequence[Address]) -> socket.socket:
    """Connect to one of these, early ones first. Raises OSError when none of them answers."""
    if len(addresses) == 1:
        return await _connected(addresses[0])
    attempts: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    waiting = list(addresses)
    try:
        while waiting or not all(attempt.done() for attempt in attempts):
            if waiting:
                attempts.append(asyncio.create_task(_connected(waiting.pop(0))))
            running = [attempt for attempt in attempts if not attempt.done()]
            patience = HEAD_START_SECONDS if waiting else None
            await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            winner = next((one for one in attempts if one.done() and one.exception() is None), None)
            if winner is not None:
                return winner.result()
        raise attempts[0].exception() or OSError("no address")
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_close_late)


async def _connected(address: Address) -> socket.socket:
    one = socket.socket(address.family, socket.SOCK_STREAM, address.proto)
    try:
        one.settimeout(0.0)
        await asyncio.get_running_loop().sock_connect(one, address.sockaddr)
    except BaseException as error:
        one.close()
        if isinstance(error, OSError) and error.errno:  # asyncio says only "Connect call failed"
            raise OSError(error.errno, f"{address.sockaddr[0]}: {os.strerror(error.errno)}") from error
        raise
    return one


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    """Hang up what connected though another address was faster."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


class _Tunnel(asyncio.Protocol):
    """Listens to a proxy until it lets us through."""

    def __init__(self) -> None:
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._said = b""

    def data_received(self, data: bytes) -> None:
        self._said += data
        head, ended, beyond = self._said.partition(b"\r\n\r\n")
        if not ended and len(self._said) <= PROXY_ANSWER_BYTES:
            return
        status = re.match(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?", head)
        if status is None or not ended or beyond:
            self._end(NotHttpError("the proxy's answer to CONNECT"))
        elif not status[1].startswith(b"2"):
            said = b" ".join(filter(None, status.groups())).decode("utf-8", "replace")
            self._end(ProxyRefusedError(f"the proxy answered {said}"))
        else:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._end(ProxyRefusedError("the proxy hung up"))

    def _end(self, fault: Exception | None) -> None:
        if self.open.done():
            return
        if fault is None:
            self.open.set_result(None)
        else:
            self.open.set_exception(fault)


async def _tunnelled(
    route: Route, way: tuple[asyncio.Transport, _Tunnel], make: Callable[[], Connection]
) -> Connection:
    """Ask the proxy to pass bytes on to the host, and speak TLS with that."""
    transport, tunnel = way
    connection = make()
    host = f"[{route.host}]" if ":" in route.host else route.host
    request = f"CONNECT {host}:{route.port} HTTP/1.1\r\nHost: {host}:{route.port}\r\n"
    transport.write(f"{request}{proxy_authorization(route.proxy)}\r\n".encode())
    try:
        await tunnel.open
        secured = await asyncio.get_running_loop().start_tls(
            transport,
            connection,
            route.tls or ssl.create_default_context(),
            server_hostname=route.server_name,
        )
    except BaseException:
        transport.abort()
        raise
    connection.connection_made(secured)
    return connection
