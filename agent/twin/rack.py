"""All trays of a scenario at any moment: now, a while ago, or soon."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent.twin.grid import STEP_NS, STEPS_PER_SECOND
from agent.twin.tray import Tray

if TYPE_CHECKING:
    from agent.twin.scenario import Scenario

MARK_STEPS = 10 * STEPS_PER_SECOND
"""A copy of each tray is kept this often: the past is reckoned again from the copy before it."""
KEPT_MARKS = 180
"""Half an hour."""
AHEAD_STEPS = 600 * STEPS_PER_SECOND


class TooFarError(ValueError):
    """A moment that is not remembered, or too far ahead."""


class Rack:
    """The trays, as far as they have lived; times are nanoseconds since the start of the twin."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._trays = [Tray(scenario, number) for number in range(scenario.rack.trays)]
        self._marks: list[deque[Tray]] = [deque([tray.clone()], KEPT_MARKS) for tray in self._trays]

    def __len__(self) -> int:
        """Return the number of trays."""
        return len(self._trays)

    def tray(self, number: int, now_ns: int) -> tuple[Tray, int]:
        """Let a tray live up to now; return it and the nanoseconds since the beginning of its step."""
        step, rest_ns = divmod(max(0, now_ns), STEP_NS)
        tray = self._trays[number]
        if step < tray.step:
            return self.recalled(number, now_ns)
        while tray.step < step:
            mark = (tray.step // MARK_STEPS + 1) * MARK_STEPS
            tray.advance(min(step, mark))
            if tray.step == mark:
                self._marks[number].append(tray.clone())
        return tray, rest_ns

    def recalled(self, number: int, at_ns: int) -> tuple[Tray, int]:
        """Return a copy of a tray as it was, or will be. Raises TooFarError."""
        step, rest_ns = divmod(at_ns, STEP_NS)
        live = self._trays[number]
        if step > live.step + AHEAD_STEPS:
            raise TooFarError(f"at: is more than {AHEAD_STEPS // STEPS_PER_SECOND} s ahead")
        marks = (live, *reversed(self._marks[number]))
        mark = next((mark for mark in marks if mark.step <= step), None)
        if mark is None or at_ns < 0:
            seconds = self._marks[number][0].step / STEPS_PER_SECOND
            raise TooFarError(f"at: nothing is remembered before {seconds:g} s from the start of the twin")
        copy = mark.clone()
        copy.advance(step)
        return copy, rest_ns
