"""All sources of a node in their loops, and the reckoner they feed."""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.alarms import Alarms
from agent.loop import SourceLoop, now
from agent.measure.ports import Releasable, Staggered
from agent.measure.reading import Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from agent.measure.node import NodeReckoner
    from agent.measure.ports import Collector, Source
    from agent.measure.push import PushFigures
    from agent.measure.rack import RackReckoner
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.reading import Outcome, Reading
    from agent.measure.snapshot import Snapshot

log = logging.getLogger("rackwatt.gather")

BATCH_SECONDS = 0.1
"""Readings that arrive this close together are reckoned in one pass, at once when every source has told."""
LEAST_SPACING_SECONDS = 0.2
"""Snapshots are at least this far apart, however many sources there are."""
MOST_SPACING_SECONDS = 1.0
"""… and at most this far, so that what goes stale is seen, and a watchdog fed, at any interval."""
PEERS = "peers/"
MEMBERS = "peers/http"
"""What the names of sources begin with that read another node of the rack."""
APART_SECONDS = 0.02
"""The sources of a collector are read together, those of the next one so much later: a driver's thread and
the event loop would fight for the interpreter's lock, which costs more than another wake-up …"""
MOST_APART_SECONDS = 0.06
"""… but all within BATCH_SECONDS."""
CLOSE_SECONDS = 1.0
"""A collector that hangs when closed is left behind after this long."""


@dataclass(slots=True)
class _Running:
    loop: SourceLoop
    task: asyncio.Task[None]


