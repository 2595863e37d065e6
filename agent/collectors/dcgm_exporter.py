"""GPUs as NVIDIA's dcgm-exporter shows them: for nodes where it runs, beside NVML or instead of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._dcgm_exporter.gpu import identity_of, reading_of, told_of
from agent.collectors._dcgm_exporter.past import GpuPast
from agent.measure.dcgm_fields import BY_NAME
from agent.measure.finding import found_once
from agent.measure.gpu import GpuReading, GpuState
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire.address import public, require_http
from agent.wire.http import HttpClient, HttpConfig, Limits
from agent.wire.page import PageReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._dcgm_exporter.gpu import Told
    from agent.measure.finding import Finding
    from agent.measure.snapshot import Snapshot
    from agent.wire.http import Fetched

RENEWED_SECONDS = 30.0
"""dcgm-exporter measures this often by default (`--collect-interval`); what it does is seen on its pages."""
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


@dataclass(frozen=True, slots=True)
class Settings(HttpConfig):
    """Settings of `collectors.dcgm_exporter`; the keys of `http_config` stand beside these."""

    url: str = setting("http://127.0.0.1:9400/metrics", "Where dcgm-exporter answers.")
    interval: Seconds = setting(
        Seconds(15.0), "How often its page is read; it measures every 30 s by default.", own=True
    )
    timeout: Seconds = setting(Seconds(5.0), "Deadline of one page.")
    max_bytes: Bytes = setting(Bytes(8 * 1024 * 1024), "Largest page; a larger one is not read to its end.")
    stale_after: Seconds = setting(
        Seconds(90.0),
        "A GPU of which every value stayed the same for so long is not told: the exporter repeats old ones.",
    )

    def __post_init__(self) -> None:
        """Refuse what can never be read."""
        HttpConfig.__post_init__(self)
        require_http(self.url, "url")
        for key in ("interval", "timeout", "stale_after"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")
        if self.stale_after < 2 * self.interval:
            raise ValueError("stale_after: must be at least two intervals, or every value is old")


def build(settings: Settings) -> DcgmExporterCollector:
    """Make the collector."""
    return DcgmExporterCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at the page once, for `rackwatt doctor`."""
    now, place = Moment(time.monotonic(), time.time()), public(settings.url)
    return await found_once(build(settings), now, lambda reading: f"{len(reading.gpus)} GPUs at {place}")


class DcgmExporterCollector:
    """The plug-in and its only source."""

    name = "dcgm_exporter"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = HttpClient()
        self._reader = PageReader(frozenset(BY_NAME))
        self._pasts: dict[str, GpuPast] = {}

    @property
    def interval_seconds(self) -> float:
        """The configured interval."""
        return self._settings.interval

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[DcgmExporterCollector]:  # noqa: ARG002 - the port's signature
        """One source: the page."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Read the page."""
        settings = self._settings
        limits = Limits(settings.timeout, settings.max_bytes)
        fetched = await self._client.get(settings.url, limits, config=settings)
        page = self._reader.read(fetched.body, fetched.headers.get("content-type", ""))
        told = told_of(page)
        if not told:
            raise SourceError(
                Reason.UNSUPPORTED,
                f"{public(settings.url)}: no GPU of dcgm-exporter is on this page; is it another page, or "
                "does its host engine not run?",
            )
        at = _first_byte(fetched, now)
        self._pasts = {each.uuid: self._pasts.get(each.uuid) or GpuPast() for each in told}
        gpus = tuple(self._gpu(each, at) for each in told)
        if all(gpu.trouble.startswith(STALE) for gpu in gpus):
            raise SourceError(Reason.MALFORMED, f"{public(settings.url)}: {gpus[0].trouble}")
        return Reading(self.name, at, gpus=gpus, renewed_seconds=self._renewed_seconds, notes=_notes(told))

    async def close(self) -> None:
        """Drop the connection."""
        await self._client.close()

    def _gpu(self, told: Told, now: Moment) -> GpuReading:
        past = self._pasts[told.uuid]
        xid = told.values.get("xid")
        past.hear(None if xid is None else int(xid))
        at = past.stand(told, now)
        age = now.monotonic_seconds - at.monotonic_seconds
        if age <= self._settings.stale_after:
            return reading_of(told, at, past.xids, past.last_xid)
        trouble = f"{STALE} for {age:.0f} s; restart dcgm-exporter and its host engine"
        return GpuReading(identity_of(told), at, GpuState.FAILED, trouble, xid_errors=past.xids)

    @property
    def _renewed_seconds(self) -> float:
        seen = [past.renewed_seconds for past in self._pasts.values()]
        return max((each for each in seen if each is not None), default=RENEWED_SECONDS)


STALE = "every value has stayed the same"


def _first_byte(fetched: Fetched, now: Moment) -> Moment:
    later = fetched.first_byte_monotonic - now.monotonic_seconds
    return Moment(fetched.first_byte_monotonic, now.unix_seconds + later)


def _notes(told: Sequence[Told]) -> tuple[str, ...]:
    """Say what is missing for good, and how to have it."""
    if any("energy_joules" in each.values for each in told):
        return ()
    return (f"dcgm_exporter: no GPU tells its energy; add {ENERGY} to the exporter's counters",)
