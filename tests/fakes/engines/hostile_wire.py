"""Faults of the connection and of HTTP itself: each writes to a raw socket what no good server would."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakes.engines.hostile_pages import PLAIN, many_lines, many_series, page_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

MEBIBYTE = 1 << 20
HUNDRED_MEGABYTES = 100_000_000
BOMB_MEBIBYTES = 4096
DRIP_SECONDS = 0.1
HUGE_HEADER_BYTES = 4_000_000
MANY_HEADERS = 20_000
COMMENT = b"# nothing to see here, and there is plenty of it\n"


class Wire:
    """One connection: writes with back-pressure and counts what the peer's kernel took."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """Wrap a connection of the server on this port."""
        self._reader = reader
        self._writer = writer
        self.port = port
        self.sent_bytes = 0

    async def send(self, data: bytes) -> None:
        """Write and wait until the buffers are low again."""
        self._writer.write(data)
        await self._writer.drain()
        self.sent_bytes += len(data)

    async def peer_closed(self) -> None:
        """Say nothing until the peer gives up."""
        while await self._reader.read(1024):
            pass

    async def head(self, *headers: str, status: str = "200 OK", content_type: str = PLAIN) -> None:
        """Write a status line, the content type and these headers."""
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", *headers]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def answer(self, body: bytes, status: str = "200 OK", content_type: str = PLAIN) -> None:
        """Write a whole correct answer."""
        await self.head(f"Content-Length: {len(body)}", status=status, content_type=content_type)
        await self.send(body)

    async def stream(self, pieces: Iterable[bytes]) -> None:
        """Write an answer whose end is the end of the connection."""
        await self.head("Connection: close")
        for piece in pieces:
            await self.send(piece)


@dataclass(frozen=True, slots=True)
class Fault:
    """A bad answer: what it is, and how it is written; the connection is closed after it."""

    says: str
    write: Callable[[Wire], Awaitable[None]]


async def endless(wire: Wire) -> None:
    """Comment lines without end."""
    await wire.head("Connection: close")
    while True:
        await wire.send(COMMENT * 1000)


async def endless_line(wire: Wire) -> None:
    """One line without end."""
    await wire.head("Connection: close")
    while True:
        await wire.send(b"a" * 65_536)


async def endless_chunks(wire: Wire) -> None:
    """A chunked body without a last chunk."""
    await wire.head("Transfer-Encoding: chunked")
    while True:
        await wire.send(b"%x\r\n%s\r\n" % (len(COMMENT), COMMENT) * 1000)


async def hundred_megabytes(wire: Wire) -> None:
    """A correct answer of 100 MB, its length declared."""
    await wire.head(f"Content-Length: {HUNDRED_MEGABYTES}")
    piece = (COMMENT * (MEBIBYTE // len(COMMENT) + 1))[:1_000_000]
    for _ in range(HUNDRED_MEGABYTES // len(piece)):
        await wire.send(piece)


async def gzip_bomb(wire: Wire) -> None:
    """4 GiB of comment lines in about 13 MB of gzip, asked for or not; the checksum is wrong."""
    press = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = press.compress((COMMENT * MEBIBYTE)[:MEBIBYTE]) + press.flush(zlib.Z_FULL_FLUSH)
    ending = press.flush()
    length = 10 + len(block) * BOMB_MEBIBYTES + len(ending) + 8
    await wire.head("Content-Encoding: gzip", f"Content-Length: {length}")
    await wire.send(b"\x1f\x8b\x08\0\0\0\0\0\0\x03")
    for _ in range(BOMB_MEBIBYTES):
        await wire.send(block)
    await wire.send(ending + b"\0" * 8)


async def drip(wire: Wire) -> None:
    """A good page at one byte per 100 ms."""
    body = page_with("5.0")
    await wire.head(f"Content-Length: {len(body)}")
    await _drip(wire, body)


async def header_drip(wire: Wire) -> None:
    """Headers at one byte per 100 ms, without end."""
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await _drip(wire, b"X-Slow: 1\r\n")


async def redirect_self(wire: Wire) -> None:
    """A redirect to the same address."""
    await wire.head("Location: /redirect-self/metrics", "Content-Length: 0", status="302 Found")


async def redirect_away(wire: Wire) -> None:
    """A redirect to another host (127.0.0.2, this server too): the log shows who followed it."""
    location = f"Location: http://127.0.0.2:{wire.port}/landed/metrics"
    await wire.head(location, "Content-Length: 0", status="302 Found")


async def truncated_chunked(wire: Wire) -> None:
    """A chunked body cut off in the middle of a chunk."""
    await wire.head("Transfer-Encoding: chunked")
    await wire.send(b"1000\r\n" + page_with("5.0"))


async def bad_chunk_size(wire: Wire) -> None:
    """A chunk whose size is not a number."""
    await wire.head("Transfer-Encoding: chunked")
    await wire.send(b"zebra\r\n" + page_with("5.0") + b"\r\n0\r\n\r\n")


async def long_length(wire: Wire) -> None:
    """Content-Length promises 1000 bytes more than are sent before the end."""
    body = page_with("5.0")
    await wire.head(f"Content-Length: {len(body) + 1000}")
    await wire.send(body)


async def short_length(wire: Wire) -> None:
    """Content-Length promises half of what is sent: the page ends inside a line."""
    body = page_with("5.0")
    await wire.head(f"Content-Length: {len(body) // 2}")
    await wire.send(body)


async def two_lengths(wire: Wire) -> None:
    """Two Content-Length headers that differ."""
    body = page_with("5.0")
    await wire.head(f"Content-Length: {len(body)}", "Content-Length: 7")
    await wire.send(body)


async def closes(_: Wire) -> None:
    """The connection ends without an answer."""


async def silent(wire: Wire) -> None:
    """The connection stays open and nothing is said."""
    await wire.peer_closed()


async def silent_body(wire: Wire) -> None:
    """Headers come, the body never does."""
    await wire.head("Content-Length: 1000")
    await wire.peer_closed()


async def http09(wire: Wire) -> None:
    """A page without status line or headers."""
    await wire.send(page_with("5.0"))


async def huge_headers(wire: Wire) -> None:
    """One header of 4 MB before a good page."""
    await wire.head("X-Huge: " + "a" * HUGE_HEADER_BYTES, "Connection: close")
    await wire.send(page_with("5.0"))


async def many_headers(wire: Wire) -> None:
    """Twenty thousand headers before a good page."""
    await wire.head(*(f"X-{n}: {n}" for n in range(MANY_HEADERS)), "Connection: close")
    await wire.send(page_with("5.0"))


async def million_lines(wire: Wire) -> None:
    """A million short lines (16 MB) of an unwanted family."""
    await wire.stream(many_lines())


async def million_series(wire: Wire) -> None:
    """A million series (66 MB) of the wanted counter."""
    await wire.stream(many_series())


async def _drip(wire: Wire, data: bytes) -> None:
    for byte in data:
        await wire.send(bytes([byte]))
        await asyncio.sleep(DRIP_SECONDS)


FAULTS: dict[str, Fault] = {
    write.__name__.replace("_", "-"): Fault((write.__doc__ or "").rstrip("."), write)
    for write in (
        endless, endless_line, endless_chunks, hundred_megabytes, gzip_bomb, drip, header_drip,
        redirect_self, redirect_away, truncated_chunked, bad_chunk_size, long_length, short_length,
        two_lengths, closes, silent, silent_body, http09, huge_headers, many_headers, million_lines,
        million_series,
    )
}  # fmt: skip
"""Every kind that is more than a body, by its path."""
