"""GPUs of a simulated rack (`rackwatt twin`): only reads what a tray's page says, like any driver."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.measure.finding import found_once
from agent.measure.gpu import (
    GpuIdentity,
    GpuProcess,
    GpuReading,
    GpuState,
    Placement,
    Power,
    PowerScope,
)
from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire import address, json_page
from agent.wire.http import HttpClient, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.measure.finding import Finding
    from agent.measure.snapshot import Snapshot

SCHEMA = 1
MILLI = 1e3
MEGA = 1e6
NANO = 1e9
LOST = "fell off the bus: drain the node, reset the GPU or reboot"
CLOCK_SLACK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.twin`."""

    url: str = setting("http://127.0.0.1:9745", "Where `rackwatt twin` answers.")
    tray: int = setting(0, "Number of the tray that this node stands for, from 0.")
    rack: bool = setting(
        default=False, doc="Read the meter of the whole rack, and no tray: on the rack's daemon."
    )
    interval: Seconds = setting(Seconds(1.0), "How often the GPUs are read.")
    timeout: Seconds = setting(Seconds(3.0), "Deadline of one collection.")
    max_bytes: Bytes = setting(Bytes(1024 * 1024), "Largest page; a larger one is not read to its end.")

    def __post_init__(self) -> None:
        """Refuse what can never be read."""
        address.require_http(self.url, "url")
        if self.tray < 0:
            raise ValueError("tray: must not be negative")
        for key in ("interval", "timeout"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be longer than 0")

    @property
    def page_url(self) -> str:
        """Address of the tray's page, or of the rack's."""
        if self.rack:
            return f"{self.url.rstrip('/')}/rack"
        return f"{self.url.rstrip('/')}/gpus/{self.tray}"


def build(settings: Settings) -> TwinCollector:
    """Make the collector."""
    return TwinCollector(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at the tray once, for `rackwatt doctor`."""

    def told(reading: Reading) -> str:
        if settings.rack:
            return f"{len(reading.meters)} simulated meters of the rack"
        return f"{len(reading.gpus)} simulated GPUs of tray {settings.tray}"

    return await found_once(build(settings), Moment(time.monotonic(), time.time()), told)


class TwinCollector:
    """The plug-in and its only source."""

    name = "twin"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = HttpClient()
        self._began_ns: int | None = None
        """Errors from before our first page are not ours to count."""
        self._identities: dict[str, tuple[GpuIdentity, Placement]] = {}
        self._errors: dict[str, _Errors] = {}

    @property
    def interval_seconds(self) -> float:
        """The configured interval."""
        return self._settings.interval

    @property
    def timeout_seconds(self) -> float:
        """Deadline of one collection."""
        return self._settings.timeout

    def sources(self, seen: Snapshot | None) -> Sequence[TwinCollector]:  # noqa: ARG002 - the port's signature
        """One source: the tray."""
        return (self,)

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - as above
        """Read the tray's page."""
        url = self._settings.page_url
        limits = Limits(self._settings.timeout, self._settings.max_bytes)
        fetched = await self._client.get(url, limits)
        try:
            page = json_page.parse(fetched.body)
            at_ns = _schema_checked(page)["monotonic_ns"]
            at_seconds = at_ns / NANO
            if not (
                fetched.asked_monotonic - CLOCK_SLACK_SECONDS
                <= at_seconds
                <= fetched.finished_monotonic + CLOCK_SLACK_SECONDS
            ):
                raise SourceError(
                    Reason.UNSUPPORTED, f"{url}: its clock is another one; run the twin on this machine"
                )
            at = Moment(at_seconds, now.unix_seconds + at_seconds - now.monotonic_seconds)
            if self._began_ns is None:
                self._began_ns = at_ns
            gpus = tuple(self._gpu(told, at) for told in page["gpus"])
            meters = tuple(_meter(told, at) for told in page.get("meters", ()))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceError(Reason.MALFORMED, f"{url}: is no page of a twin's GPUs: {error!r}") from error
        return Reading(self.name, at, gpus=gpus, meters=meters)

    def _gpu(self, told: Mapping[str, Any], at: Moment) -> GpuReading:
        uuid = told["uuid"]
        if uuid not in self._identities:
            self._identities[uuid] = _identity(told)
        identity, placement = self._identities[uuid]
        errors = self._errors.setdefault(uuid, _Errors(self._began_ns or 0))
        errors.take(told["xids"])
        if told["state"] != GpuState.OK:
            return GpuReading(
                identity, at, GpuState.LOST, LOST, xid_errors=dict(errors.counts), last_xid=errors.last
            )
        return GpuReading(
            identity,
            at,
            power={PowerScope(scope): _power(watts) for scope, watts in told["power_milliwatts"].items()},
            energy_joules=told["energy_millijoules"] / MILLI,
            power_limit_watts={
                PowerScope(scope): limit / MILLI for scope, limit in told["limit_milliwatts"].items()
            },
            utilization_ratio=told["utilization_percent"] / 100,
            memory_used_bytes=told["memory_bytes"]["used"],
            memory_total_bytes=told["memory_bytes"]["total"],
            temperature_celsius=told["temperature_celsius"],
            thermal_margin_celsius=told["margin_celsius"],
            clock_hertz={name: megahertz * MEGA for name, megahertz in told["clock_megahertz"].items()},
            throttle_active=frozenset(told["throttle"]),
            throttled_seconds={name: held / NANO for name, held in told["throttled_nanoseconds"].items()},
            ecc_errors=told["ecc_errors"],
            remapped_rows=told["remapped_rows"],
            recovery_action=told["recovery_action"],
            xid_errors=dict(errors.counts),
            last_xid=errors.last,
            placement=placement,
            processes=tuple(GpuProcess(pid, used) for pid, used in told["processes"]),
        )

    async def close(self) -> None:
        """Drop the connection."""
        await self._client.close()


class _Errors:
    """Xids of one GPU, each counted once; the page tells the last ones with their dates (T12)."""

    def __init__(self, since_ns: int) -> None:
        self.counts: dict[int, int] = {}
        self.last = 0
        self._last_ns = since_ns

    def take(self, told: Sequence[Sequence[int]]) -> None:
        fresh = [(at_ns, xid) for at_ns, xid in told if at_ns > self._last_ns]
        for at_ns, xid in fresh:
            self.counts[xid] = self.counts.get(xid, 0) + 1
            if at_ns >= self._last_ns:
                self._last_ns, self.last = at_ns, xid


def _schema_checked(page: Any) -> Mapping[str, Any]:
    if not isinstance(page, dict) or page["schema"] != SCHEMA:
        raise ValueError("another schema")
    return page


def _identity(told: Mapping[str, Any]) -> tuple[GpuIdentity, Placement]:
    keys = ("uuid", "product", "pci", "driver", "serial", "minor")
    return GpuIdentity(**{key: told[key] for key in keys}), Placement(**told["placement"])


def _meter(told: Mapping[str, Any], at: Moment) -> MeterReading:
    joules = told.get("energy_millijoules")
    watts, counted = told["power_milliwatts"] / MILLI, None if joules is None else joules / MILLI
    return MeterReading(told["part"], told["unit"], at, watts, counted)


def _power(milliwatts: Mapping[str, int]) -> Power:
    average, instant = milliwatts.get("average"), milliwatts.get("instant")
    return Power(None if average is None else average / MILLI, None if instant is None else instant / MILLI)
