"""Finds members in Prometheus' discovery forms; what cannot be read changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.wire.http import Limits
from agent.wire.http_config import HttpConfig
from agent.wire.member_settings import Member
from agent.wire.text import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.measure.snapshot import Snapshot
    from agent.wire.http import HttpClient
    from agent.wire.member_settings import MembersFrom

MAX_BYTES = 4 * 1024 * 1024
MOST_MEMBERS = 4096
MOST_FILES = 64
TIMEOUT_SECONDS = 10.0
HEADERS = {"Accept": "application/json", "X-Prometheus-Refresh-Interval-Seconds": "30"}
SCHEME_LABEL = "__scheme__"


class Discovery:
    """One source beside those of the members: it reads who they are."""

    name = "peers/members_from"
    timeout_seconds = TIMEOUT_SECONDS

    def __init__(
        self, settings: MembersFrom, client: HttpClient, found: Callable[[Sequence[Member]], None]
    ) -> None:
        self.interval_seconds: float = settings.refresh
        self._settings = settings
        self._client = client
        self._found = found
        self._how = {f.name: getattr(settings, f.name) for f in dataclasses.fields(HttpConfig)}
        self._addresses: tuple[str, ...] | None = None
        self._files = _Files()

    async def close(self) -> None:
        """Do nothing: the connections are the collector's."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - stands alone
        """Read files and server; tell of the members only when all could be read."""
        settings, addresses = self._settings, dict[str, None]()
        if settings.file_sd is not None:
            addresses |= await self._files.addresses(settings.file_sd.files)
        if settings.http_sd is not None:
            url, limits = settings.http_sd.url, Limits(TIMEOUT_SECONDS, MAX_BYTES)
            fetched = await self._client.get(url, limits, headers=HEADERS, config=settings.http_sd)
            addresses |= _addresses(_parsed(fetched.body, url, yaml_too=False), url)
        if len(addresses) > MOST_MEMBERS:
            text = f"{len(addresses)} members were found, more than {MOST_MEMBERS}; those known before stay"
            raise SourceError(Reason.TOO_LARGE, text)
        if tuple(addresses) != self._addresses:
            self._addresses = tuple(addresses)
            self._found([Member(url=address, **self._how) for address in addresses])
        return Reading(self.name, now, notes=() if addresses else ("no members were found",))


class _Files:
    """Reads files in a daemon thread, never in more than one.

    The event loop's executor will not do: a file system that hangs would fill it, the rack's totals would
    wait for it as well, and the interpreter for its threads at exit.
    """

    def __init__(self) -> None:
        self._reading: asyncio.Future[dict[str, None] | Exception] | None = None

    async def addresses(self, patterns: Sequence[str]) -> dict[str, None]:
        """Return the addresses in all files. Raises SourceError."""
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.create_future()
            name = "rackwatt-members"
            threading.Thread(target=self._read, args=(patterns, loop), name=name, daemon=True).start()
        found = await asyncio.shield(self._reading)
        if isinstance(found, Exception):
            raise found
        return found

    def _read(self, patterns: Sequence[str], loop: asyncio.AbstractEventLoop) -> None:
        """Work in the thread, and bring home what was found."""
        found: dict[str, None] | Exception
        try:
            found = _from_files(patterns)
        except Exception as error:  # noqa: BLE001 - goes to whoever asked
            found = error
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._finish, found)

    def _finish(self, found: dict[str, None] | Exception) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.set_result(found)


def _from_files(patterns: Sequence[str]) -> dict[str, None]:
    found: dict[str, None] = {}
    for path in _paths(patterns):
        try:
            with path.open("rb") as file:
                body = file.read(MAX_BYTES + 1)
        except OSError as error:
            text = f"{path} cannot be read ({error.strerror}); the members known before stay"
            raise SourceError(Reason.UNREACHABLE, text) from error
        if len(body) > MAX_BYTES:
            raise SourceError(Reason.TOO_LARGE, f"{path} is larger than {MAX_BYTES} bytes")
        found |= _addresses(_parsed(body, str(path), yaml_too=path.suffix != ".json"), str(path))
    return found


def _paths(patterns: Sequence[str]) -> list[Path]:
    """Return the files that there are; one without a `*` must exist."""
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        paths += sorted(path.parent.glob(path.name))[:MOST_FILES] if "*" in path.name else [path]
    return paths


def _parsed(body: bytes, where: str, *, yaml_too: bool) -> Any:
    try:
        return yaml.safe_load(body) if yaml_too else orjson.loads(body)
    except (orjson.JSONDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        text = f"{where} is not {'YAML' if yaml_too else 'JSON'} ({words(str(error))}); members stay"
        raise SourceError(Reason.MALFORMED, text) from error


def _addresses(groups: Any, where: str) -> dict[str, None]:
    """Return the addresses of all targets in Prometheus' list of target groups."""
    found: dict[str, None] = {}
    try:
        for group in [] if groups is None else _listed(groups):
            scheme = str(dict(group.get("labels") or {}).get(SCHEME_LABEL, "http"))
            for target in _listed(group.get("targets")):
                address = target if "://" in target else f"{scheme}://{target}"
                found[Member(url=address).url.rstrip("/")] = None
    except (AttributeError, TypeError, ValueError) as error:
        text = f"{where} is not a list of target groups ({words(str(error))}); the members known before stay"
        raise SourceError(Reason.MALFORMED, text) from error
    return found


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value
