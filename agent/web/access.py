"""Who gets in: what the web-config.yml says now, taken anew when it or a file that it names changes."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from agent.web.auth import Authenticator, Verdict
from agent.web.tls import is_allowed, server_context
from agent.web.web_config import RateLimit, WebConfig, require_honourable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("rackwatt")

LOOK_SECONDS = 1.0
"""How often the files are looked at; a change counts once it has stood for one more look, because a
certificate and its key are rarely written at the same moment."""
LOOKS_TO_RETRY = 15
"""After so many a refused file is read again: something that it names may have come since."""

Stamp = tuple[int, int, int] | None
"""Time of change, size and inode of a file; None for one that is not there."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A web-config.yml that can be honoured."""

    config: WebConfig
    context: ssl.SSLContext | None
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    """Of the files, from before they were read."""


OPEN = Taken(WebConfig(), None, (), ())
"""Without a web-config.yml everybody gets in."""


def take(path: Path, read: Callable[[Path, Callable[[WebConfig], None]], WebConfig]) -> Taken:
    """Read a web-config.yml and all that it names; `read` binds it, has it checked, says what is wrong."""
    files: tuple[Path, ...] = (path,)
    stamps, context = stamps_of(files), None

    def check(config: WebConfig) -> None:
        nonlocal files, stamps, context
        require_honourable(config)
        tls = config.tls_server_config
        if tls is not None:
            named = (tls.cert_file, tls.key_file, tls.client_ca_file)
            others = tuple(path.parent / name for name in named if name)
            files, stamps = (*files, *others), stamps + stamps_of(others)
            context = server_context(tls, path.parent)

    return Taken(read(path, check), context, files, stamps)


def stamps_of(files: tuple[Path, ...]) -> tuple[Stamp, ...]:
    """Return what tells whether files have changed."""
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


class Access:
    """Judges connections and requests by the last good web-config.yml."""

    def __init__(self, taken: Taken) -> None:
        self._authenticator = Authenticator()
        self.reload_success = True
        self._let_in_by(taken)

    @property
    def context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with; None for plain HTTP."""
        return self._taken.context

    def admits(self, certificate: Any) -> bool:
        """Tell whether a connection may stay, by the client's certificate."""
        tls = self._taken.config.tls_server_config
        return tls is None or is_allowed(certificate, tls.client_allowed_sans)

    async def refusal(self, request: web.Request) -> web.Response | None:
        """Return the answer to a request that may not be served; None for one that may."""
        if not self._bucket.takes(asyncio.get_running_loop().time()):
            return _come_again("more requests than rate_limit allows")
        if not self._authenticator.required:
            return None
        verdict = await self._authenticator.check(request.headers.get("Authorization", ""))
        if verdict is Verdict.RIGHT:
            return None
        if verdict is Verdict.BUSY:
            return _come_again("too many log-ins at once")
        login = {"WWW-Authenticate": 'Basic realm="rackwatt", charset="UTF-8"'}
        return web.Response(status=401, text="a user and a password are needed\n", headers=login)

    async def add_headers(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Set the configured headers on an answer."""
        for name, value in self._taken.config.http_server_config.headers.items():
            if value:
                response.headers[name] = value

    async def follow(self, load: Callable[[], Taken | str]) -> None:
        """Take the files anew whenever one has changed, for ever. What is wrong changes nothing.

        `load` runs in a thread; it returns what to take, or what is wrong.
        """
        tried = seen = self._taken.stamps
        looks, told = 0, ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            looks += 1
            before, seen = seen, await asyncio.to_thread(stamps_of, self._taken.files)
            again = not self.reload_success and looks >= LOOKS_TO_RETRY
            if not again and (seen == tried or seen != before):
                continue
            tried, looks = seen, 0
            loaded = await asyncio.to_thread(load)
            if isinstance(loaded, Taken):
                self._let_in_by(loaded)
                tried = seen = loaded.stamps
                told, self.reload_success = "", True
                log.info("web configuration reloaded", extra={"tls": loaded.context is not None})
            elif loaded != told:
                log.error("web configuration refused, the old one stays", extra={"detail": loaded})
                told, self.reload_success = loaded, False

    def close(self) -> None:
        """Stop judging."""
        self._authenticator.close()

    def _let_in_by(self, taken: Taken) -> None:
        self._taken = taken
        self._bucket = Bucket(taken.config.rate_limit)
        self._authenticator.set_users(taken.config.basic_auth_users)


class Bucket:
    """A bucket of requests that fills by one each interval."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._full_at = 0.0
        """When the bucket will be full again, on the monotonic clock."""

    def takes(self, now: float) -> bool:
        """Take one request out; False when there is none."""
        interval, burst = self._limit.interval, self._limit.burst
        if interval is None:
            return True
        full_at = max(self._full_at, now) + interval
        if full_at - now > burst * interval + 1e-9:
            return False
        self._full_at = full_at
        return True


def _come_again(why: str) -> web.Response:
    return web.Response(status=429, text=f"{why}\n", headers={"Retry-After": "1"})
