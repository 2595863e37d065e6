"""A deadline that measures the peer and not us: what already lies in our socket is no time-out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.alarms import Alarms, TimeLimit

if TYPE_CHECKING:
    from collections.abc import Callable

LATE_SECONDS = 0.05
"""An event loop that comes so much after a deadline was busy elsewhere while it passed."""
EXTRA_SECONDS = 0.25
"""So much longer, once, is waited for an answer that is there already and only has to be read."""


class Deadline(TimeLimit):
    """Cancels what it holds when the time is over, as `asyncio.timeout` does, and raises TimeoutError.

    If at that moment bytes of the peer are waiting, or the event loop itself comes late, the lateness is
    ours: then, once, there is a little more time. A peer that drips without end gains no more than that.
    """

    def __init__(
        self, seconds: float, answer_waits: Callable[[], bool], alarms: Alarms | None = None
    ) -> None:
        super().__init__(seconds, alarms or Alarms())
        self._answer_waits = answer_waits
        self._extended = False

    def ring(self) -> None:
        """Give up, or wait once more."""
        late = asyncio.get_running_loop().time() - self.due_seconds > LATE_SECONDS
        if not self._extended and (late or self._answer_waits()):
            self._extended = True
            self.wait(EXTRA_SECONDS)
            return
        super().ring()
