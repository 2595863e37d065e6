"""A bounded HTTP client: every answer has a deadline and a size, every failure a Reason and a remedy."""

from __future__ import annotations

import functools
import re
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from agent.alarms import Alarms
from agent.measure.reading import Reason, SourceError
from agent.wire.address import DEFAULT_PORTS, login, public
from agent.wire.deadline import Deadline
from agent.wire.http_config import Credentials, HttpConfig, TlsConfig
from agent.wire.http_connection import HungUpError
from agent.wire.http_dial import Route, proxy_authorization
from agent.wire.http_failure import RedirectsWithoutEndError, failure_of, too_large
from agent.wire.http_pool import ConnectionPool
from agent.wire.http_response import OK, HttpError
from agent.wire.text import printable, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.wire.http_connection import Connection
    from agent.wire.http_response import Response

__all__ = ["Fetched", "HttpClient", "HttpConfig", "Limits", "Posted"]

ACCEPT = "text/plain;version=0.0.4"  # anything newer renames vLLM's series (T23)
MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
EXCERPT_BYTES = 160  # of an error's body: enough for one sentence of the server
HEADER_CHARACTERS = 1024  # of one header: more than any that is of use here
PHRASE_CHARACTERS = 80  # of a status line's reason and of a name in a header
ADDRESSES = 4096  # parsed URLs that are remembered: a rack daemon asks for 1,000 again and again
DEFAULT_CONFIG = HttpConfig()
SYSTEM_TLS = TlsConfig()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may cost."""

    seconds: float
    """From the start of connecting to the last byte; what has arrived by then is still read."""
    body_bytes: int
    """As sent and, when compressed, as inflated."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer with status 200."""

    body: bytes
    headers: Mapping[str, str]
    """Names in lower case, values printable and bounded."""
    asked_monotonic: float
    """When the connection was there and the request was written."""
    first_byte_monotonic: float
    """When the first byte of the answer arrived."""
    finished_monotonic: float


@dataclass(frozen=True, slots=True)
class Posted:
    """What a server answered, whatever its status."""

    status: int
    said: str
    """Status and reason phrase, with a refusal's first words: printable and bounded."""
    headers: Mapping[str, str]
    """As above."""
    body: bytes
    """Whole if the status is 200, else what had come when the status was clear."""


@dataclass(slots=True)
class _Progress:
    """How far one request has come, for the message of a time-out."""

    connection: Connection | None = None

    def phase(self) -> str:
        """Say what it was doing."""
        connection = self.connection
        if connection is None or connection.response is None:
            return "connecting"
        if connection.first_byte is None:
            return "waiting for the first byte"
        return f"reading the body, at {connection.response.body_bytes} bytes"

    def answer_waits(self) -> bool:
        """Whether the peer has done more than we have read."""
        return self.connection is not None and self.connection.answer_waits()


class _Target(NamedTuple):
    """An address, taken apart once."""

    scheme: str
    host: str
    port: int
    host_header: str
    path: str
    login: str
    """Name and password in the address itself, as a value of Authorization; empty without."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What a login is for."""
        return self.scheme, self.host, self.port


class _Sent(NamedTuple):
    """What is asked for, and what goes with it."""

    method: str
    body: bytes


_GET = _Sent("GET", b"")


