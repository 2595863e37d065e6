"""A deadline that measures the peer and not us: what already lies in our socket is no time-out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

LATE_SECONDS = 0.05
"""An event loop that comes so much after a deadline was busy elsewhere while it passed."""
EXTRA_SECONDS = 0.25
"""So much longer, once, is waited for an answer that is there already and only has to be read."""


class Deadline:
    """Cancels what it holds when the time is over, as `asyncio.timeout` does, and raises TimeoutError.

    If at that moment bytes of the peer are waiting, or the event loop itself comes late, the lateness is
    ours: then, once, there is a little more time. A peer that drips without end gains no more than that.
    """

    def __init__(self, seconds: float, answer_waits: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._answer_waits = answer_waits
        self._extended = False
        self._expired = False

    async def __aenter__(self) -> Self:
        """Begin to wait."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline holds a task, and there is none")
        self._task, self._cancelling = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._due(self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Turn our own cancellation into TimeoutError; any other passes."""
        self._handle.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _due(self, seconds: float) -> None:
        self._at = self._loop.time() + seconds
        self._handle = self._loop.call_at(self._at, self._expire)

    def _expire(self) -> None:
        late = self._loop.time() - self._at > LATE_SECONDS
        if not self._extended and (late or self._answer_waits()):
            self._extended = True
            self._due(EXTRA_SECONDS)
            return
        self._expired = True
        self._task.cancel()
