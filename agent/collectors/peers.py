"""Reads the other nodes of the rack: their totals, each in a loop of its own, all in one burst."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.collectors._peers.discovery import Discovery
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.reading import Moment, Reading, SourceError
from agent.measure.settings import Bytes, Seconds, inherited, setting
from agent.measure.totals import MemberReading
from agent.wire.address import public
from agent.wire.http import HttpClient, Limits
from agent.wire.member_settings import Member, MembersFrom  # noqa: TC001  (settings are read by their types)
from agent.wire.totals import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.measure.ports import Source
    from agent.measure.snapshot import Snapshot
    from agent.measure.totals import NodeTotals

PATH = "/api/v1/node?view=totals"
HEADERS = {"Accept": "application/json"}
BURST_MEMBERS = 250
"""So many are asked at once; more would wait in our own queue while their deadlines run."""
LATE_SHARE, HALF = 0.7, 0.5
"""A member whose figures are older than this share of the interval when it is read, is read half an interval
earlier from then on: right after its node has made new ones. In a hall that takes turns anyway, nobody."""
CONNECTS_PER_SECOND = 500
"""A daemon that starts does not connect to all members at once: deadlines would measure our queue …"""
BATCH_MEMBERS = 25
"""… so many at once."""
SHARE_OF_INTERVAL = 0.8
"""A poll that takes longer has failed: the next one is due."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the `peers` collector, which `rack.members` switches on."""

    interval: Seconds = setting(Seconds(1.0), "How often each member is read.")
    timeout: Seconds = setting(
        Seconds(2.0), "Deadline of one answer; at most eight tenths of the interval, whatever is set."
    )
    max_bytes: Bytes = setting(Bytes(256 * 1024), "Largest answer; a larger one is not read to its end.")
    members: tuple[Member, ...] = inherited(())
    members_from: MembersFrom | None = inherited(None)

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for key in ("interval", "timeout", "max_bytes"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be more than 0")

    @property
    def deadline_seconds(self) -> float:
        """How long one answer may take."""
        return min(self.timeout, SHARE_OF_INTERVAL * self.interval)


def build(settings: Settings) -> PeersCollector:
    """Make the collector."""
    return PeersCollector(settings)


class PeersCollector:
    """Offers one source for each member, and one that finds members where that is configured."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = HttpClient()
        self._sources: tuple[Source, ...] = ()
        self._by_url: dict[str, PeerSource] = {}
        self._discovery = (
            None
            if settings.members_from is None
            else Discovery(settings.members_from, self._client, self._set)
        )
        self._set(())

    def sources(self, seen: Snapshot | None) -> Sequence[Source]:  # noqa: ARG002 - members stand alone
        """Return the sources of all members: the same object until they change."""
        return self._sources

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.close()

    def _set(self, found: Sequence[Member]) -> None:
        """Take the members that were found beside those that are named; one given twice is read once."""
        members = {_base(member.url): member for member in (*found, *self._settings.members)}
        self._by_url = {
            url: known
            if (known := self._by_url.get(url)) is not None and known.member == member
            else PeerSource(url, member, self._settings, self._client)
            for url, member in members.items()
        }
        bursts = max(1, math.ceil(len(members) / BURST_MEMBERS))
        for number, source in enumerate(self._by_url.values()):
            source.phase_ratio = number % bursts / bursts
            source.follows = bursts == 1
            source.delay_seconds = number // BATCH_MEMBERS * BATCH_MEMBERS / CONNECTS_PER_SECOND
        finder = () if self._discovery is None else (self._discovery,)
        self._sources = (*finder, *self._by_url.values())


class PeerSource:
    """Reads one member."""

    def __init__(self, url: str, member: Member, settings: Settings, client: HttpClient) -> None:
        self.member = member
        self.url = url
        self.name = f"peers/{url}"
        self.interval_seconds: float = settings.interval
        self.timeout_seconds: float = settings.deadline_seconds
        self.phase_ratio = 0.0
        self.delay_seconds = 0.0
        self.follows = False
        """Whether it may be read when its node has news, and not with all others."""
        self._page = url + PATH
        self._limits = Limits(settings.deadline_seconds, settings.max_bytes)
        self._client = client

    async def close(self) -> None:
        """Do nothing: the connections are the collector's."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - stands alone
        """Ask for the totals of the node."""
        fetched = await self._client.get(self._page, self._limits, headers=HEADERS, config=self.member)
        try:
            totals = from_json(fetched.body)
        except SourceError as error:
            raise SourceError(error.reason, f"{public(self.url)}: {error.detail}") from error
        if self.follows:
            self._follow(totals)
        member = MemberReading(totals, fetched.asked_monotonic, fetched.first_byte_monotonic)
        return Reading(self.name, now, member=member)

    def _follow(self, totals: NodeTotals) -> None:
        """Be read half an interval earlier when the newest that was read there is old already."""
        age = totals.at.monotonic_seconds - max(_moments(totals, self.interval_seconds), default=0.0)
        if LATE_SHARE < age / self.interval_seconds < 1.0 + HALF:
            self.phase_ratio = (self.phase_ratio + HALF) % 1.0


def _moments(totals: NodeTotals, cadence_seconds: float) -> Iterator[float]:
    """Yield when each source was last read, of those that are read as often as the member is."""
    for engine in totals.engines:
        if engine.cadence_seconds <= cadence_seconds * (1.0 + HALF):
            yield from (point.seconds for point in engine.live.values())
    for at in totals.boundaries:
        if at.cadence_seconds <= cadence_seconds * (1.0 + HALF):
            yield at.at_seconds


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Look at every member once, for `rackwatt doctor`."""
    collector = build(settings)
    try:
        first = collector.sources(None)
        findings = await asyncio.gather(*(_examined(source) for source in first))
        found = [source for source in collector.sources(None) if source not in first]
        return (*findings, *await asyncio.gather(*(_examined(source) for source in found)))
    finally:
        await collector.close()


async def _examined(source: Source) -> Finding:
    try:
        reading = await source.collect(Moment(time.monotonic(), time.time()), None)
    except SourceError as error:
        return problem_of(source.name, error)
    if reading.member is None:
        return Finding(Level.OK, source.name, "; ".join(reading.notes) or "members were found")
    totals = reading.member.totals
    text = f"node {totals.node.name}, rackwatt {totals.version}, {len(totals.gpus)} GPUs"
    return Finding(Level.OK, source.name, text)


def _base(url: str) -> str:
    return url.rstrip("/")