class HttpClient:
    """All requests of a collector: keep-alive, no cookies, nothing from the environment."""

    def __init__(self) -> None:
        self._pool = ConnectionPool()
        self._alarms = Alarms()
        self._credentials = Credentials()

    async def get(
        self,
        url: str,
        limits: Limits,
        *,
        headers: Mapping[str, str] | None = None,
        config: HttpConfig = DEFAULT_CONFIG,
    ) -> Fetched:
        """Return the answer to one GET. Raises SourceError for every way in which it can fail."""
        progress = _Progress()
        try:
            with Deadline(limits.seconds, progress.answer_waits, self._alarms):
                response = await self._followed(url, limits, headers or {}, config, progress)
            return _fetched(public(url), response, limits, config, progress)
        except (HttpError, OSError, ValueError) as error:
            raise failure_of(
                public(url), error, progress.phase(), limits.seconds, limits.body_bytes
            ) from error

    async def post(
        self,
        url: str,
        body: bytes,
        limits: Limits,
        *,
        headers: Mapping[str, str] | None = None,
        config: HttpConfig = DEFAULT_CONFIG,
    ) -> Posted:
        """Return the answer to one POST, as `ask` does."""
        return await self.ask("POST", url, body, limits, headers=headers, config=config)

    async def ask(
        self,
        method: str,
        url: str,
        body: bytes,
        limits: Limits,
        *,
        headers: Mapping[str, str] | None = None,
        config: HttpConfig = DEFAULT_CONFIG,
    ) -> Posted:
        """Return what is answered; `limits` are for the answer. Raises SourceError when there is none.

        No redirect is followed. Where a kept connection turns out to be closed the body is sent again on a
        new one: the server may get it twice.
        """
        progress = _Progress()
        try:
            target = _parsed(url)
            authorization = self._credentials.header(config) or target.login
            with Deadline(limits.seconds, progress.answer_waits, self._alarms):
                response = await self._asked(
                    target, limits, headers or {}, authorization, config, progress, _Sent(method, body)
                )
        except (HttpError, OSError, ValueError) as error:
            raise failure_of(
                public(url), error, progress.phase(), limits.seconds, limits.body_bytes
            ) from error
        words_of = _own_words(response) if response.status != OK else ""
        said = f"{response.status} {words(response.phrase, PHRASE_CHARACTERS)}".rstrip() + words_of
        return Posted(response.status, said, _bounded(response.headers), response.body)

    async def close(self) -> None:
        """Drop all connections."""
        self._pool.close()

    async def _followed(
        self, url: str, limits: Limits, headers: Mapping[str, str], config: HttpConfig, progress: _Progress
    ) -> Response:
        """Ask, and ask elsewhere where the server says so and the settings let it."""
        first = target = _parsed(url)
        given = self._credentials.header(config)
        for _ in range(MAX_REDIRECTS + 1):
            authorization = (given or first.login) if target.origin == first.origin else target.login
            response = await self._asked(target, limits, headers, authorization, config, progress)
            location = response.headers.get("location")
            if not config.follow_redirects or response.status not in REDIRECTS or not location:
                return response
            url = urljoin(url, location)
            target = _parsed(url)
        raise RedirectsWithoutEndError

    async def _asked(
        self,
        target: _Target,
        limits: Limits,
        headers: Mapping[str, str],
        authorization: str,
        config: HttpConfig,
        progress: _Progress,
        sent: _Sent = _GET,
    ) -> Response:
        """Ask once; once more, anew, where a kept connection was closed meanwhile."""
        route = self._route(target, config)
        if headers or authorization or sent is not _GET:
            request = _request(target, route.scheme, route.proxy, headers, authorization, sent)
        else:  # the same page again and again
            request = _page_request(target, route.scheme, route.proxy)
        progress.connection = self._pool.kept(route)
        if progress.connection is not None:
            try:
                return await self._answer(route, progress.connection, request, limits)
            except (HungUpError, OSError):
                if progress.connection.first_byte is not None:
                    raise
            progress.connection = None
        progress.connection = connection = await self._pool.fresh(route)
        return await self._answer(route, connection, request, limits)

    async def _answer(self, route: Route, connection: Connection, request: bytes, limits: Limits) -> Response:
        response = await connection.ask(request, limits.body_bytes)
        self._pool.keep(route, connection)
        return response

    def _route(self, target: _Target, config: HttpConfig) -> Route:
        tls, server_name = None, ""
        if target.scheme == "https" or config.proxy_url.startswith("https:"):
            tls = self._credentials.context(config.tls_config or SYSTEM_TLS)
            server_name = (config.tls_config or SYSTEM_TLS).server_name or target.host
        return Route(target.scheme, target.host, target.port, tls, server_name, config.proxy_url)