class Gatherer:
    """Runs every source in a loop of its own and makes snapshots of what they deliver."""

    def __init__(
        self,
        node: str,
        interval_seconds: float,
        reckoner: NodeReckoner,
        rack: RackReckoner | None = None,
        pushes: Callable[[], tuple[PushFigures, ...]] = tuple,
        examine: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    ) -> None:
        """`pushes` tells how sending goes; `examine` adds to a snapshot what is wrong."""
        self.rack_news = asyncio.Event()
        """Set when a member of the rack answered, or failed to."""
        self.snapshot: Snapshot | None = None
        self.library_mismatch = asyncio.Event()
        """Set when a driver was replaced under a source that had worked: only a restart helps."""
        self.broken = asyncio.Event()
        """Set when a loop ended by an error of rackwatt."""
        self.count_began = False
        """An engine was first seen, or restarted, since this was last cleared: worth keeping at once."""
        self._reckoner, self._rack = reckoner, rack
        self._pushes, self._examine = pushes, examine
        self._rack_snapshot: RackSnapshot | None = None
        self._offered: list[Sequence[Source]] = []
        """What the collectors offered when loops were last started and stopped."""
        self._interval_seconds = interval_seconds
        self._phase_seconds = zlib.crc32(node.encode()) % 1000 / 1000 * interval_seconds
        self.collectors: dict[str, Collector] = {}
        """By the name of their module."""
        self._running: dict[str, _Running] = {}
        self._alarms = Alarms()
        self._news = asyncio.Event()
        self._told: set[str] = set()
        """Sources that have told, or failed, since the last snapshot."""
        self._batch_over = asyncio.Event()
        """Set when all of them have, or the others were waited for."""
        self._started = False
        self._not_before = 0.0
        """When the next snapshot may be made, on the event loop's clock."""
        self._released_at: float | None = None
        """Since when devices are let go of, on the monotonic clock."""

    @property
    def ready(self) -> bool:
        """Whether every source has had its first outcome and a snapshot tells of it."""
        return self.snapshot is not None and self._all_told()

    @property
    def sources(self) -> list[str]:
        """Names of the sources that are read now."""
        return list(self._running)

    async def set_collectors(self, collectors: Mapping[str, Collector]) -> None:
        """Read these from now on; those no longer named are closed."""
        gone = [c for name, c in self.collectors.items() if collectors.get(name) is not c]
        new = [name for name, c in collectors.items() if self.collectors.get(name) is not c]
        self.collectors = dict(collectors)
        self._started = True
        if self._released_at is not None:
            self._each_releasable("release", new)
        self.sync()
        await asyncio.gather(*(_close(collector) for collector in gone))

    def sync(self) -> None:
        """Start a loop for each source that has appeared, stop those of sources that have gone."""
        offers = self._offers()
        if offers == self._offered:
            return  # the usual case, several times a second; a rack has a thousand sources
        self._offered = offers
        offered = {source.name: source for sources in offers for source in sources}
        for name, running in list(self._running.items()):
            if offered.get(name) is not running.loop.source:
                self._stop(name, replaced=name in offered)
        self._reckoner.expect(name for name in offered if not name.startswith(MEMBERS))
        if self._rack is not None:
            self._rack.expect(name.removeprefix(PEERS) for name in offered if name.startswith(MEMBERS))
        for place, sources in enumerate(offers):
            for source in sources:
                if source.name not in self._running:
                    self._start(source.name, source, min(place * APART_SECONDS, MOST_APART_SECONDS))

    def _offers(self) -> list[Sequence[Source]]:
        offers: list[Sequence[Source]] = []
        for name, collector in self.collectors.items():
            try:
                offers.append(tuple(collector.sources(self.snapshot)))
            except SourceError as error:
                log.warning(
                    "collector cannot name its sources", extra={"collector": name, "detail": error.detail}
                )
        return offers

    async def reckon_once(self, self_gauges: Mapping[str, float]) -> None:
        """Wait for news, but not long, then make one snapshot.

        There is none before every source has had its first outcome: until then nobody knows who is up.
        """
        loop = asyncio.get_running_loop()
        await _set_within(self._news, min(self._interval_seconds, MOST_SPACING_SECONDS))
        await _set_within(self._batch_over, BATCH_SECONDS)
        if (early_seconds := self._not_before - loop.time()) > 0.0:
            await asyncio.sleep(early_seconds)
        self._not_before = loop.time() + BATCH_SECONDS + LEAST_SPACING_SECONDS
        self._news.clear()
        self._batch_over.clear()
        self._told.clear()
        if self.snapshot is not None or self._all_told():
            self.reckon(self_gauges)
        self.sync()

    def reckon(self, self_gauges: Mapping[str, float]) -> Snapshot:
        """Make one snapshot of what is known now."""
        outcomes = tuple(r.loop.outcome for r in self._running.values() if r.loop.outcome is not None)
        reckoned = self._reckoner.snapshot(now(), outcomes, self_gauges, self._rack_snapshot, self._pushes())
        self.snapshot = self._examine(reckoned)
        return self.snapshot

    def show_rack(self, rack: RackSnapshot | None) -> None:
        """Have the next snapshots show the rack, the first of them soon; None when there is none any more."""
        self._rack_snapshot = rack
        self._news.set()

    def release(self) -> None:
        """Let go of every device that is held open, for a reset; of those configured meanwhile, too."""
        self._released_at = now().monotonic_seconds
        self._each_releasable("release", self.collectors)

    def resume(self) -> None:
        """Take hold of released devices again."""
        self._released_at = None
        self._each_releasable("resume", self.collectors)

    async def close(self) -> None:
        """Stop every loop and close every collector; never waits long for one that hangs."""
        for name in list(self._running):
            self._stop(name)
        await asyncio.gather(*(_close(collector) for collector in self.collectors.values()))
        self.collectors = {}

    def _all_told(self) -> bool:
        """Whether collectors are set and every source has had its first outcome."""
        return self._started and all(each.loop.outcome is not None for each in self._running.values())

    def _each_releasable(self, verb: str, names: Iterable[str]) -> None:
        for name in names:
            collector = self.collectors[name]
            if isinstance(collector, Releasable):
                log.info("device: %s", verb, extra={"collector": name})
                getattr(collector, verb)()

    def _start(self, name: str, source: Source, lag_seconds: float) -> None:
        phase = self._phase_seconds + lag_seconds
        delay = source.delay_seconds if isinstance(source, Staggered) else 0.0
        loop = SourceLoop(source, self._deliver, lambda: self.snapshot, phase, delay, alarms=self._alarms)
        task = asyncio.create_task(loop.run(), name=f"source {name}")
        task.add_done_callback(self._tell_end)
        self._running[name] = _Running(loop, task)

    def _stop(self, name: str, *, replaced: bool = False) -> None:
        """End a loop; what a source told is kept when another of its name takes over."""
        running = self._running.pop(name)
        self._told.discard(name)
        running.task.cancel()
        if not replaced:
            self._reckoner.miss(name)  # a member that is no longer offered is not missed: see `expect`

    def _tell_end(self, task: asyncio.Task[None]) -> None:
        """Notice a loop that ended by itself: its last reading must not stand for ever."""
        if not task.cancelled():
            log.error("loop ended", extra={"task": task.get_name()}, exc_info=task.exception())
            self.broken.set()

    def _deliver(self, reading: Reading | None, outcome: Outcome, cadence_seconds: float) -> None:
        if outcome.source.startswith(MEMBERS):
            self._deliver_member(reading, outcome, cadence_seconds)
            return
        if reading is not None:
            self.count_began |= self._reckoner.take(reading, cadence_seconds)
            self._notice_resumed(outcome)
        else:
            self._reckoner.miss(outcome.source)
        worked = outcome.last_success_unix_seconds is not None
        if outcome.reason is Reason.LIBRARY_MISMATCH and worked:
            self.library_mismatch.set()
        self._told.add(outcome.source)
        if len(self._told) == len(self._running):
            self._batch_over.set()
        self._news.set()

    def _deliver_member(self, reading: Reading | None, outcome: Outcome, cadence_seconds: float) -> None:
        """Hand a member of the rack over; the node itself has no news by that."""
        if self._rack is None:
            return
        url = outcome.source.removeprefix(PEERS)
        if reading is not None and reading.member is not None:
            self._rack.take(url, reading.member, cadence_seconds)
        else:
            self._rack.miss(url, f"{outcome.reason}: {outcome.detail}")
        self.rack_news.set()

    def _notice_resumed(self, outcome: Outcome) -> None:
        """See that a released collector began to read again: it took hold by itself, its time was over."""
        collector = self.collectors.get(outcome.source.partition("/")[0])
        if self._released_at is None or not isinstance(collector, Releasable):
            return
        if now().monotonic_seconds - outcome.duration_seconds > self._released_at:
            self._released_at = None


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event; it is set all the same when the time is over."""
    if not event.is_set():
        timer = asyncio.get_running_loop().call_later(seconds, event.set)
        try:
            await event.wait()
        finally:
            timer.cancel()


async def _close(collector: Collector) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await collector.close()
    except TimeoutError:
        log.warning("collector did not close in time and is left behind")
    except OSError as error:
        log.warning("collector did not close cleanly", extra={"detail": str(error)})
