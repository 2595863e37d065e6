"""A bounded HTTP client: every answer has a deadline and a size, every failure a Reason and a remedy."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import struct
import time
import zlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

from agent.measure.reading import Reason, SourceError
from agent.wire.address import public
from agent.wire.http_config import Credentials, HttpConfig
from agent.wire.resolver import DaemonResolver
from agent.wire.text import printable, words

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fetched", "HttpClient", "HttpConfig", "Limits"]

ACCEPT = "text/plain;version=0.0.4"  # anything newer renames vLLM's series (T23)
KEEP_ALIVE_SECONDS = 30.0  # longer than the slowest cadence, so that a poll rarely connects anew
READ_BUFFER_BYTES = 256 * 1024  # asyncio receives at most this much at a time
MAX_REDIRECTS = 3
EXCERPT_BYTES = 160  # of an error's body: enough for one sentence of the server
HEADER_CHARACTERS = 1024  # of one header: more than any that is of use here
PHRASE_CHARACTERS = 80  # of a status line's reason and of a name in a header
DEFAULT_CONFIG = HttpConfig()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may cost."""

    seconds: float
    """From the start of connecting to the last byte."""
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


@dataclass(slots=True)
class _Progress:
    """How far one request has come; written by the connection as bytes arrive."""

    started: float = field(default_factory=time.monotonic)
    asked: float | None = None
    first_byte: float | None = None
    received: int = 0

    def phase(self) -> str:
        """Say what it was doing, for the message of a time-out."""
        if self.asked is None:
            return "connecting"
        if self.first_byte is None:
            return "waiting for the first byte"
        return f"reading the body, at {self.received} bytes"


_LAST_DATA_RECEIVED = struct.Struct("=52xI")  # tcpi_last_data_recv in Linux's struct tcp_info: milliseconds
_CLOCK_MONOTONIC_COARSE = 6  # its resolution is the kernel's tick; Python has no name for it


def _tick_seconds() -> float:
    """Return the granularity of the kernel's time stamps."""
    try:
        return time.clock_getres(_CLOCK_MONOTONIC_COARSE)
    except OSError:
        return 0.01  # the coarsest that Linux is built with


def _waited_in_kernel_seconds(transport: asyncio.BaseTransport | None, tick_seconds: float) -> float:
    """Return how long data surely waited for a busy event loop; 0 where the kernel does not tell."""
    connection: Any = transport.get_extra_info("socket") if transport is not None else None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
        (milliseconds,) = _LAST_DATA_RECEIVED.unpack(info)
    except (AttributeError, OSError, struct.error):
        return 0.0
    return max(0.0, float(milliseconds) / 1000.0 - tick_seconds)


_PROGRESS: ContextVar[_Progress | None] = ContextVar("progress", default=None)


