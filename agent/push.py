"""Exporters that push: each takes snapshots at its own interval and sends them, whatever the receiver does.

Batches wait in a bounded buffer and go out one at a time, the oldest first; what does not fit any more is
lost and counted. Nothing here delays a reading, a page or the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from agent.measure.push import DELIVERED, Batch, Loss, PushError, PushFigures
from agent.measure.reading import Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.measure.ports import Pusher
    from agent.measure.snapshot import Snapshot

log = logging.getLogger("rackwatt.push")

FIRST_WAIT_SECONDS = 1.0
"""After a failure the next attempt comes this much later, then after twice as long …"""
LONGEST_WAIT_SECONDS = 15.0
"""… up to this, so that a receiver that is back soon hears of us."""
LONGEST_ASKED_SECONDS = 300.0
"""A receiver may ask (Retry-After) to be left alone for at most so long."""
JITTER = 0.2
"""All nodes lose their collector at once; they must not come back in one moment."""
GRACE_SECONDS = 0.75
"""A pusher names its own time-outs better than we can: ours comes later."""
CLOSE_SECONDS = 1.0


class PushLoop:
    """One exporter's life: take, keep, send, count."""

    def __init__(self, name: str, pusher: Pusher, seen: Callable[[], Snapshot | None]) -> None:
        self.name = name
        self._pusher = pusher
        self._next: Pusher | None = None
        """What a reload has put in the place of the pusher."""
        self._seen = seen
        self._taken: int | None = None
        """Sequence number of the snapshot that was taken last."""
        self._waiting: deque[Batch] = deque()
        self._bytes = 0
        """Of all that waits, what is being sent included."""
        self._news = asyncio.Event()
        self._not_before = 0.0
        self._in_a_row = 0
        self._outcome = ""
        self._pushes: dict[str, int] = {}
        self._lost: dict[Loss, int] = {}
        self._last_success: float | None = None

    @property
    def figures(self) -> PushFigures:
        """How it has gone so far."""
        return PushFigures(self.name, dict(self._pushes), dict(self._lost), self._bytes, self._last_success)

    def use(self, pusher: Pusher) -> None:
        """Send by another one from the next batch on; what waits is kept."""
        if pusher is (self._next or self._pusher):
            return
        self._next = pusher
        self._not_before = 0.0
        self._news.set()

    async def run(self) -> None:
        """Take and send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_taking())
            tasks.create_task(self._keep_sending())

    async def close(self, flush_seconds: float) -> None:
        """Send what there is, the last snapshot included, but for no longer than this; the rest is lost.

        `run` must have been cancelled.
        """
        await self._take_over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(flush_seconds):
                await self._take()
                while self._waiting and await self._send_oldest():
                    pass
        left = sum(batch.points for batch in self._waiting)
        if left:
            self._lose(Loss.STOPPED, left)
            log.warning("not delivered before the end", extra={"exporter": self.name, "points": left})
        await _close(self._pusher, self.name)

    async def _keep_taking(self) -> None:
        while True:
            interval = (self._next or self._pusher).interval_seconds
            moment = time.monotonic()
            await asyncio.sleep((math.floor(moment / interval) + 1) * interval - moment)
            await self._take()

    async def _take(self) -> None:
        """Encode the newest snapshot and put it behind what waits."""
        snapshot = self._seen()
        if snapshot is None or snapshot.sequence == self._taken:
            return
        before, self._taken = self._taken, snapshot.sequence
        try:
            batch = await asyncio.to_thread(self._pusher.encode, snapshot)
        except asyncio.CancelledError:
            self._taken = before  # the last flush takes it once more, or a newer one
            raise
        except Exception as error:  # noqa: BLE001  (a bug of one exporter: counted, logged, survived)
            self._fail(self._bug(error))
            return
        if batch is None:
            return
        if batch.lost:
            self._lose(Loss.OVERFLOW, batch.lost)
        if batch.replaces:
            self._bytes -= sum(len(each.body) for each in self._waiting)
            self._waiting.clear()
        self._waiting.append(batch)
        self._bytes += len(batch.body)
        self._trim()
        self._news.set()

    async def _keep_sending(self) -> None:
        while True:
            await self._news.wait()
            await self._take_over()
            pause = self._not_before - time.monotonic()
            if pause > 0.0:
                self._news.clear()
                with contextlib.suppress(TimeoutError):  # a batch more, or another pusher, looks again
                    async with asyncio.timeout(pause):
                        await self._news.wait()
                self._news.set()
                continue
            if not self._waiting:
                self._news.clear()
                continue
            await self._send_oldest()

    async def _take_over(self) -> None:
        """Let the pusher of a reload, if there is one, take the place of the old."""
        if self._next is not None:
            old, self._pusher, self._next = self._pusher, self._next, None
            await _close(old, self.name)

    async def _send_oldest(self) -> bool:
        """Send the oldest batch; return whether it is off our hands."""
        batch = self._waiting.popleft()
        done = False
        try:
            timeout = self._pusher.timeout_seconds + GRACE_SECONDS
            try:
                async with asyncio.timeout(timeout):
                    refused = await self._pusher.send(batch)
            except TimeoutError as error:
                raise PushError(Reason.TIMED_OUT, f"nothing came of it within {timeout:g} s") from error
            self._deliver(refused)
            done = True
        except SourceError as error:
            done = self._fail(error, batch)
        except Exception as error:  # noqa: BLE001  (as above)
            done = self._fail(self._bug(error), batch)
        finally:  # also when the loop is stopped in the middle: the batch is there for the last flush
            if done or (self._waiting and self._waiting[-1].replaces):
                self._bytes -= len(batch.body)
            else:
                self._waiting.appendleft(batch)
                self._trim()
        return done

    def _deliver(self, refused: int) -> None:
        self._pushes[DELIVERED] = self._pushes.get(DELIVERED, 0) + 1
        self._last_success = time.time()
        self._in_a_row, self._not_before = 0, 0.0
        if refused:
            self._lose(Loss.REFUSED, refused)
        if self._outcome not in ("", DELIVERED):
            log.info("exporter recovered", extra={"exporter": self.name})
        self._outcome = DELIVERED

    def _fail(self, error: SourceError, batch: Batch | None = None) -> bool:
        """Count a failure; return whether the batch is of no more use."""
        self._pushes[error.reason] = self._pushes.get(error.reason, 0) + 1
        if self._outcome != error.reason:  # once, and again only when it changes
            facts = {"exporter": self.name, "reason": error.reason, "detail": error.detail}
            log.warning("exporter failed", extra=facts)
        self._outcome = error.reason
        if batch is None:
            return True
        if isinstance(error, PushError) and not error.again:
            self._lose(Loss.REFUSED, batch.points)
            return True
        self._in_a_row += 1
        wait = min(FIRST_WAIT_SECONDS * 2.0 ** min(self._in_a_row - 1, 16), LONGEST_WAIT_SECONDS)
        wait *= random.uniform(1.0 - JITTER, 1.0 + JITTER)  # noqa: S311  (spreads load, hides nothing)
        asked = error.after_seconds if isinstance(error, PushError) else None
        self._not_before = time.monotonic() + max(wait, min(asked or 0.0, LONGEST_ASKED_SECONDS))
        return False

    def _bug(self, error: Exception) -> PushError:
        """Log an error of ours with its traceback, once until it changes."""
        if self._outcome != Reason.BUG:
            log.error(
                "exporter failed by an error of rackwatt", extra={"exporter": self.name}, exc_info=error
            )
        return PushError(Reason.BUG, f"{type(error).__name__}: {error}", again=False)

    def _trim(self) -> None:
        """Let the oldest go when there is more than may wait."""
        while self._waiting and self._bytes > self._pusher.buffer_bytes:
            oldest = self._waiting.popleft()
            self._bytes -= len(oldest.body)
            self._lose(Loss.OVERFLOW, oldest.points)

    def _lose(self, why: Loss, points: int) -> None:
        self._lost[why] = self._lost.get(why, 0) + points


class Pushes:
    """All loops of the exporters that push."""

    def __init__(
        self, seen: Callable[[], Snapshot | None], ended: Callable[[asyncio.Task[None]], None]
    ) -> None:
        """`seen` gives the last snapshot; `ended` is told when a loop is over, as it never should be."""
        self._seen, self._ended = seen, ended
        self._loops: dict[str, PushLoop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def figures(self) -> tuple[PushFigures, ...]:
        """How each of them fares."""
        return tuple(loop.figures for loop in self._loops.values())

    async def set(self, pushers: Mapping[str, Pusher], flush_seconds: float) -> None:
        """Have these push from now on, new ones of a known name in its place; others stop within the time."""
        gone = [name for name in self._loops if name not in pushers]
        await asyncio.gather(*(self._stop(name, flush_seconds) for name in gone))
        for name, pusher in pushers.items():
            if name in self._loops:
                self._loops[name].use(pusher)
            else:
                self._loops[name] = loop = PushLoop(name, pusher, self._seen)
                self._tasks[name] = task = asyncio.create_task(loop.run(), name=f"push {name}")
                task.add_done_callback(self._ended)

    async def close(self, flush_seconds: float) -> None:
        """Stop all of them, within the time."""
        await asyncio.gather(*(self._stop(name, flush_seconds) for name in list(self._loops)))

    async def _stop(self, name: str, flush_seconds: float) -> None:
        task, loop = self._tasks.pop(name), self._loops.pop(name)
        task.cancel()
        await asyncio.wait({task})
        await loop.close(flush_seconds)


async def _close(pusher: Pusher, name: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await pusher.close()
    except (TimeoutError, OSError) as error:
        log.warning("exporter did not close cleanly", extra={"exporter": name, "detail": str(error)})
