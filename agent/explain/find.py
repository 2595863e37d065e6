"""Finds what is to be explained: a file, or an incident that a daemon tells of and its recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.incident import Severity
from agent.measure.reading import SourceError
from agent.recorder.reading import MOST_PACKED_BYTES, Recording, RecordingError, read
from agent.small_file import SmallFileError, read_small
from agent.wire.address import public
from agent.wire.http import HttpClient, HttpConfig, Limits
from agent.wire.incident_codec import of_plain

if TYPE_CHECKING:
    from agent.measure.incident import Incident

SECONDS = 15.0
LIST = "/api/v1/incidents"
LIST_LIMITS = Limits(SECONDS, 8 * 1024 * 1024)
RECORDING_LIMITS = Limits(SECONDS, MOST_PACKED_BYTES)


class CannotExplainError(Exception):
    """What was asked for cannot be explained; `used_wrong` when asking otherwise would help."""

    def __init__(self, text: str, *, used_wrong: bool = False) -> None:
        super().__init__(text)
        self.used_wrong = used_wrong


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of an incident."""

    incident: Incident | None
    """As the daemon tells it now; None for a file."""
    recording: Recording | None
    why: str = ""
    """Why there is no recording."""


def from_file(name: str, body: bytes | None = None) -> Found:
    """Read a recording from a file, or what came from a pipe. Raises CannotExplainError."""
    try:
        return Found(None, read(read_small(name, MOST_PACKED_BYTES) if body is None else body))
    except SmallFileError as error:
        raise CannotExplainError(str(error), used_wrong=not error.too_large) from error
    except RecordingError as error:
        raise CannotExplainError(f"{name} {error}") from error


class Daemon:
    """A daemon that tells of incidents; hang up with `close`."""

    def __init__(self, url: str, config: HttpConfig) -> None:
        """`url` is of the daemon, or of any of its pages that speak of incidents."""
        self._client, self._config = HttpClient(), config
        self.url = url.rstrip("/")
        self.base = self.url.partition("/api/")[0]

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def incidents(self) -> list[Incident]:
        """Return what it tells of, the newest first. Raises CannotExplainError."""
        plain = await self._json(self.base + LIST)
        told = plain.get("incidents") if isinstance(plain, dict) else None
        if not isinstance(told, list):
            raise CannotExplainError(f"{public(self.base)}{LIST} is not the page of a rackwatt")
        found = []
        for each in told:
            try:
                found.append(of_plain(each))
            except (ValueError, TypeError, KeyError, OverflowError):
                continue  # of a kind that only a newer rackwatt knows
        return found

    async def named(self, url: str) -> Found:
        """Return the recording at an address. Raises CannotExplainError."""
        try:
            return Found(None, await self._recording(url, self._config))
        except SourceError as error:
            raise CannotExplainError(error.detail) from error

    async def of(self, incident: Incident) -> Found:
        """Return the recording of an incident: from here, or from the node that told it to this rack."""
        place = incident.recording
        if not place:
            return Found(incident, None, "there is no recording: nothing is recorded there")
        here = place.startswith("/")
        # Elsewhere without our credentials: they are for the server that was named, not those that it names.
        config = self._config if here else HttpConfig(tls_config=self._config.tls_config)
        try:
            return Found(incident, await self._recording(self.base + place if here else place, config))
        except SourceError as error:
            why = f"there is no recording: {error.detail}"
            if not here:
                ask = f"rackwatt explain {public(place)}"
                why = f"its node gives no recording ({error.detail}); ask it: {ask}"
        except CannotExplainError as error:
            why = f"there is a recording, but {error}"
        return Found(incident, None, why)

    async def _json(self, url: str) -> Any:
        try:
            fetched = await self._client.get(url, LIST_LIMITS, config=self._config)
            return orjson.loads(fetched.body)
        except SourceError as error:
            raise CannotExplainError(error.detail) from error
        except ValueError as error:
            raise CannotExplainError(f"{public(url)} is not the page of a rackwatt") from error

    async def _recording(self, url: str, config: HttpConfig) -> Recording:
        """Fetch and read one. Raises SourceError, CannotExplainError."""
        fetched = await self._client.get(url, RECORDING_LIMITS, config=config)
        try:
            return read(fetched.body)
        except RecordingError as error:
            raise CannotExplainError(f"{public(url)} {error}") from error


def chosen(incidents: list[Incident], id_: str) -> Incident | None:
    """Return the one that was asked for, or the newest that somebody must look at; None if there is none."""
    if id_:
        return next((each for each in incidents if each.id == id_), None)
    loud = [each for each in incidents if each.severity is not Severity.INFO]
    standing = [each for each in loud if each.ended is None]
    return next(iter(standing or loud or incidents), None)
