"""Whether an engine serves, by signs of life and proof of idleness rather than by gauges alone (T4, T12)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent.measure.snapshot import Activity

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading

IDLE_SHARE = 0.9
"""An engine that counts its idle time had nothing to do while that grew by this share of the time."""
IDLE_PROOF_SECONDS = 10.0
"""… of this much time at least: SGLang counts it about once a second."""
FROZEN_SECONDS = 30.0
"""An engine that has requests and counts its steps makes one in this time: a step takes a few seconds."""
SILENT_SECONDS = 120.0
"""One that counts only its tokens, as they come, makes one in this time: a long prompt takes a minute."""
FROZEN_CADENCES = 3.0
"""… or, both, in so many readings, if that is longer."""


class ActivityBook:
    """What one engine has shown of its work, page by page."""

    def __init__(self) -> None:
        self._output: float | None = None
        self._heartbeat: float | None = None
        self._idle: deque[tuple[float, float]] = deque()
        """Its idle time over the last seconds."""
        self._moved = False
        """Whether output tokens came since the page before."""
        self._alive_seconds = 0.0
        """When it last showed a token or a step, or had no requests."""
        self._busy_seconds = 0.0
        """When it last had requests or showed a token; or was seen again: nobody knows what was before."""

    def take(self, reading: EngineReading, output: float, *, seen_again: bool) -> None:
        """Book one page; `output` is the live total of its output tokens."""
        now, demand = reading.at.monotonic_seconds, reading.demand
        self._moved = self._output is not None and output > self._output
        stepped = demand.heartbeat is not None and demand.heartbeat != self._heartbeat
        has_work = bool(demand.running or demand.waiting)
        if self._moved or stepped or seen_again or not has_work:
            self._alive_seconds = now
        if self._moved or has_work or (demand.stale_seconds and (stepped or seen_again)):
            self._busy_seconds = now
        self._output, self._heartbeat = output, demand.heartbeat
        self._note_idle(now, demand.idle_seconds)

    def activity(self, reading: EngineReading, cadence_seconds: float) -> Activity:
        """Tell serving from idle, asleep and unknown, as of the last page, which is this one."""
        demand = reading.demand
        if demand.asleep:
            return Activity.ASLEEP
        if self._moved:
            return Activity.SERVING
        if self._is_proven_idle() and not demand.waiting:
            return Activity.IDLE
        if demand.running or demand.waiting:
            return Activity.UNKNOWN if self._is_frozen(reading, cadence_seconds) else Activity.SERVING
        quiet_seconds = reading.at.monotonic_seconds - self._busy_seconds
        if demand.running is None or (demand.stale_seconds and quiet_seconds <= demand.stale_seconds):
            return Activity.UNKNOWN
        return Activity.IDLE

    def _is_frozen(self, reading: EngineReading, cadence_seconds: float) -> bool:
        """Tell whether what it says of its requests is too old to believe: it shows no sign of life."""
        demand = reading.demand
        if demand.heartbeat is None and not reading.live:
            return False  # tokens come when requests end, and nothing else would show
        least = SILENT_SECONDS if demand.heartbeat is None else FROZEN_SECONDS
        bound = max(least, demand.stale_seconds, FROZEN_CADENCES * cadence_seconds)
        return reading.at.monotonic_seconds - self._alive_seconds > bound

    def _note_idle(self, now: float, idle_seconds: float | None) -> None:
        if idle_seconds is None or (self._idle and idle_seconds < self._idle[-1][1]):
            self._idle.clear()
        if idle_seconds is not None:
            self._idle.append((now, idle_seconds))
        while len(self._idle) > 1 and now - self._idle[1][0] >= IDLE_PROOF_SECONDS:
            self._idle.popleft()

    def _is_proven_idle(self) -> bool:
        if not self._idle:
            return False
        (since, before), (now, after) = self._idle[0], self._idle[-1]
        return now - since >= IDLE_PROOF_SECONDS and after - before >= IDLE_SHARE * (now - since)
