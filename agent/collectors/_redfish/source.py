"""The life of one target: looked at once in the background, then read in rounds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._redfish.meters import choose
from agent.collectors._redfish.round import Ages, Round
from agent.collectors._redfish.service import Service
from agent.collectors._redfish.surroundings import look
from agent.collectors._redfish.tree import Explorer, explore
from agent.measure.reading import Reading, Reason, SourceError
from agent.wire.pace import Retry

if TYPE_CHECKING:
    from agent.collectors._redfish.meters import Choice, Way
    from agent.collectors._redfish.surroundings import Want
    from agent.collectors._redfish.target import Target
    from agent.measure.environment import EnvironmentReading
    from agent.measure.meter import MeterReading
    from agent.measure.reading import Moment
    from agent.measure.snapshot import Snapshot
    from agent.wire.http import HttpClient

SOURCE = "redfish"
SURVEY_SECONDS = 600.0
"""What a service has is looked at so often: firmware is updated, supplies are changed …"""
TROUBLED_SECONDS = 60.0
"""… and so soon where something did not answer meanwhile, or is not there any more."""
SHARE_OF_TIMEOUT = 0.5
"""How long a collection waits for the first look, which goes on; what it found takes the rest of the time."""
SHARE_OF_INTERVAL = 0.5
"""Cross-checks are read where all of a round takes no more than this of the interval."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How often, and for how long at most."""

    interval_seconds: float
    timeout_seconds: float
    request_seconds: float
    slow_seconds: float
    """How often surroundings are read."""
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read of a service."""

    who: str
    choice: Choice
    checks: tuple[Way, ...]
    wants: tuple[Want, ...]
    until: float
    """When the service is looked at anew."""

    @property
    def lead(self) -> Way | None:
        """What measures the boundary."""
        return self.choice.ways[0] if self.choice.ways else None


class RedfishSource:
    """Reads one management controller."""

    def __init__(self, target: Target, timing: Timing, client: HttpClient) -> None:
        self.target = target
        self.name = f"{SOURCE}/{target.label}"
        self.readings: tuple[str, ...] = (self.name,)
        """All sources that measure the same boundary together."""
        self.interval_seconds, self.timeout_seconds = timing.interval_seconds, timing.timeout_seconds
        self.service = Service(target, client, timing.request_seconds, timing.max_bytes)
        self.plan: Plan | None = None
        self._timing = timing
        self._survey: asyncio.Task[Plan] | None = None
        self._retry = Retry()
        self._failure: SourceError | None = None
        self._ages = Ages()
        self._air: tuple[EnvironmentReading, ...] = ()
        self._air_due = float("-inf")

    async def close(self) -> None:
        """End the session."""
        if self._survey is not None:
            self._survey.cancel()
            with contextlib.suppress(asyncio.CancelledError, SourceError):
                await self._survey
        await self.service.close()

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - stands alone
        """Read the boundary's meter, and now and then the surroundings."""
        plan = await self._planned()
        if plan is None:
            note = f"{self.name}: still looking what it has ({self.service.asked} requests so far)"
            return Reading(self.name, now, notes=(note,))
        if plan.lead is None and not plan.wants:
            raise SourceError(Reason.UNSUPPORTED, f"{self.service.where}: {plan.choice.note or NOTHING}")
        this = Round(self.service, now, self.timeout_seconds, self._ages)
        meters = await self._meters(this, plan)
        await self._breathe(this, plan, now)
        if this.moved or this.failure is not None:
            self._renew()
        if this.failure is not None and all(each.power_watts is None for each in meters) and not self._air:
            raise this.failure
        notes = (f"{self.name}: {plan.choice.note}",) if plan.choice.note else ()
        return Reading(self.name, now, meters=meters, environment=self._air, notes=notes)

    async def _meters(self, this: Round, plan: Plan) -> tuple[MeterReading, ...]:
        if plan.lead is None:
            return ()
        meters = await this.meters(plan.lead, self.target, SOURCE, self.readings)
        if this.failure is not None and all(each.power_watts is None for each in meters):
            self._renew()
            raise this.failure
        for way in plan.checks:
            meters += await this.meters(way, self.target, f"{SOURCE}_{way.name}", self.readings)
        return meters

    async def _breathe(self, this: Round, plan: Plan, now: Moment) -> None:
        """Read the surroundings when it is time; between, what was told last stands."""
        if now.monotonic_seconds < self._air_due:
            return
        self._air_due = now.monotonic_seconds + self._timing.slow_seconds - self.interval_seconds / 2.0
        air = (await this.surroundings(plan.wants)).reading(self.target.label, now)
        self._air = () if air is None else (air,)

    async def _planned(self) -> Plan | None:
        """Return what to read; None while that is still being looked for. Raises why it could not be."""
        now = time.monotonic()
        if self._survey is None and (self.plan is None or now >= self.plan.until) and self._retry.due(now):
            self._survey = asyncio.create_task(self._look())
        if self._survey is not None and self.plan is None:
            await asyncio.wait({self._survey}, timeout=SHARE_OF_TIMEOUT * self.timeout_seconds)
        if self._survey is not None and self._survey.done():
            self._take(self._survey)
        if self.plan is None and self._survey is None and self._failure is not None:
            raise self._failure
        return self.plan

    def _take(self, survey: asyncio.Task[Plan]) -> None:
        """Take what a look has found; a plan that is there stands while there is no better one."""
        self._survey = None
        try:
            self.plan, self._failure = survey.result(), None
            self._air_due = float("-inf")
            self._retry.worked()
        except SourceError as error:
            self._failure = error
            self._retry.failed(error, time.monotonic())

    async def _look(self) -> Plan:
        """Look at the service."""
        began, asked = time.monotonic(), self.service.asked
        explorer = Explorer(self.service)
        tree = await explore(explorer)
        choice = await choose(explorer, self.target)
        wants = await look(explorer, choice.chassis)
        if tree.trouble and not choice.ways and not wants:
            raise tree.trouble[0]
        each_seconds = (time.monotonic() - began) / max(1, self.service.asked - asked)
        requests = len({probe.path for way in choice.ways for probe in way.probes})
        cheap = requests * each_seconds <= SHARE_OF_INTERVAL * self.interval_seconds
        until = time.monotonic() + (TROUBLED_SECONDS if tree.trouble else SURVEY_SECONDS)
        return Plan(tree.who, choice, choice.ways[1:] if cheap else (), wants, until)

    def _renew(self) -> None:
        """Look anew soon: something has moved, or did not answer."""
        if self.plan is not None:
            soon = time.monotonic() + TROUBLED_SECONDS
            self.plan = Plan(
                self.plan.who, self.plan.choice, self.plan.checks, self.plan.wants, min(self.plan.until, soon)
            )


NOTHING = "it tells neither power nor temperatures nor leaks; is it the right controller?"
