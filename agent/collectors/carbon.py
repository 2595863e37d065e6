"""What electricity emits now, as a feed in the form of Electricity Maps tells it; a stale figure is none."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.aside import Aside
from agent.measure.carbon import CarbonReading
from agent.measure.finding import found_once
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Bytes, Seconds, setting
from agent.small_file import SmallFileError, read_small
from agent.wire import json_page
from agent.wire.address import public, require_http
from agent.wire.http import HttpClient, HttpConfig, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.finding import Finding
    from agent.measure.snapshot import Snapshot

MOST_GRAMS_PER_KWH = 5000.0
"""No electricity emits this much; what is beyond is another unit."""
AHEAD_SECONDS = 3600.0
"""A figure may be of the hour that has just begun, by a clock a little ahead of ours."""
MOST_TOKEN_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Settings(HttpConfig):
    """Settings of `collectors.carbon`; the keys of `http_config` stand beside these."""

    url: str = setting("", 'Where the feed answers `{"zone", "carbonIntensity", "datetime"}`.')
    file: str = setting("", "A file with the same, instead of an address.")
    token_header: str = setting("auth-token", "Header that carries the token.")
    token_file: str = setting("", "File that holds the token; read for every question.")
    interval: Seconds = setting(Seconds(300.0), "How often it is asked.", own=True)
    timeout: Seconds = setting(Seconds(10.0), "Deadline of one answer.")
    stale_after: Seconds = setting(Seconds(10800.0), "A figure that is older is not told.")
    max_bytes: Bytes = setting(Bytes(64 * 1024), "Largest answer; a larger one is not read to its end.")

    def __post_init__(self) -> None:
        """Refuse what can never be read."""
        HttpConfig.__post_init__(self)
        if self.url and self.file:
            raise ValueError("url: set url or file, not both")
        if self.url:
            require_http(self.url, "url")
        for key in ("interval", "timeout", "stale_after"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")


def build(settings: Settings) -> CarbonCollector:
    """Make the collector; nothing is asked before the first collection."""
    return CarbonCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Ask the feed once, for `rackwatt doctor`."""
    return await found_once(build(settings), Moment(time.monotonic(), time.time()), _in_words)


def _in_words(reading: Reading) -> str:
    told = reading.carbon
    return "" if told is None else f"{told.grams_per_kwh:g} g/kWh in {told.zone or 'an unnamed zone'}"


class CarbonCollector:
    """The plug-in and its only source."""

    name = "carbon"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = HttpClient()
        self._aside: Aside[bytes] = Aside("carbon")

    @property
    def interval_seconds(self) -> float:
        """The configured interval."""
        return self._settings.interval

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[CarbonCollector]:  # noqa: ARG002 - the port's signature
        """One source: the feed."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Ask once; a figure that is too old, or of no known age, is an error and not a reading."""
        settings, what = self._settings, self._settings.file or public(self._settings.url)
        told = carbon_of(json_page.parse(await self._told()), what)
        age = now.unix_seconds - (told.at_unix_seconds or -math.inf)
        if not -AHEAD_SECONDS <= age <= settings.stale_after:
            raise SourceError(
                Reason.MALFORMED,
                f"{what}: its figure is {age / 3600:.1f} h old, and is not told after "
                f"{settings.stale_after:g} s",
            )
        return Reading(self.name, now, carbon=told)

    async def _told(self) -> bytes:
        settings, headers = self._settings, {}
        if settings.file:
            return await self._aside.run(lambda: _read(settings.file, settings.max_bytes))
        if not settings.url:
            raise SourceError(Reason.UNSUPPORTED, "collectors.carbon: set url or file, where the feed is")
        if settings.token_file:
            token = await self._aside.run(lambda: _read(settings.token_file, MOST_TOKEN_BYTES))
            headers[settings.token_header] = token.decode("latin-1").strip()
        limits = Limits(settings.timeout, settings.max_bytes)
        return (await self._client.get(settings.url, limits, headers=headers, config=settings)).body

    async def close(self) -> None:
        """Drop the connection."""
        await self._client.close()


def carbon_of(page: Any, what: str) -> CarbonReading:
    """Read an answer. Raises SourceError."""
    try:
        grams = page["carbonIntensity"]
        if isinstance(grams, bool) or not isinstance(grams, int | float):
            raise TypeError("carbonIntensity is no number")
        if not 0 <= grams <= MOST_GRAMS_PER_KWH:
            raise ValueError("carbonIntensity is not in grams per kilowatt hour")
        moment = datetime.fromisoformat(page["datetime"])
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return CarbonReading(float(grams), str(page.get("zone", "")), moment.timestamp())
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(Reason.MALFORMED, f"{what}: is no answer of a carbon feed: {error!r}") from error


def _read(path: str, most_bytes: int) -> bytes:
    """Read a file. Raises SourceError."""
    try:
        return read_small(path, most_bytes)
    except SmallFileError as error:
        raise SourceError(Reason.TOO_LARGE if error.too_large else Reason.DENIED, str(error)) from error