@functools.lru_cache(maxsize=ADDRESSES)
def _parsed(url: str) -> _Target:
    """Take an address apart. Raises ValueError for one that cannot be asked for."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    ascii_host = host if host.isascii() else host.encode("idna").decode()
    if parts.scheme not in DEFAULT_PORTS or not re.fullmatch(r"[A-Za-z0-9._~%:-]+", ascii_host):
        raise ValueError("not an http:// or https:// address")
    usual_port = DEFAULT_PORTS[parts.scheme]
    port = usual_port if parts.port is None else parts.port
    named = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + ("?" if parts.query else "")
    path += quote(parts.query, safe="/?%:@!$&'()*+,;=~")
    host_header = named if port == usual_port else f"{named}:{port}"
    return _Target(parts.scheme, ascii_host, port, host_header, path, login(url))


@functools.lru_cache(maxsize=ADDRESSES)
def _page_request(target: _Target, scheme: str, proxy: str) -> bytes:
    """Write a request down that tells nothing but what is asked for: no secret is kept here."""
    return _request(target, scheme, proxy, {}, "", _GET)


def _request(
    target: _Target, scheme: str, proxy: str, headers: Mapping[str, str], authorization: str, sent: _Sent
) -> bytes:
    """Write the request down."""
    path, proxy_login = target.path, ""
    if proxy and scheme == "http":
        path = f"http://{target.host_header}{path}"
        proxy_login = proxy_authorization(proxy)
    own = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "rackwatt", **headers}
    if authorization:
        own["Authorization"] = authorization
    if sent.method == "POST" or sent.body:
        own["Content-Length"] = str(len(sent.body))
    lines = "".join([f"{name}: {value}\r\n" for name, value in own.items()])
    head = f"{sent.method} {path} HTTP/1.1\r\nHost: {target.host_header}\r\n{proxy_login}{lines}\r\n"
    return head.encode() + sent.body


def _fetched(
    where: str, response: Response, limits: Limits, config: HttpConfig, progress: _Progress
) -> Fetched:
    """Make an answer of status 200 ours. Raises SourceError for any other."""
    finished = time.monotonic()
    if response.status != OK:
        raise _refusal(where, response, config)
    body = response.body
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        body = _inflated(where, body, encoding, limits)
    headers = _bounded(response.headers)
    connection = progress.connection
    asked = connection.asked if connection is not None else None
    first_byte = connection.first_byte if connection is not None else None
    asked = finished if asked is None else asked
    return Fetched(body, headers, asked, finished if first_byte is None else first_byte, finished)


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: printable(value, HEADER_CHARACTERS) for name, value in headers.items()}


def _inflated(where: str, body: bytes, encoding: str, limits: Limits) -> bytes:
    """Undo a compression that was not asked for, up to the limit."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise SourceError(
            Reason.UNSUPPORTED,
            f"{where} answered Content-Encoding {words(encoding, PHRASE_CHARACTERS)!r}, asked for identity",
        )
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
    try:
        plain = inflater.decompress(body, limits.body_bytes + 1)
    except zlib.error as error:
        raise SourceError(Reason.MALFORMED, f"{where} sent a broken {encoding} body: {error}") from error
    if len(plain) > limits.body_bytes:
        raise too_large(where, f"inflates {len(body)} bytes to more than it may be", limits.body_bytes)
    if not inflater.eof:
        raise SourceError(Reason.MALFORMED, f"{where} sent a {encoding} body that breaks off")
    return plain


def _refusal(where: str, response: Response, config: HttpConfig) -> SourceError:
    """Say what an answer other than 200 means."""
    status = response.status
    said = f"{where} answered {status} {words(response.phrase, PHRASE_CHARACTERS)}".rstrip()
    if status in (401, 403, 407):
        key = "authorization.credentials_file (or basic_auth)"
        mend = f"the {key} it was given is not accepted" if _has_login(config) else f"set {key}"
        return SourceError(Reason.DENIED, f"{said}; {mend}")
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's range for "elsewhere"
        location = repr(words(response.headers.get("location", "")))
        return SourceError(
            Reason.UNSUPPORTED, f"{said} to {location}; set the url to the page itself, or follow_redirects"
        )
    said += _own_words(response)
    if status in (404, 405, 410, 501):
        return SourceError(Reason.UNSUPPORTED, f"{said}; the page is not there: wrong path, or switched off")
    if status == 429 or status >= 500:  # noqa: PLR2004 - too busy, or HTTP's range for "broken here"
        return SourceError(Reason.UNREACHABLE, f"{said}; the server is not ready or not well")
    return SourceError(Reason.MALFORMED, f"{said}, which is no answer to a plain GET")


def _own_words(response: Response) -> str:
    """Return a short, printable excerpt of an error's body."""
    said = words(response.body[:EXCERPT_BYTES].decode("utf-8", "replace"))
    return f" ({said})" if said else ""


def _has_login(config: HttpConfig) -> bool:
    return config.authorization is not None or config.basic_auth is not None
