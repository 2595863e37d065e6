"""The rack of a running daemon: kept on disk, reckoned when its members have told, waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, TypeVar

from agent.measure.rack_of_one import rack_of_one
from agent.measure.rack_site import NOTHING
from agent.store import Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from agent.measure.rack import RackPlan, RackReckoner
    from agent.measure.rack_site import Beside
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.reading import Moment
    from agent.measure.snapshot import Snapshot
    from agent.store import Store

log = logging.getLogger("rackwatt.rack")
T = TypeVar("T")

SPACING_SECONDS, HALL_SPACING_SECONDS = 0.4, 0.9
"""A rack is reckoned once for each burst of polls, at most about twice a second; a hall once."""
HALL_MEMBERS = 250
"""From so many on it costs too much to do it twice."""
QUIET_SECONDS = 0.05
"""A burst is over when nobody has answered for so long …"""
BURST_SECONDS = 0.5
"""… and is not waited for any longer than this."""
SLICE_SECONDS, LONGEST_SLICE_SECONDS = 0.01, 0.05
"""Of processor time: so much is reckoned in one piece, and each time more, before polls and pages have their
turn. With short slices, or by the wall clock, a daemon that gets little of a machine would never be done."""
KEEP_SECONDS = 0.25
"""A total that was told and not kept would fall when we are killed together with the member that had told
it. A disk that takes longer than this is not waited for."""
KEEP_MEMBER_SECONDS = 0.004
"""So long is what one member told not kept again: a rack of 250 is kept each second, before it is told, one
of a thousand each fourth."""
IDLE_SECONDS = 1.0
"""Without news the rack is reckoned all the same: what goes stale must be seen."""


class RackDesk:
    """Holds the rack as it was last reckoned, or the rack of one that a node without members is."""

    def __init__(
        self,
        reckoner: RackReckoner,
        plan: RackPlan,
        store: Store,
        examine: Callable[[RackSnapshot], RackSnapshot] = lambda rack: rack,
    ) -> None:
        self.reckoner = reckoner
        self._examine = examine
        """Adds to each rack what is wrong."""
        self.snapshot: RackSnapshot | None = None
        """Of the members; None before the first reckoning."""
        self._plan = plan
        self._store = store
        self._saver: Saver | None = None
        self._one: RackSnapshot | None = None
        self._made = asyncio.Event()
        self._kept_seconds = float("-inf")
        """When the totals were last kept before they were told, on the monotonic clock."""

    def replan(self, plan: RackPlan) -> None:
        """Go on with what is configured now."""
        self._plan = self.reckoner.plan = plan

    def take_kept(self) -> None:
        """Take what an earlier run kept; begin anew, and say so, when that is not possible."""
        kept = self._store.load()
        if kept.note:
            log.warning("the rack's totals of an earlier run are lost", extra={"detail": kept.note})
        if kept.state is None:
            return
        try:
            self.reckoner.load(kept.state)
        except (KeyError, TypeError, ValueError) as error:
            detail = self._store.set_aside(f"is not understood ({error!r})")
            log.warning("the rack's totals of an earlier run are lost", extra={"detail": detail})

    async def reckon(self, now: Moment, own_rack: str, beside: Beside = NOTHING) -> RackSnapshot:
        """Reckon the members, a slice at a time; what they told is kept before anybody is told of it."""
        try:
            rack = self._examine(await _in_slices(self.reckoner.steps(now, own_rack, beside)))
            await self._keep(now.monotonic_seconds)
            self.snapshot = rack
            self.wake()
            await _in_slices(self.reckoner.catch_up())
        finally:
            self.reckoner.finish()
        return rack

    async def _keep(self, seconds: float) -> None:
        """Keep the totals before they are told, if a member has left or the last time is long enough ago."""
        spacing = KEEP_MEMBER_SECONDS * len(self.reckoner.members)
        if not self.reckoner.left and seconds - self._kept_seconds < spacing:
            return
        self.reckoner.left, self._kept_seconds = False, seconds
        self.save()
        with contextlib.suppress(TimeoutError):  # no thread is free: what hangs there must not stop us
            async with asyncio.timeout(2.0 * KEEP_SECONDS):
                await asyncio.to_thread(self.flush, KEEP_SECONDS)

    @property
    def spacing_seconds(self) -> float:
        """How long after one reckoning begins the next one may."""
        return SPACING_SECONDS if len(self.reckoner.members) <= HALL_MEMBERS else HALL_SPACING_SECONDS

    def of_one(self, node: Snapshot) -> RackSnapshot:
        """Return the rack that a node without members is; made once for each of its snapshots."""
        if self._one is None or self._one.sequence != node.sequence:
            self._one = rack_of_one(node, self._plan)
        return self._one

    def wake(self) -> None:
        """Tell those who wait that there is a newer rack."""
        made, self._made = self._made, asyncio.Event()
        made.set()

    async def made(self) -> None:
        """Wait until there is a newer rack than now."""
        await self._made.wait()

    def save(self) -> None:
        """Keep the members' totals soon, on a thread of its own."""
        if self._saver is None:
            self._saver = Saver(self._store)
        self._saver.submit(self.reckoner.dump())

    def flush(self, seconds: float) -> bool:
        """Wait until what was to be kept is on disk; False when that takes too long."""
        return self._saver is None or self._saver.flush(seconds)


async def _in_slices(steps: Generator[None, None, T]) -> T:
    """Go through steps, a few at a time; return what they end with."""
    slice_seconds, began = SLICE_SECONDS, time.thread_time()
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            value: T = ended.value
            return value
        if time.thread_time() - began > slice_seconds:
            await asyncio.sleep(0)
            slice_seconds = min(slice_seconds + SLICE_SECONDS, LONGEST_SLICE_SECONDS)
            began = time.thread_time()


async def burst_over(news: asyncio.Event) -> None:
    """Wait for answers of members, then until their burst is over."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            await news.wait()
        async with asyncio.timeout(BURST_SECONDS):
            while news.is_set():
                news.clear()
                await asyncio.sleep(QUIET_SECONDS)
    except TimeoutError:
        pass
    news.clear()
