"""A management controller in the event loop of a test: a tree of documents behind sessions, and its moods."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

SESSIONS = "/redfish/v1/SessionService/Sessions"
OPEN = ("/redfish", "/redfish/v1", SESSIONS)
"""What may be asked for without a login, as the specification says."""


@dataclass(slots=True)
class Mood:
    """How it behaves now; a test may change it at any time."""

    wait_seconds: float = 0.0
    sessions: int = 8
    """So many at most."""
    has_sessions: bool = True
    statuses: dict[str, int] = field(default_factory=dict)
    """By path: it answers this status instead."""
    raw: dict[str, bytes] = field(default_factory=dict)
    """By path: these bytes are the body."""
    endless: str = ""
    """This path is answered without end."""
    expands: bool = False


class Bmc:
    """Serves a tree of documents by path; unknown paths are 404."""

    def __init__(
        self, tree: Mapping[str, Any], login: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.tree = dict(tree)
        self.login = login
        self.mood = Mood()
        self.asked: list[str] = []
        """Method and path of each request."""
        self.tokens: dict[str, str] = {}
        """Open sessions: path by token."""
        self.refused = 0
        """Logins with a wrong password: a real one locks the account after a few."""
        self.url = ""
        self._made = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def gets(self, path: str) -> int:
        """How often a path was read."""
        return self.asked.count(f"GET {path}")

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await self._answer(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        method, address, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path, _, query = address.partition("?")
        path = path.rstrip("/") or "/"
        self.asked.append(f"{method} {path}" + (f"?{query}" if query else ""))
        await asyncio.sleep(self.mood.wait_seconds)
        if path == self.mood.endless:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()
        status, more, answer = self._answered(method, path, query, headers, body)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(answer)), **more}
        told = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{told}\r\n".encode() + answer)
        await writer.drain()

    def _answered(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if path in self.mood.statuses:
            return self.mood.statuses[path], {}, b"{}"
        if (method, path) == ("POST", SESSIONS):
            return self._session(json.loads(body))
        if not self._may(path, headers):
            return 401, {}, b"{}"
        if method == "DELETE":
            self.tokens = {token: place for token, place in self.tokens.items() if place != path}
            return 204, {}, b""
        if path in self.mood.raw:
            return 200, {}, self.mood.raw[path]
        if path not in self.tree:
            return 404, {}, b"{}"
        document = self.tree[path]
        if query and not self.mood.expands:
            return 501, {}, b"{}"
        if query:
            members = [self.tree.get(each["@odata.id"], each) for each in document.get("Members", [])]
            document = {**document, "Members": members}
        return 200, {}, json.dumps(document).encode()

    def _session(self, asked: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        if not self.mood.has_sessions:
            return 405, {}, b"{}"
        if self.login is not None and (asked.get("UserName"), asked.get("Password")) != self.login:
            self.refused += 1
            return 401, {}, b"{}"
        if len(self.tokens) >= self.mood.sessions:
            return 503, {}, b'{"error": {"code": "Base.1.8.SessionLimitExceeded"}}'
        self._made += 1
        token, place = f"token-{self._made}", f"{SESSIONS}/{self._made}"
        self.tokens[token] = place
        return 201, {"X-Auth-Token": token, "Location": place}, b"{}"

    def _may(self, path: str, headers: Mapping[str, str]) -> bool:
        if self.login is None or path in OPEN:
            return True
        if headers.get("x-auth-token") in self.tokens:
            return True
        given = headers.get("authorization", "")
        if given == "Basic " + base64.b64encode(":".join(self.login).encode()).decode():
            return True
        self.refused += bool(given)
        return False
