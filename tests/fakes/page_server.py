"""A small HTTP server inside the test's own event loop: canned answers by path, and what it saw."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Answer:
    """One canned answer; `wait_seconds` passes before its first byte."""

    body: bytes = b""
    status: str = "200 OK"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    together: asyncio.Barrier | None = None
    """Holds the answer back until as many requests are there as the barrier has parties."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    path: str
    headers: Mapping[str, str]
    connection: int
    """Number of the connection that it came on."""
    body: bytes = b""


class PageServer:
    """Serves `answers`, which a test may change at any time; unknown paths are 404."""

    def __init__(self, answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answers = dict(answers)
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.url = ""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._asked = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    def hang_up(self) -> None:
        """Close all connections after what was written."""
        for writer in tuple(self._writers):
            writer.close()

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        await self.emptied()

    async def asked(self) -> None:
        """Return when a request has come."""
        await self._asked.wait()

    async def emptied(self) -> None:
        """Return when no connection is open."""
        await self._empty.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._empty.clear()
        number = self.connections
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer, number)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self.open -= 1
            if not self.open:
                self._empty.set()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append(Request(path, headers, number, body))
        self._asked.set()
        answer = self.answers.get(path, Answer(status="404 Not Found"))
        if answer.together is not None:
            await answer.together.wait()
        gone = asyncio.ensure_future(reader.read(1)) if answer.wait_seconds else None
        if gone is not None:  # notices at once when the client hangs up
            await asyncio.wait({gone}, timeout=answer.wait_seconds)
            if gone.done():
                raise ConnectionError
            gone.cancel()
            await asyncio.wait({gone})
        sent = {"Content-Length": str(len(answer.body)), **answer.headers}
        lines = [f"HTTP/1.1 {answer.status}", *(f"{name}: {value}" for name, value in sent.items())]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
