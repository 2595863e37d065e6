"""Pages that an engine cannot have written: of another process at its address, or out of an old cache (T2).

A counter that falls began anew, as long as what it shows can have been made since the last page. Else it
is not counted: two replicas behind one address would make tokens out of nothing with every page.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from agent.measure.counters import FOREIGN_LIMIT
from agent.measure.engine import TokenKind

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading
    from agent.measure.series import Series

PLAUSIBLE_PER_SECOND = 20_000.0
"""Output that any engine may have made right after a restart; a whole node of four GB300 makes 62,804 …"""
USUAL_RATES = 8.0
"""… or so many times the rate that this one was seen to make in the middle, whichever is more."""
SLACK_SECONDS = 1.0
"""Moments of two pages may be wrong by this much together."""
PAGES_AFTER_A_FALL = 10
"""For so many pages after a fall a leap back to where it fell from is another process, not work. Where the
counter moves with every step that never ends; where it moves on finish, many requests may end at once."""
SUSPECTED_PAGES = 1000
"""For so many pages after one that was refused no leap is work: there are several processes, or were."""


class Belief(Enum):
    """What is to be done with a page."""

    TAKE = "take"
    REFUSE = "refuse"
    ADOPT = "adopt"
    """It was refused too often to be a mistake: go on from what it shows, and count nothing of it."""


class StrangePages:
    """Looks at each page of one instance before it is booked; remembers the last one that was taken."""

    def __init__(self) -> None:
        self._at_seconds: float | None = None
        self._epoch: str | None = None
        self._output: dict[str, float] = {}
        """Raw counters of output by series, as last taken."""
        self._refused = 0
        self._fell_from = float("inf")
        """What all of them showed before they last fell, as long as they have not grown beyond it."""
        self._pages_since_fall = 0
        self._pages_since_refusal = SUSPECTED_PAGES

    def judge(self, reading: EngineReading, output: Series | None) -> Belief:
        """Say what to do with a page; `output` is what the instance was seen to make."""
        now = {one.series: one.value for one in reading.counters if one.kind is TokenKind.OUTPUT}
        before, at = self._at_seconds, reading.at.monotonic_seconds
        if before is not None and at < before:
            return Belief.TAKE  # read late: nobody will count it
        belief = Belief.TAKE
        if before is not None and not self._tells_of_a_restart(reading):
            fell = any(value < self._output.get(series, 0.0) for series, value in now.items())
            doubtful = fell or self._pages_since_refusal < SUSPECTED_PAGES or self._came_back(reading, now)
            anew = fell and reading.epoch is None
            if doubtful and self._made(now, anew=anew) > _most(at - before, output):
                self._refused, self._pages_since_refusal = self._refused + 1, 0
                if self._refused < FOREIGN_LIMIT:
                    return Belief.REFUSE
                belief = Belief.ADOPT
            self._remember_fall(now, fell=fell)
        self._at_seconds, self._epoch, self._output, self._refused = at, reading.epoch, now, 0
        self._pages_since_refusal += 1
        return belief

    def _tells_of_a_restart(self, reading: EngineReading) -> bool:
        return reading.epoch is not None and self._epoch is not None and reading.epoch != self._epoch

    def _came_back(self, reading: EngineReading, now: dict[str, float]) -> bool:
        """Tell whether a page shows again what its counters fell from, lately if they move on finish."""
        substitute = reading.pending_output_tokens is not None or reading.live_output_tokens is not None
        lately = self._pages_since_fall < PAGES_AFTER_A_FALL or (reading.live and not substitute)
        return lately and sum(now.values()) >= self._fell_from

    def _made(self, now: dict[str, float], *, anew: bool) -> float:
        """Return what was made since the last page if this one is true, as it would be counted.

        Where nobody tells which process it is, all of them began anew with the first that fell.
        """
        if anew:
            return sum(now.values())
        shown = ((value, self._output[series]) for series, value in now.items() if series in self._output)
        return sum(value if value < before else value - before for value, before in shown)

    def _remember_fall(self, now: dict[str, float], *, fell: bool) -> None:
        """Keep from where the counters of a page that is taken fell, until they are there again."""
        if fell:
            self._fell_from, self._pages_since_fall = sum(self._output.values()), 0
        elif sum(now.values()) >= self._fell_from:
            self._fell_from = float("inf")
        else:
            self._pages_since_fall += 1


def _most(elapsed: float, output: Series | None) -> float:
    """Return the most output that can have been made in so many seconds."""
    usual = None if output is None else output.middle_slope()
    return max(PLAUSIBLE_PER_SECOND, USUAL_RATES * (usual or 0.0)) * (elapsed + SLACK_SECONDS)
