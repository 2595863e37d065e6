"""Threads of our own for driver calls that may never return: one at work, others left behind."""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

from agent.collectors._nvml.library import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.collectors._nvml.device import Device, Result


def nothing() -> None:
    """Do nothing: nobody waits for the job."""


class Lane:
    """Runs jobs one after another in a daemon thread, which can be left behind inside a job.

    Daemon threads, and not the event loop's executor, because the interpreter waits for the latter
    at exit, and a call into a wedged driver may not return before the machine is rebooted.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._turn = 0
        self._started = False
        self._unfinished = 0
        self.left_behind = 0
        """Threads that are inside a job which was given up."""

    @property
    def busy(self) -> bool:
        """Whether a job is running or waits."""
        return self._unfinished > 0

    def submit(self, job: Callable[[], None], done: Callable[[], None] = nothing) -> None:
        """Run a job after those before it, then `done` unless it was left behind. Neither may raise."""
        with self._lock:
            self._unfinished += 1
            self._jobs.put((job, done))
            if not self._started:
                self._start()

    def leave(self) -> None:
        """Give up the job that runs now and go on with the next one in a fresh thread."""
        with self._lock:
            if not self._unfinished:
                return
            self._turn += 1
            self._unfinished -= 1
            self.left_behind += 1
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
            job()
            with self._lock:
                if turn != self._turn:
                    self.left_behind -= 1
                    return
                self._unfinished -= 1
            done()


class Sweep:
    """One pass over some GPUs; what it brings is in each GPU as soon as it is there."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._waiting = deque(devices)
        self._lock = threading.Lock()
        self._turn = 0
        self.device: Device | None = None
        """The GPU that is being asked."""
        self.since_seconds = time.monotonic()
        self.refusal: Refusal | None = None
        """What ended the session, if anything did."""
        self.error: Exception | None = None
        """A bug of ours, to be raised where it is seen."""
        self.finished = False
        self.answered = 0

    def run(self) -> None:
        """Ask one GPU after another; the job of a lane. Ends early when it was left behind."""
        turn = self._turn
        while (device := self._take()) is not None:
            result: Result | None = None
            try:
                result = device.read()
            except Exception as error:  # noqa: BLE001 - raised again by the collection that awaits this sweep
                problem: Exception | None = error
            else:
                problem = None
            if not self._give(turn, device, result, problem):
                return
        self.finished = True

    def _take(self) -> Device | None:
        with self._lock:
            self.since_seconds = time.monotonic()
            self.device = self._waiting.popleft() if self._waiting else None
            return self.device

    def _give(self, turn: int, device: Device, result: Result | None, problem: Exception | None) -> bool:
        with self._lock:
            if turn != self._turn:
                device.returned()
                return False
            if result is not None:
                device.result = result
                self.answered += 1
            if problem is not None:
                self._fail(problem)
            return True

    def _fail(self, problem: Exception) -> None:
        self._waiting.clear()
        if isinstance(problem, Refusal):
            self.refusal = problem
        else:
            self.error = problem

    def stop(self) -> None:
        """Ask no further GPU."""
        with self._lock:
            self._waiting.clear()

    def skip(self) -> Device | None:
        """Give up the GPU that is being asked so that another thread may go on; None if it just answered."""
        with self._lock:
            device, self.device = self.device, None
            if device is not None:
                self._turn += 1
                self.since_seconds = time.monotonic()
                device.stuck = True
            return device
