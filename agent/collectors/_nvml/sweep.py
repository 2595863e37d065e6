"""One pass over GPUs, in a thread that may get stuck in one of them and be left behind."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from agent.collectors._nvml.library import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.collectors._nvml.device import Device, Result


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
