"""A server with one path for each kind of bad page that a reader must survive.

    with HostileServer() as hostile:
        hostile.address("endless")     http://127.0.0.1:PORT/endless: read it, or /endless/metrics
        hostile.visits("endless")      how often it was asked for, and how much of it was taken

What follows the kind in a path is left aside, so an agent that adds /metrics to a base address can be
sent to any kind. `kinds()` is the table of them all; `python -m fakes.engines.hostile --list` prints it,
`python -m fakes.engines.hostile PORT` serves it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import asdict, dataclass, field
from typing import Self

from fakes.engines.hostile_pages import BAD_SLOTS, LLAMACPP_PAGE, PAGES
from fakes.engines.hostile_wire import FAULTS, Wire
from fakes.processes import LOOPBACK, Program, free_port, http_get, python_program, wait_http

OTHER_HOST = "127.0.0.2"
REQUEST_BYTES = 65_536
STATUSES = {
    204: "No Content",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(slots=True)
class Visits:
    """What one kind has seen: requests, bytes that left the server, the last request's headers."""

    requests: int = 0
    sent_bytes: int = 0
    """Of ended requests; includes what waits in the kernel's buffers, a few MB at most."""
    open: int = 0
    """Connections on which an answer is being written now."""
    headers: dict[str, str] = field(default_factory=dict)


def kinds() -> dict[str, str]:
    """Every kind and what it is, in one line."""
    statuses = {f"status-{code}": f"status {code} {name}" for code, name in STATUSES.items()}
    whole = {name: page.says for name, page in (PAGES | BAD_SLOTS).items()}
    return whole | {name: fault.says for name, fault in FAULTS.items()} | statuses


class HostileServer:
    """Runs the server in a process of its own."""

    def __init__(self) -> None:
        """Nothing runs before `start`."""
        self.port: int | None = None
        self._program: Program | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The server's base address, without a final slash."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def program(self) -> Program:
        """The running program, for its pid and processor time."""
        if self._program is None:
            message = "the hostile server is not started"
            raise RuntimeError(message)
        return self._program

    def start(self) -> Self:
        """Start on a free port and wait until it answers."""
        self.port = free_port()
        self._program = python_program(__name__, str(self.port), "--with-parent")
        self._program.start()
        wait_http(f"{self.url}/visits", self._program)
        return self

    def stop(self) -> None:
        """Stop, whatever is being written."""
        if self._program is not None:
            self._program.stop()

    def address(self, kind: str) -> str:
        """The base address of a kind; add /metrics or nothing."""
        if kind not in kinds():
            message = f"no kind {kind!r}; there are {', '.join(kinds())}"
            raise ValueError(message)
        return f"{self.url}/{kind}"

    def visits(self, kind: str) -> Visits:
        """What a kind has seen so far; `landed` is where redirect-away leads."""
        _, body = http_get(f"{self.url}/visits")
        seen = json.loads(body).get(kind)
        return Visits(**seen) if seen else Visits()


class _Server:
    """The server process: reads requests and writes the kind that each asks for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.visits: dict[str, Visits] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests of one connection until it is closed or a fault ends it."""
        ends = (
            ConnectionError,
            asyncio.CancelledError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        )
        with contextlib.suppress(*ends):
            while await self._answer(reader, writer):
                pass
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path, headers = _parsed(head)
        wire = Wire(reader, writer, self.port)
        if path == "/visits":
            seen = {kind: asdict(visits) for kind, visits in self.visits.items()}
            await wire.answer(json.dumps(seen).encode(), content_type="application/json")
            return True
        kind, _, rest = path.removeprefix("/").partition("/")
        visits = self.visits.setdefault(kind, Visits())
        number, visits.requests = visits.requests, visits.requests + 1
        visits.headers, visits.open = headers, visits.open + 1
        try:
            kept = await _write(wire, kind, rest, number)
        finally:
            visits.open -= 1
            visits.sent_bytes += wire.sent_bytes
        return kept and headers.get("connection") != "close"


async def _write(wire: Wire, kind: str, rest: str, number: int) -> bool:
    """Write the answer of a kind; whether the connection may go on."""
    if kind in PAGES:
        page = PAGES[kind]
        await wire.answer(page.body(number), content_type=page.content_type)
        return True
    if kind in BAD_SLOTS:
        bad = BAD_SLOTS[kind]
        if rest.endswith("slots"):
            await wire.answer(bad.body(number), content_type=bad.content_type)
        else:
            await wire.answer(LLAMACPP_PAGE)
        return True
    if kind in FAULTS:
        await FAULTS[kind].write(wire)
        return False
    code = kind.removeprefix("status-")
    status = int(code) if code.isdigit() and int(code) in STATUSES else 404
    body = b"" if status == 204 else b"no page here\n"
    await wire.answer(body, status=f"{status} {STATUSES[status]}")
    return True


def _parsed(head: str) -> tuple[str, dict[str, str]]:
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return first.split(" ")[1].partition("?")[0], headers


async def _serve(port: int, *, with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), ended.set)
    server = _Server(port)
    for host in (LOOPBACK, OTHER_HOST):
        await asyncio.start_server(server.connected, host, port, limit=REQUEST_BYTES)
    await ended.wait()


def main(args: list[str] | None = None) -> None:
    """Serve, or print the table, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="?")
    parser.add_argument("--list", action="store_true", help="print every kind and what it is")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    options = parser.parse_args(args)
    if options.list or options.port is None:
        sys.stdout.writelines(f"{kind:22}{says}\n" for kind, says in kinds().items())
        return
    asyncio.run(_serve(options.port, with_parent=options.with_parent))


if __name__ == "__main__":
    main()
