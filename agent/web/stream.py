"""Server-sent events: the history once, then each new rack snapshot; slow clients skip, nothing queues."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from aiohttp import web

from agent.wire.history_codec import to_json as history_to_json
from agent.wire.rack_codec import figures_to_json, to_json

if TYPE_CHECKING:
    from agent.measure.history import History
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.reading import Moment
    from agent.web.routes import Agent

MOST_STREAMS = 64
"""A quarter of the connections that are let in; scrapers need the rest."""
HEARTBEAT_SECONDS = 1.0
"""Something is written at least this often, so that both ends notice when the other has gone."""
SLOW_SECONDS = 10.0
"""A client that takes nothing for so long is hung up on."""
RETRY_MILLISECONDS = 1000
HALL_MEMBERS = 250
"""More members than these are not sent each second: a thousand are 1.4 MB, to every page that is open."""
MEMBERS_SECONDS = 5.0
"""They are sent so often then; the figures of the rack go on each second."""
HEARTBEAT = b": still here\n\n"
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events back otherwise
    "X-Content-Type-Options": "nosniff",
}


class Streams:
    """Every open event stream of a daemon, and the encoded forms that they share."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._open: set[asyncio.Task[None]] = set()
        self._rack: tuple[tuple[int, Moment] | None, bytes] = (None, b"")
        self._figures: tuple[tuple[int, Moment] | None, bytes] = (None, b"")
        self._turn, self._turned = 0, float("-inf")
        """How often it was time for the members of a hall, and when it last was."""
        self._history: tuple[int, bytes] = (-1, b"")
        self._closing = False

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/api/v1/stream", self._serve)
        app.router.add_get("/api/v1/history", self._serve_history)
        app.on_shutdown.append(self._close)

    async def _serve_history(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._encoded_history(), content_type="application/json")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._closing or len(self._open) >= MOST_STREAMS:
            text = (
                f"too many event streams: {MOST_STREAMS} are open already; close one, or poll /api/v1/rack\n"
            )
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        response = web.StreamResponse(headers=HEADERS)
        sending = asyncio.create_task(self._send(request, response), name="stream")
        self._open.add(sending)
        try:
            await asyncio.wait({sending})
        finally:
            sending.cancel()
            self._open.discard(sending)
        if not sending.cancelled():
            sending.result()
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse) -> None:
        """Write events until the client leaves or is too slow."""
        sequence, turn = -1, -1
        event = b"retry: %d\nevent: history\ndata: %b\n\n" % (RETRY_MILLISECONDS, self._encoded_history())
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            while await _write(request, response, event):
                rack = await self._next(sequence)
                if rack is None:
                    event = HEARTBEAT
                else:
                    sequence = rack.sequence
                    event, turn = self._event(rack, turn)

    async def _next(self, sequence: int) -> RackSnapshot | None:
        """Wait for a newer snapshot, but not longer than a heartbeat."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return await self._agent.next_rack(sequence)
        except TimeoutError:
            return None

    def _event(self, rack: RackSnapshot, turn: int) -> tuple[bytes, int]:
        """Return what a client gets that has the members of some turn, and which it has then.

        All clients of a hall get its members in the same turns, so they are encoded once for all.
        """
        if len(rack.members) <= HALL_MEMBERS:
            return self._encoded_rack(rack), turn
        now = time.monotonic()
        if now - self._turned >= MEMBERS_SECONDS:
            self._turn, self._turned = self._turn + 1, now
        if turn != self._turn:
            return self._encoded_rack(rack), self._turn
        return self._encoded_figures(rack), turn

    def _encoded_figures(self, rack: RackSnapshot) -> bytes:
        """Return the event of a snapshot without its members."""
        key = (rack.sequence, rack.at)
        if self._figures[0] != key:
            self._figures = (key, b"event: figures\ndata: %b\n\n" % figures_to_json(rack))
        return self._figures[1]

    def _encoded_rack(self, rack: RackSnapshot) -> bytes:
        """Return the event of a snapshot, encoded once for all clients."""
        key = (rack.sequence, rack.at)
        if self._rack[0] != key:
            self._rack = (key, b"event: rack\ndata: %b\n\n" % to_json(rack))
        return self._rack[1]

    def _encoded_history(self) -> bytes:
        history: History = self._agent.history
        if self._history[0] != history.version:
            self._history = (history.version, history_to_json(history))
        return self._history[1]

    async def _close(self, _app: web.Application) -> None:
        """End every stream; the clients come back to whoever listens then."""
        self._closing = True
        for sending in self._open:
            sending.cancel()


async def _write(request: web.Request, response: web.StreamResponse, event: bytes) -> bool:
    """Hand one event to the connection; False means that the client does not take it and was hung up on."""
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            await response.write(event)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    return True
