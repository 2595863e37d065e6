"""Asks one Redfish service: one request at a time, bounded, within a session where there is one."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING, Any

import orjson

from agent.collectors._redfish.documents import at, link, path_of
from agent.measure.reading import Reason, SourceError
from agent.wire.address import public
from agent.wire.http import Limits
from agent.wire.http_config import Credentials
from agent.wire.json_page import parse
from agent.wire.text import words

if TYPE_CHECKING:
    from agent.collectors._redfish.documents import Document
    from agent.collectors._redfish.target import Target
    from agent.wire.http import HttpClient, Posted

ROOT = "/redfish/v1/"
SESSIONS = "/redfish/v1/SessionService/Sessions"
HEADERS = {"Accept": "application/json", "OData-Version": "4.0"}
OK, CREATED, BAD, UNAUTHORIZED, FORBIDDEN, UNSUPPORTED = 200, 201, 400, 401, 403, 501
GONE = frozenset({404, 405, 410, UNSUPPORTED})
BUSY = frozenset({429, 500, 502, 503, 504})
DENIED_SECONDS = 300.0
"""A login that was refused is not tried again for so long, unless the password changes: controllers lock
accounts after a few attempts, and would lock people out."""
BASIC_SECONDS = 600.0
"""Where no session could be had (there are as many as there may be), each request logs in for so long."""
CLOSE_SECONDS = 0.8
"""A session is ended within this, or is left to run out by itself."""
TOKEN_CHARACTERS = 1024


class NotThereError(SourceError):
    """A resource that this controller does not have."""


class Service:
    """One management controller."""

    def __init__(self, target: Target, client: HttpClient, request_seconds: float, max_bytes: int) -> None:
        self.asked = 0
        """Requests so far, sessions included."""
        self.ways: str = ""
        """How it logs in, for people: session, basic, or nothing."""
        self._target, self._client = target, client
        self._seconds, self._max_bytes = request_seconds, max_bytes
        self._credentials = Credentials()
        self._turn = asyncio.Lock()
        """Controllers are small: they are asked one thing at a time."""
        self._token = ""
        self._session = ""
        self._basic_until = float("-inf")
        self._denied: tuple[str, float, SourceError] | None = None
        """A password that was refused, until when it is not tried again, and what was answered."""

    @property
    def where(self) -> str:
        """Its address, for messages."""
        return public(self._target.base)

    async def get(self, path: str, deadline: float = float("inf"), query: str = "") -> Document:
        """Return one resource; `deadline` is on the monotonic clock. Raises SourceError, NotThereError."""
        async with self._turn:
            answer = await self._authorized(path + query, deadline)
        if answer.status != OK:
            raise self._refusal(path, answer)
        document = self._parsed(path, answer)
        if not isinstance(document, dict):
            raise SourceError(Reason.MALFORMED, f"{self.where}{path} is no object of JSON")
        return document

    async def close(self) -> None:
        """End the session, if there is one and it can be done quickly."""
        if not self._session:
            return
        path, token, self._session, self._token = self._session, self._token, "", ""
        limits = Limits(CLOSE_SECONDS, self._max_bytes)
        headers = {**HEADERS, "X-Auth-Token": token}
        config = self._target
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.ask(
                    "DELETE", config.base + path, b"", limits, headers=headers, config=config
                )
        except (SourceError, TimeoutError):
            return  # it runs out by itself

    async def _authorized(self, path: str, deadline: float) -> Posted:
        """Ask; where a session has ended meanwhile, once more with a new one."""
        for attempt in (1, 2):
            headers = await self._login(deadline)
            answer = await self._ask("GET", path, b"", deadline, headers)
            if answer.status != UNAUTHORIZED:
                return answer
            if not self._token or attempt == 2:  # noqa: PLR2004 - the new session is refused as well
                self._deny(answer)
                return answer
            self._token = self._session = ""
        raise AssertionError

    async def _login(self, deadline: float) -> dict[str, str]:
        """Return the headers by which a request is let in. Raises SourceError where none would be."""
        target = self._target
        if not target.username:
            return {}
        password = self._credentials.secret(target.password_file, "password_file")
        now = time.monotonic()
        if self._denied is not None:
            refused, until, why = self._denied
            if password == refused and now < until:
                raise why
            self._denied = None
        if self._token:
            return {"X-Auth-Token": self._token}
        if target.sessions and now >= self._basic_until and await self._open(password, deadline):
            self.ways = "session"
            return {"X-Auth-Token": self._token}
        self.ways = "basic"
        pair = base64.b64encode(f"{target.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}

    async def _open(self, password: str, deadline: float) -> bool:
        """Make a session; False where this controller makes none (now). Raises SourceError when denied."""
        body = orjson.dumps({"UserName": self._target.username, "Password": password})
        headers = {"Content-Type": "application/json"}
        answer = await self._ask("POST", SESSIONS, body, deadline, headers)
        token = answer.headers.get("x-auth-token", "")
        if answer.status in {OK, CREATED} and token and len(token) <= TOKEN_CHARACTERS:
            self._token = token
            self._session = self._own_path(answer.headers.get("location")) or ""
            return True
        if answer.status in {UNAUTHORIZED, FORBIDDEN} and not _is_full(answer):
            self._deny(answer)
            raise self._refusal(SESSIONS, answer)
        self._basic_until = time.monotonic() + BASIC_SECONDS
        return False

    def _own_path(self, location: str | None) -> str | None:
        """Return where a session lies: a path, or an address of the same host."""
        if location is not None and location.startswith(self._target.base + "/"):
            location = location.removeprefix(self._target.base)
        return path_of(location)

    async def _ask(
        self, method: str, path: str, body: bytes, deadline: float, headers: dict[str, str]
    ) -> Posted:
        left = min(self._seconds, deadline - time.monotonic())
        if left <= 0.0:
            raise SourceError(
                Reason.TIMED_OUT, f"{self.where}: the time of this round is over; raise timeout"
            )
        self.asked += 1
        target = self._target
        limits = Limits(left, self._max_bytes)
        return await self._client.ask(
            method, target.base + path, body, limits, headers={**HEADERS, **headers}, config=target
        )

    def _deny(self, answer: Posted) -> None:
        """Remember that the password was refused."""
        if self._target.username and answer.status == UNAUTHORIZED:
            password = self._credentials.secret(self._target.password_file, "password_file")
            until = time.monotonic() + DENIED_SECONDS
            self._denied = (password, until, self._refusal(ROOT, answer))

    def _refusal(self, path: str, answer: Posted) -> SourceError:
        said = f"{self.where}{path} answered {answer.said}"
        if answer.status == UNAUTHORIZED:
            mend = (
                "username and password_file are not accepted, and are not tried again for "
                f"{DENIED_SECONDS:g} s or until the file changes, so that the account is not locked"
                if self._target.username
                else "set username and password_file"
            )
            return SourceError(Reason.DENIED, f"{said}; {mend}")
        if answer.status == FORBIDDEN:
            return SourceError(Reason.DENIED, f"{said}; give the user the role ReadOnly (privilege Login)")
        if answer.status in GONE or answer.status == BAD:
            mend = "is it a Redfish service?" if path == ROOT else "what it has is looked for anew"
            return NotThereError(Reason.UNSUPPORTED, f"{said}; {mend}")
        if answer.status in BUSY:
            return SourceError(Reason.UNREACHABLE, f"{said}; the controller is busy or not well")
        return SourceError(Reason.MALFORMED, f"{said}, which is no answer of a Redfish service")

    def _parsed(self, path: str, answer: Posted) -> Any:
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            text = f"{self.where}{path} is sent as {words(coding)!r}, asked for identity"
            raise SourceError(Reason.UNSUPPORTED, text)
        try:
            return parse(answer.body)
        except SourceError as error:
            raise SourceError(error.reason, f"{self.where}{path}: {error.detail}") from error


def _is_full(answer: Posted) -> bool:
    """Whether a session was refused because there are too many, in the words of Redfish's messages."""
    return b"SessionLimitExceeded" in answer.body or "SessionLimitExceeded" in answer.said


def expansion(root: Document) -> str:
    """Return the query by which a collection comes with all of its members; empty where none does."""
    offered = at(root, "ProtocolFeaturesSupported", "ExpandQuery")
    if at(offered, "NoLinks") is True:
        return "?$expand=."
    return "?$expand=*" if at(offered, "ExpandAll") is True else ""


def is_root(document: Document) -> bool:
    """Whether this is the root of a Redfish service."""
    return "RedfishVersion" in document or link(document, "Chassis") is not None
