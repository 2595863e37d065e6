"""One round: the few resources that were chosen are read, each once, within the deadline of the round."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from agent.collectors._redfish.documents import amount, at, items
from agent.collectors._redfish.meters import reported, sensor_of
from agent.collectors._redfish.service import NotThereError
from agent.collectors._redfish.surroundings import Air
from agent.collectors._redfish.target import Boundary
from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reason, SourceError
from agent.measure.site import JOULES_PER_KWH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors._redfish.documents import Document
    from agent.collectors._redfish.meters import Probe, Way
    from agent.collectors._redfish.service import Service
    from agent.collectors._redfish.surroundings import Want
    from agent.collectors._redfish.target import Target

STALE_SECONDS = 60.0
"""A report that was not written anew for so long tells of the past."""


@dataclass(frozen=True, slots=True)
class Told:
    """A resource, and when it came."""

    document: Document
    at: Moment


class Figures(NamedTuple):
    """What one probe tells."""

    watts: float | None = None
    joules: float | None = None
    coarse_joules: float | None = None
    """Of a counter in kilowatt hours."""


SILENT = Figures()


class Ages:
    """Since when each report is the same."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, float]] = {}

    def stale(self, path: str, stamp: object, now: float) -> bool:
        """Whether a report with this time stamp was seen too long ago for the first time."""
        if stamp is None:
            return False
        known, since = self._seen.get(path, (None, now))
        if known != stamp:
            since = now
        self._seen[path] = (stamp, since)
        return now - since > STALE_SECONDS


class Round:
    """What is read in one round."""

    def __init__(self, service: Service, now: Moment, seconds: float, ages: Ages) -> None:
        self.moved = False
        """A resource that had been there is not any more."""
        self.failure: SourceError | None = None
        """The first that could not be read."""
        self._service, self._ages = service, ages
        self._later = now.unix_seconds - now.monotonic_seconds
        self._deadline = now.monotonic_seconds + seconds
        self._known: dict[str, Told | None] = {}

    async def meters(
        self, way: Way, target: Target, source: str, readings: tuple[str, ...]
    ) -> tuple[MeterReading, ...]:
        """Read one way of a boundary; a probe that does not answer is there, and tells nothing."""
        found = []
        boundary, label = target.boundary, target.label
        for probe in way.probes:
            told = await self._read(probe.path)
            figures = SILENT if told is None else self._figures(probe, told)
            coarse = figures.coarse_joules if boundary is Boundary.RACK and figures.joules is None else None
            found.append(
                MeterReading(
                    part=str(boundary),
                    unit=f"{label}/{probe.unit}" if probe.unit else label,
                    at=self._now() if told is None else told.at,
                    power_watts=figures.watts,
                    energy_joules=figures.joules if figures.watts is not None else None,
                    coarse_joules=coarse if figures.watts is not None else None,
                    unverified=figures.joules is None,
                    source=source,
                    readings=readings,
                    node=target.node,
                )
            )
        return tuple(found)

    async def surroundings(self, wants: Sequence[Want]) -> Air:
        """Read the surroundings; what does not answer is not in them."""
        air = Air()
        for want in wants:
            told = await self._read(want.path)
            if told is not None:
                want.read(told.document, want.owner, air)
        return air

    async def _read(self, path: str) -> Told | None:
        if path not in self._known:
            self._known[path] = None
            try:
                document = await self._service.get(path, self._deadline)
                self._known[path] = Told(document, self._now())
            except SourceError as error:
                if error.reason is Reason.DENIED:
                    raise
                self.moved |= isinstance(error, NotThereError)
                self.failure = self.failure or error
        return self._known[path]

    def _figures(self, probe: Probe, told: Told) -> Figures:
        """Return what a probe tells."""
        if not probe.listed:
            kwh = figure(told.document, probe.kwh)
            coarse = None if kwh is None else kwh * JOULES_PER_KWH
            return Figures(figure(told.document, probe.watts), figure(told.document, probe.joules), coarse)
        for row in items(told.document, "MetricValues"):
            if sensor_of(row) == probe.listed:
                stamp = row.get("Timestamp") or told.document.get("Timestamp")
                old = self._ages.stale(probe.path, stamp, told.at.monotonic_seconds)
                return SILENT if old else Figures(reported(row))
        return SILENT

    def _now(self) -> Moment:
        seconds = time.monotonic()
        return Moment(seconds, seconds + self._later)


def figure(document: Document, keys: tuple[str, ...]) -> float | None:
    """Return the figure under the keys; of a list on the way, that of its first item."""
    found: object = document if keys else None
    for key in keys:
        found = at(found[0] if isinstance(found, list) and found else found, key)
    return amount(found)
