"""Work that may hang, in threads beside the event loop: a hang is an outcome, and the process still ends.

The event loop's executor will not do: what hangs would fill it and others would wait for it, and the
interpreter waits for its threads at exit. A call into a wedged driver, firmware or file system may not return
before the machine is rebooted, so these are daemon threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Aside(Generic[T]):
    """One kind of work, never in more than one thread; whoever asks while it runs waits for the same."""

    def __init__(self, name: str) -> None:
        self._name = f"rackwatt-{name}"
        self._working: asyncio.Future[T | Exception] | None = None

    @property
    def busy(self) -> bool:
        """Whether work has not returned yet."""
        return self._working is not None

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        if self._working is None:
            loop = asyncio.get_running_loop()
            self._working = loop.create_future()
            target, arguments = self._work, (work, loop)
            threading.Thread(target=target, args=arguments, name=self._name, daemon=True).start()
        return _returned(await asyncio.shield(self._working))

    def _work(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        _bring_home(loop, self._finish, _outcome(work))

    def _finish(self, done: T | Exception) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.set_result(done)


def _nothing() -> None:
    """Nobody waits for the job."""


class Job(Generic[T]):
    """What will come of one job of a lane; nothing ever, when it is left behind.

    Waited for by one task, and not by `asyncio.wait`, which takes the event loop round once more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.done = False
        self._outcome: T | Exception | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    async def settled(self, until_seconds: float) -> bool:
        """Wait until it is done, or a moment of the monotonic clock; tell whether it is done."""
        if not self.done:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_at(until_seconds, self._wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self.done

    def result(self) -> T:
        """Return what a job that is done has returned, or raise what it has raised."""
        return _returned(self._outcome)  # type: ignore[return-value]  # it is done

    def settle(self, outcome: T | Exception) -> None:
        """Take what came of it."""
        self.done, self._outcome = True, outcome
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Lane:
    """Jobs one after another in one thread, which can be left behind inside a job that does not return."""

    def __init__(self, name: str) -> None:
        self._name = f"rackwatt-{name}"
        self._jobs: SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._turn = 0
        self._back: dict[int, Callable[[], None]] = {}
        """What each thread that was left behind does when it is back, by its turn."""
        self._started = False
        self._unfinished = 0
        self.since_seconds = 0.0
        """When the job that is next or runs, or ran last, began; on the monotonic clock."""

    @property
    def busy(self) -> bool:
        """Whether a job is running or waits."""
        return self._unfinished > 0

    @property
    def left_behind(self) -> int:
        """Threads that are inside a job which was given up."""
        return len(self._back)

    async def run(self, job: Callable[[], T], seconds: float) -> T:
        """Return what a job returns, or raise what it raises. Raises TimeoutError when it takes longer."""
        begun = self.begin(job)
        if not await begun.settled(time.monotonic() + max(0.0, seconds)):
            raise TimeoutError
        return begun.result()

    def begin(self, job: Callable[[], T]) -> Job[T]:
        """Have a job done; return what will come of it."""
        loop = asyncio.get_running_loop()
        begun: Job[T] = Job(loop)
        done: list[T | Exception] = []
        self.submit(lambda: done.append(_outcome(job)), lambda: _bring_home(loop, begun.settle, done[0]))
        return begun

    def submit(self, job: Callable[[], None], done: Callable[[], None] = _nothing) -> None:
        """Run a job after those before it, then `done` unless it was left behind. Neither may raise."""
        with self._lock:
            if not self._unfinished:
                self.since_seconds = time.monotonic()
            self._unfinished += 1
            self._jobs.put((job, done))
            if not self._started:
                self._start()

    def leave(self, back: Callable[[], None] = _nothing) -> None:
        """Give up the job that runs, and go on in a fresh thread; one that returns late ends with `back`."""
        with self._lock:
            if not self._unfinished:
                return
            self._back[self._turn] = back
            self._turn += 1
            self._unfinished -= 1
            self._start()

    def end(self) -> None:
        """Let the thread go when it has done what was submitted."""
        self._jobs.put(None)

    def _start(self) -> None:
        self._started = True
        threading.Thread(target=self._work, args=(self._turn,), name=self._name, daemon=True).start()

    def _work(self, turn: int) -> None:
        while (work := self._jobs.get()) is not None:
            job, done = work
            self.since_seconds = time.monotonic()
            job()
            with self._lock:
                back = self._back.get(turn)
                if back is None:
                    self._unfinished -= 1
            if back is not None:
                back()
                del self._back[turn]
                return
            done()


def _outcome(work: Callable[[], T]) -> T | Exception:
    """Work, and return what came of it: for whoever asked."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - raised again where it is awaited
        return error


def _returned(done: T | Exception) -> T:
    if isinstance(done, Exception):
        raise done
    return done


def _bring_home(loop: asyncio.AbstractEventLoop, take: Callable[..., None], *what: Any) -> None:
    """Give the event loop what a thread has found; from any thread, and even when the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(take, *what)