class _StampingHandler(ResponseHandler):
    """aiohttp's connection, which also notes when bytes arrive.

    The reader's task runs later, perhaps after other pages have been parsed: its own clock would be
    late (T3). The event loop itself may be late too; the kernel knows how long the data has waited.
    """

    _progress: _Progress | None = None
    _tick_seconds = _tick_seconds()

    def set_response_params(self, **params: Any) -> None:
        """Note the moment right before the request is written, in the task that asks."""
        self._progress = progress = _PROGRESS.get()
        if progress is not None:
            progress.asked = time.monotonic()
            progress.first_byte = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Note the moment of the first byte, as soon as the event loop has read the socket."""
        progress = self._progress
        if progress is not None and progress.asked is not None and progress.first_byte is None:
            arrived = time.monotonic() - _waited_in_kernel_seconds(self.transport, self._tick_seconds)
            progress.first_byte = max(arrived, progress.asked)
        super().data_received(data)
        self._tell_reader_of_broken_body()

    def _tell_reader_of_broken_body(self) -> None:
        """Pass a fault inside a body on: aiohttp 3.14 leaves who reads it waiting for ever."""
        fault, body = self.exception(), self._payload
        if fault is not None and body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(fault)


class HttpClient:
    """One session for all requests of a collector: keep-alive, no cookies, nothing from the environment."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
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
        token = _PROGRESS.set(progress)
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._fetch(url, limits, headers or {}, config, progress)
        except (TimeoutError, aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _failure(public(url), error, progress, limits) from error
        finally:
            _PROGRESS.reset(token)

    async def close(self) -> None:
        """Drop all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _fetch(
        self, url: str, limits: Limits, headers: Mapping[str, str], config: HttpConfig, progress: _Progress
    ) -> Fetched:
        response = await self._opened().get(
            url,
            headers=self._headers(headers, config),
            allow_redirects=config.follow_redirects,
            max_redirects=MAX_REDIRECTS,
            proxy=config.proxy_url or None,
            ssl=True if config.tls_config is None else self._credentials.context(config.tls_config),
            server_hostname=(config.tls_config.server_name or None) if config.tls_config else None,
        )
        try:
            if response.status != 200:  # noqa: PLR2004 - HTTP's name for "here it is"
                raise await _refusal(public(url), response, config)
            body = await _body(public(url), response, limits, progress)
        finally:
            response.close()  # back to the pool by itself once the body is whole; otherwise hung up at once
        finished = time.monotonic()
        asked = progress.started if progress.asked is None else progress.asked
        first_byte = finished if progress.first_byte is None else progress.first_byte
        lowered = {
            name.lower(): printable(value, HEADER_CHARACTERS) for name, value in response.headers.items()
        }
        return Fetched(body, lowered, asked, first_byte, finished)

    def _headers(self, headers: Mapping[str, str], config: HttpConfig) -> dict[str, str]:
        authorization = self._credentials.header(config)
        own = {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "rackwatt", **headers}
        return own if authorization is None else {**own, "Authorization": authorization}

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, resolver=DaemonResolver()
            )
            # aiohttp has no public hook at the arrival of data; a test holds this one true.
            factory: Any = functools.partial(_StampingHandler, loop=asyncio.get_running_loop())
            connector._factory = factory  # noqa: SLF001 - see above
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
            )
        return self._session


async def _body(where: str, response: aiohttp.ClientResponse, limits: Limits, progress: _Progress) -> bytes:
    """Read the whole body, but never more than the limit."""
    declared = response.content_length
    if declared is not None and declared > limits.body_bytes:
        raise _too_large(where, f"announces {declared} bytes", limits)
    chunks: list[bytes] = []
    while chunk := await response.content.readany():
        chunks.append(chunk)
        progress.received += len(chunk)
        if progress.received > limits.body_bytes:
            raise _too_large(where, f"goes on after {progress.received} bytes", limits)
    body = b"".join(chunks)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    return body if encoding in ("", "identity") else _inflated(where, body, encoding, limits)


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
        raise _too_large(where, f"inflates {len(body)} bytes to more than it may be", limits)
    if not inflater.eof:
        raise SourceError(Reason.MALFORMED, f"{where} sent a {encoding} body that breaks off")
    return plain


def _too_large(where: str, what: str, limits: Limits) -> SourceError:
    text = f"{where} {what}, the limit is {limits.body_bytes}: hung up; if the page is right, raise max_bytes"
    return SourceError(Reason.TOO_LARGE, text)


async def _refusal(where: str, response: aiohttp.ClientResponse, config: HttpConfig) -> SourceError:
    """Say what an answer other than 200 means."""
    status = response.status
    said = f"{where} answered {status} {words(response.reason or '', PHRASE_CHARACTERS)}".rstrip()
    if status in (401, 403, 407):
        key = "authorization.credentials_file (or basic_auth)"
        mend = f"the {key} it was given is not accepted" if _has_login(config) else f"set {key}"
        return SourceError(Reason.DENIED, f"{said}; {mend}")
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's range for "elsewhere"
        location = repr(words(response.headers.get("Location", "")))
        return SourceError(
            Reason.UNSUPPORTED, f"{said} to {location}; set the url to the page itself, or follow_redirects"
        )
    said += await _own_words(response)
    if status in (404, 405, 410, 501):
        return SourceError(Reason.UNSUPPORTED, f"{said}; the page is not there: wrong path, or switched off")
    if status == 429 or status >= 500:  # noqa: PLR2004 - too busy, or HTTP's range for "broken here"
        return SourceError(Reason.UNREACHABLE, f"{said}; the server is not ready or not well")
    return SourceError(Reason.MALFORMED, f"{said}, which is no answer to a plain GET")


async def _own_words(response: aiohttp.ClientResponse) -> str:
    """Return a short, printable excerpt of an error's body."""
    try:
        start = await response.content.read(EXCERPT_BYTES)
    except (aiohttp.ClientError, OSError):
        return ""
    said = words(start.decode("utf-8", "replace"))
    return f" ({said})" if said else ""


def _has_login(config: HttpConfig) -> bool:
    return config.authorization is not None or config.basic_auth is not None


_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Reason, str], ...] = (
    (TimeoutError, Reason.TIMED_OUT, "{where} did not answer within {seconds:.3g} s ({phase})"),
    (
        (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError),
        Reason.DENIED,
        "{where}: its certificate is not trusted ({why}); set tls_config.ca_file or tls_config.server_name",
    ),
    (
        (aiohttp.ClientSSLError, ssl.SSLError),
        Reason.UNREACHABLE,
        "{where}: TLS failed ({why}); is it https, and does it ask for tls_config.cert_file?",
    ),
    (
        aiohttp.ClientConnectorDNSError,
        Reason.UNREACHABLE,
        "{where}: no address for its host ({why}); check the url",
    ),
    (
        aiohttp.ClientConnectorError,
        Reason.UNREACHABLE,
        "{where}: cannot connect ({why}); is it running, and is the port right?",
    ),
    (aiohttp.ClientPayloadError, Reason.UNREACHABLE, "{where} broke off ({phase})"),
    ((aiohttp.ClientConnectionError, OSError), Reason.UNREACHABLE, "{where} hung up ({phase}): {why}"),
    (aiohttp.TooManyRedirects, Reason.UNSUPPORTED, "{where} redirects without end; set the url to the page"),
    (ValueError, Reason.UNSUPPORTED, "{where} cannot be asked for ({why}); check the url"),
    (Exception, Reason.MALFORMED, "{where} does not speak HTTP as it should: {why}"),
)
"""What aiohttp and the system raise, in our closed list: the first that fits."""


def _failure(where: str, error: Exception, progress: _Progress, limits: Limits) -> SourceError:
    reason, text = next((reason, text) for kinds, reason, text in _FAILURES if isinstance(error, kinds))
    facts = {"where": where, "why": _why(error), "phase": progress.phase(), "seconds": limits.seconds}
    return SourceError(reason, text.format(**facts))


def _why(error: Exception) -> str:
    """Return the system's words for an error, on one short line."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    said = error.strerror if isinstance(error, OSError) else None
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        said = error.message
    return words(said or str(error) or type(error).__name__)
