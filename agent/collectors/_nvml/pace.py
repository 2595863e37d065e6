"""How often a group of calls may be made to one GPU, by what it costs."""

from __future__ import annotations

from collections import deque

LONGEST_SECONDS = 60.0
"""A group is never asked less often for its cost's sake: one GPU's calls are bounded by `call_timeout`."""

REMEMBERED = 5
"""The median of so many runs is the cost, so that one preempted run changes nothing."""


class Pace:
    """One group of calls to one GPU: its period grows until driver time is at most `share` of all."""

    def __init__(self, period_seconds: float, share: float, slack_seconds: float = 0.0) -> None:
        self._configured_seconds = period_seconds
        self._share = share
        self._slack_seconds = slack_seconds
        """Ticks jitter: a group is due when no more than this is missing; the mean period stays exact."""
        self._costs: deque[float] = deque(maxlen=REMEMBERED)
        self._next_seconds = float("-inf")
        self.due_seconds = float("-inf")
        """From when on it is time to ask again."""
        self.period_seconds = period_seconds

    def forget(self) -> None:
        """Start over: due at once, as often as configured."""
        self._costs.clear()
        self._next_seconds = self.due_seconds = float("-inf")
        self.period_seconds = self._configured_seconds

    def due(self, now_seconds: float) -> bool:
        """Whether it is time to ask again."""
        return now_seconds >= self.due_seconds

    def spent(self, now_seconds: float, cost_seconds: float) -> None:
        """Take account of a run that began at `now_seconds`."""
        self._costs.append(cost_seconds)
        configured = self._configured_seconds
        if self.period_seconds != configured or cost_seconds > self._share * configured:  # else it stays
            median = sorted(self._costs)[(len(self._costs) - 1) // 2]
            ceiling = max(configured, LONGEST_SECONDS)
            self.period_seconds = min(max(configured, median / self._share), ceiling)
        on_time = abs(now_seconds - self._next_seconds) < self.period_seconds
        self._next_seconds = (self._next_seconds if on_time else now_seconds) + self.period_seconds
        self.due_seconds = self._next_seconds - self._slack_seconds
