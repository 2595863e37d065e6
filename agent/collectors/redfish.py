"""Management controllers by Redfish (BMC, power shelf, PDU, CDU): power, air, coolant and leaks."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._redfish.source import RedfishSource, Timing
from agent.collectors._redfish.target import (
    Boundary,
    Target,
)
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.reading import Moment, Reading, SourceError
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.measure.environment import EnvironmentReading
    from agent.measure.snapshot import Snapshot

EXAMINE_SECONDS = 25.0
"""`rackwatt doctor` waits so long for one controller to be looked at."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of `collectors.redfish`."""

    targets: tuple[Target, ...] = setting((), "Management controllers that are read.")
    interval: Seconds = setting(
        Seconds(5.0),
        "How often the power of each is read; a slow one is read when it has answered.",
        own=True,
    )
    slow_interval: Seconds = setting(
        Seconds(30.0), "How often temperatures, coolant, fans and leak detectors are read."
    )
    timeout: Seconds = setting(Seconds(20.0), "Deadline of one round over the few resources that are read.")
    request_timeout: Seconds = setting(
        Seconds(10.0), "Deadline of one answer; controllers often take seconds."
    )
    max_bytes: Bytes = setting(Bytes(4 * 1024 * 1024), "Largest answer; a larger one is not read to its end.")

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        for key in ("interval", "slow_interval", "timeout", "request_timeout", "max_bytes"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be more than 0")
        labels = [target.label for target in self.targets]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"targets: two are called {label!a}; give one of them another name")
        nodes = [target.node for target in self.targets if target.boundary is Boundary.NODE]
        for node in nodes:
            if nodes.count(node) > 1:
                raise ValueError(
                    f"targets: two are the controller of node {node!a}, which has one"
                    if node
                    else "targets: boundary: node without node is this machine, which has one controller; "
                    "name the node whose it is (on the rack's daemon), or see rack and none"
                )

    @property
    def of_members(self) -> bool:
        """Whether it reads controllers of other nodes, which only the daemon of a rack may."""
        return any(target.node for target in self.targets)


def build(settings: Settings) -> RedfishCollector:
    """Make the collector; nobody is asked before the first collection."""
    return RedfishCollector(settings)


class RedfishCollector:
    """Offers one source for each target: a slow controller delays no other."""

    def __init__(self, settings: Settings) -> None:
        self._client = HttpClient()
        timing = Timing(
            interval_seconds=settings.interval,
            timeout_seconds=settings.timeout,
            request_seconds=settings.request_timeout,
            slow_seconds=settings.slow_interval,
            max_bytes=settings.max_bytes,
        )
        self._sources = tuple(RedfishSource(target, timing, self._client) for target in settings.targets)
        of_rack = tuple(each.name for each in self._sources if each.target.boundary is Boundary.RACK)
        for source in self._sources:
            if source.target.boundary is Boundary.RACK:
                source.readings = of_rack

    def sources(self, seen: Snapshot | None) -> Sequence[RedfishSource]:  # noqa: ARG002 - targets stand alone
        """Return the sources of all targets."""
        return self._sources

    async def close(self) -> None:
        """End all sessions at once, then drop the connections."""
        await asyncio.gather(*(source.close() for source in self._sources))
        await self._client.close()


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at every controller once, for `rackwatt doctor`."""
    collector = build(settings)
    try:
        found = await asyncio.gather(*(_examined(source) for source in collector.sources(None)))
    finally:
        await collector.close()
    if not settings.targets:
        return (
            Finding(Level.PROBLEM, "redfish", "no target is configured", "name controllers under targets"),
        )
    return tuple(finding for findings in found for finding in findings)


async def _examined(source: RedfishSource) -> tuple[Finding, ...]:
    """Look until everything is known, or for as long as there is time."""
    ends = time.monotonic() + EXAMINE_SECONDS
    try:
        while True:
            reading = await source.collect(Moment(time.monotonic(), time.time()), None)
            if source.plan is not None:
                return tuple(_findings(source, reading))
            if time.monotonic() > ends:
                text = f"still looking after {EXAMINE_SECONDS:g} s and {source.service.asked} requests"
                return (
                    Finding(Level.NOTE, source.name, text, "a slow controller: the daemon goes on looking"),
                )
    except SourceError as error:
        return (problem_of(source.name, error),)


def _findings(source: RedfishSource, reading: Reading) -> Iterator[Finding]:
    plan = source.plan
    if plan is None:
        return
    offered = "; ".join(f"{way.name} ({way.what})" for way in plan.choice.ways)
    login = f", login by {source.service.ways}" if source.service.ways else ""
    if plan.lead is not None:
        watts = [meter.power_watts for meter in reading.meters if meter.source == "redfish"]
        total = f"{sum(each for each in watts if each is not None):.0f} W" if None not in watts else "silent"
        whose = f" of {source.target.node}" if source.target.node else ""
        text = f"{plan.who}{login}: boundary {source.target.boundary}{whose}: {total} by {offered}"
        yield Finding(Level.OK, source.name, text)
    elif plan.choice.note:
        found, _, remedy = plan.choice.note.partition("; ")
        yield Finding(Level.NOTE, source.name, f"{plan.who}{login}: {found}", remedy)
    yield Finding(Level.OK, source.name, f"sensors: {_sensors(reading.environment)}")
    if source.target.tls_config is not None and source.target.tls_config.insecure_skip_verify:
        remedy = "set tls_config.ca_file to the CA that signed its certificate, or to the certificate itself"
        yield Finding(Level.NOTE, source.name, "any certificate is accepted (insecure_skip_verify)", remedy)


def _sensors(told: Sequence[EnvironmentReading]) -> str:
    counts = {
        "temperatures": sum(len(each.temperature_celsius) for each in told),
        "coolant flows": sum(len(each.coolant_flow_liters_per_second) for each in told),
        "fans": sum(len(each.fan_speed_ratio) for each in told),
        "leak detectors": sum(len(each.leaks) for each in told),
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none"
