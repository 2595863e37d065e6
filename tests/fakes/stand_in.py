"""Stands in front of a member of a rack: passes on, falls silent, or answers wrong in its place."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self

from fakes.processes import LOOPBACK, free_port

THROUGH = "through"
SILENT = "silent"
"""The network in between stopped: whoever is connected or connects hears nothing."""
HANG, DRIP, HUGE, GARBAGE, WRONG = "hang", "drip", "huge", "garbage", "wrong"
HUGE_BYTES = 100 * 1024 * 1024
CHUNK = 65_536


class StandIn:
    """A port of its own on loopback; what it does can be changed at any moment."""

    def __init__(self, target: tuple[str, int], host: str = LOOPBACK) -> None:
        self.host, self.port = host, free_port()
        self.url = f"http://{host}:{self.port}"
        self.target = target
        self.mode = THROUGH
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._moving: asyncio.Event | None = None
        self._open: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def be(self, mode: str, target: tuple[str, int] | None = None) -> None:
        """Change what it does; silence keeps the connections that there are, anything else resets them."""
        self._call(self._change(mode, target or self.target))

    def _call(self, job) -> None:
        asyncio.run_coroutine_threadsafe(job, self._loop).result(10.0)

    async def _listen(self) -> None:
        self._moving = asyncio.Event()
        self._moving.set()
        self._server = await asyncio.start_server(self._accepted, self.host, self.port)

    async def _change(self, mode: str, target: tuple[str, int]) -> None:
        silence = SILENT in {mode, self.mode}
        self.mode, self.target = mode, target
        if mode == SILENT:
            self._moving.clear()
        else:
            self._moving.set()
        if not silence:
            await self._hang_up()

    async def _hang_up(self) -> None:
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _close(self) -> None:
        self._server.close()
        await self._hang_up()

    async def _accepted(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._moving.wait()
                await (self._pass_on(reader, writer) if self.mode == THROUGH else self._lie(reader, writer))
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _pass_on(self, reader, writer) -> None:
        other_reader, other_writer = await asyncio.open_connection(*self.target)
        both = [
            asyncio.ensure_future(self._pump(reader, other_writer)),
            asyncio.ensure_future(self._pump(other_reader, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            other_writer.transport.abort()

    async def _pump(self, reader, writer) -> None:
        while data := await reader.read(CHUNK):
            await self._moving.wait()
            writer.write(data)
            await writer.drain()

    async def _lie(self, reader, writer) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            if self.mode == HANG:
                await asyncio.sleep(3600)
            elif self.mode == DRIP:
                writer.write(_head(10_000))
                while True:
                    await _written(writer, b"{")
                    await asyncio.sleep(0.1)
            elif self.mode == HUGE:
                writer.write(_head(HUGE_BYTES))
                for _ in range(HUGE_BYTES // CHUNK):
                    await _written(writer, b" " * CHUNK)
            else:
                body = b'{"schema": 1, "node": [' if self.mode == GARBAGE else b'{"schema": 7}'
                await _written(writer, _head(len(body)) + body)


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


async def _written(writer, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
