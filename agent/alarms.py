"""Time limits of many tasks by one timer of the event loop: nearly all of them are called off in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType

NEVER = float("inf")
EARLY_SECONDS = 1e-6
"""A timer of the event loop may come so much before its time."""


class Alarm(Protocol):
    """What is rung for."""

    def ring(self) -> None:
        """Be told that the time is over."""


class Alarms:
    """Rings for what was not called off in time.

    A timer for each would be made, sorted in and called off a dozen times a second, each of them for a moment
    that never comes.
    """

    def __init__(self) -> None:
        self._due: dict[Alarm, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_seconds = NEVER

    def set(self, alarm: Alarm, seconds: float) -> None:
        """Ring at a moment of the event loop's clock."""
        self._due[alarm] = seconds
        if seconds < self._timer_seconds:
            self._arm(seconds)

    def call_off(self, alarm: Alarm) -> None:
        """Do not ring."""
        self._due.pop(alarm, None)

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(seconds, self._look)
        self._timer_seconds = seconds

    def _look(self) -> None:
        self._timer, self._timer_seconds = None, NEVER
        now = asyncio.get_running_loop().time() + EARLY_SECONDS
        for alarm in [alarm for alarm, seconds in self._due.items() if seconds <= now]:
            del self._due[alarm]
            alarm.ring()
        least = min(self._due.values(), default=NEVER)
        if least < self._timer_seconds:
            self._arm(least)


class TimeLimit:
    """Cancels what its task does within it when the time is over, and raises TimeoutError."""

    def __init__(self, seconds: float, alarms: Alarms) -> None:
        self.seconds = seconds
        self._alarms = alarms
        self._expired = False

    def __enter__(self) -> None:
        """Begin to wait."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for a task, and there is none")
        self._task, self._cancelling = task, task.cancelling()
        self.wait(self.seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn our own cancellation into TimeoutError; any other passes."""
        self._alarms.call_off(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def wait(self, seconds: float) -> None:
        """Let it be so long from now."""
        self.due_seconds = asyncio.get_running_loop().time() + seconds
        self._alarms.set(self, self.due_seconds)

    def ring(self) -> None:
        """Cancel what the task does."""
        self._expired = True
        self._task.cancel()
