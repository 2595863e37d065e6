"""One kept connection: sends a GET, hands its answer over, and stamps when the first byte arrived."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

from agent.wire.http_response import OK, HttpError, NotHttpError, Response

if TYPE_CHECKING:
    from collections.abc import Callable

BODILESS_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 403, 407})
"""Refusals that say all in their headers: nobody waits for their bodies."""


class HungUpError(HttpError):
    """The peer ended the connection before the headers of its answer were complete."""


class BrokeOffError(HttpError):
    """The peer ended the connection in the middle of a body."""


_LAST_DATA_RECEIVED = struct.Struct("=52xI")  # tcpi_last_data_recv in Linux's struct tcp_info: milliseconds
_CLOCK_MONOTONIC_COARSE = 6  # its resolution is the kernel's tick; Python has no name for it


def _tick_seconds() -> float:
    """Return the granularity of the kernel's time stamps."""
    try:
        return time.clock_getres(_CLOCK_MONOTONIC_COARSE)
    except OSError:
        return 0.01  # the coarsest that Linux is built with


def _waited_in_kernel_seconds(connection: Any, tick_seconds: float) -> float:
    """Return how long data surely waited for a busy event loop; 0 where the kernel does not tell."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
        (milliseconds,) = _LAST_DATA_RECEIVED.unpack(info)
    except (AttributeError, OSError, struct.error):
        return 0.0
    return max(0.0, float(milliseconds) / 1000.0 - tick_seconds)


class Connection(asyncio.BufferedProtocol):
    """Asks one thing at a time; whatever comes unasked ends it."""

    _tick_seconds = _tick_seconds()

    def __init__(self, buffer: memoryview, gone: Callable[[Connection], None]) -> None:
        """`buffer` may be shared with other connections: what is read is parsed before the next read."""
        self.asked: float | None = None
        """When the last request was written, on the monotonic clock."""
        self.first_byte: float | None = None
        """When the first byte of its answer arrived."""
        self.response: Response | None = None
        self.idle_since = 0.0
        self._buffer = buffer
        self._gone = gone
        self._transport: Any = None
        self._socket: Any = None
        self._waiter: asyncio.Future[Response] | None = None
        self._fault: Exception | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._fault is None and not self._transport.is_closing()

    async def ask(self, request: bytes, body_limit_bytes: int) -> Response:
        """Send a request and return its answer: whole if its status is 200, else as far as it is of use.

        Raises HungUpError, BrokeOffError, NotHttpError, BodyTooLargeError and what the system raises. The
        connection is hung up unless it can be used again.
        """
        if self._fault is not None:
            raise self._fault
        waiter: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        response = self.response = Response(body_limit_bytes)
        self.first_byte = None
        self.asked = time.monotonic()
        self._transport.write(request)
        try:
            answer = await waiter
            self.response = None  # it is whoever's that asked: kept here it would be until the next
            return answer
        finally:
            self._waiter = None
            response.release()
            if not (response.whole and response.keep_alive):
                self.abort()

    def answer_waits(self) -> bool:
        """Whether bytes of the peer, or its end, were not read yet, or an answer not taken."""
        if self._waiter is not None and self._waiter.done():
            return True
        number = -1 if self._socket is None else self._socket.fileno()
        if number < 0:
            return False
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Take the transport."""
        self._transport = transport
        self._socket = transport.get_extra_info("socket")

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where to read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read, as soon as the event loop has read it.

        Whoever asked runs later, perhaps after other pages have been parsed: its own clock would be late
        (T3). The event loop itself may be late too; the kernel knows how long the data has waited.
        """
        response, waiter = self.response, self._waiter
        if waiter is None or response is None or waiter.done():
            self._fail(NotHttpError("answers before it is asked"))
            return
        if self.first_byte is None and self.asked is not None:
            arrived = time.monotonic() - _waited_in_kernel_seconds(self._socket, self._tick_seconds)
            self.first_byte = max(arrived, self.asked)
        try:
            response.feed(self._buffer[:nbytes])
        except Exception as error:  # noqa: BLE001 - goes to whoever asked
            self._fail(error)
            return
        if not response.begun:  # "100 Continue": the answer itself is still to come
            self.first_byte = None
        if response.whole or _says_enough(response):
            waiter.set_result(response)

    def eof_received(self) -> None:
        """Take the end as the end of a body without a length; otherwise it is a failure."""
        response, waiter = self.response, self._waiter
        if waiter is None or response is None or waiter.done():
            self._fail(HungUpError("closed"))
            return
        response.end()
        if response.whole:
            waiter.set_result(response)
        else:
            self._fail(BrokeOffError("closed") if response.status else HungUpError("closed"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits, and the pool."""
        begun = self.response is not None and self.response.status
        self._fail(exc or (BrokeOffError("closed") if begun else HungUpError("closed")))
        self._gone(self)

    def _fail(self, fault: Exception) -> None:
        """Remember why this connection is of no use any more, and hang up."""
        self._fault = self._fault or fault
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(fault)
        self.abort()


def _says_enough(response: Response) -> bool:
    """Whether a refusal has said what a message can tell of it."""
    if response.status in (0, OK):
        return False
    return response.body_bytes > 0 or response.status in BODILESS_STATUSES
