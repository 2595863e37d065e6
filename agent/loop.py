"""One source's life: tick, deadline, back-off, outcome. A source can hang without delaying another."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING

from agent.alarms import Alarms, TimeLimit
from agent.measure.ports import Staggered
from agent.measure.reading import Moment, Outcome, Reading, Reason, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.measure.ports import Source
    from agent.measure.snapshot import Snapshot

log = logging.getLogger("rackwatt.loop")

BACK_OFF_CEILING_SECONDS = 5.0
"""A failing source is asked at least this often, so that its return is seen soon …"""
BACK_OFF_FACTOR = 2.0
"""… after waits that double from its own interval."""
GRACE_SECONDS = 0.75
"""A source names its own time-outs better than we can, and may read on for a little: ours comes later."""


def now() -> Moment:
    """Return this moment on both clocks."""
    return Moment(time.monotonic(), time.time())


class SourceLoop:
    """Reads one source until cancelled, and delivers each reading with its outcome."""

    def __init__(
        self,
        source: Source,
        deliver: Callable[[Reading | None, Outcome, float], None],
        seen: Callable[[], Snapshot | None],
        phase_seconds: float = 0.0,
        delay_seconds: float = 0.0,
        clock: Callable[[], Moment] = now,
        alarms: Alarms | None = None,
    ) -> None:
        """`phase_seconds` is shared by all loops of a node: they wake together, nodes do not. So are alarms.

        The first reading comes after `delay_seconds`.
        """
        self.source = source
        self._staggered = source if isinstance(source, Staggered) else None
        """Asked once: looking for the protocol's members takes longer than all else of a tick."""
        self.outcome: Outcome | None = None
        self._deliver = deliver
        self._seen = seen
        self._phase_seconds = phase_seconds
        self._delay_seconds = delay_seconds
        self._clock = clock
        self._alarms = alarms or Alarms()
        self._failures: dict[Reason, int] = {}
        self._in_a_row = 0
        self._last_success: float | None = None

    async def run(self) -> None:
        """Collect at every tick until cancelled. A late tick delays the next: none bursts or overlaps."""
        if self._delay_seconds:
            await asyncio.sleep(self._delay_seconds)
        while True:
            await self.once()
            await asyncio.sleep(self._until_next_tick())

    async def once(self) -> None:
        """Collect once and deliver what came of it."""
        began = self._clock()
        reading: Reading | None = None
        reason: Reason | None = None
        detail = ""
        try:
            with TimeLimit(self.source.timeout_seconds + GRACE_SECONDS, self._alarms):
                reading = await self.source.collect(began, self._seen())
        except SourceError as error:
            reason, detail = error.reason, error.detail
        except TimeoutError:
            reason = Reason.TIMED_OUT
            detail = f"{self.source.name} did not answer within {self.source.timeout_seconds:g} s"
        except Exception as error:  # noqa: BLE001  (the one place: counted, logged with its traceback, survived)
            reason, detail = Reason.BUG, self._bug(error)
        self._hand_over(began, reading, reason, detail)

    def _hand_over(self, began: Moment, reading: Reading | None, reason: Reason | None, detail: str) -> None:
        """Deliver a reading with its outcome; one that cannot be booked counts as failed."""
        previous = self.outcome
        if reason is None:
            self.outcome = self._outcome(began, None, "")
            try:
                self._deliver(reading, self.outcome, self.cadence_seconds)
            except Exception as error:  # noqa: BLE001  (as above: a reading that cannot be booked)
                reason, detail = Reason.BUG, self._bug(error)
            else:
                self._in_a_row = 0
        if reason is not None:
            self._in_a_row += 1
            self._failures[reason] = self._failures.get(reason, 0) + 1
            self.outcome = self._outcome(began, reason, detail)
            self._deliver(None, self.outcome, self.cadence_seconds)
        self._tell_change(previous)

    def _outcome(self, began: Moment, reason: Reason | None, detail: str) -> Outcome:
        ended = self._clock()
        if reason is None:
            self._last_success = ended.unix_seconds
        return Outcome(
            source=self.source.name,
            ok=reason is None,
            reason=reason,
            detail=detail,
            duration_seconds=ended.monotonic_seconds - began.monotonic_seconds,
            last_success_unix_seconds=self._last_success,
            failures=dict(self._failures),
        )

    def _bug(self, error: Exception) -> str:
        """Log an error of ours with its traceback, once until it changes; return its text."""
        detail = f"{type(error).__name__}: {error}"
        if self.outcome is None or self.outcome.detail != detail:
            facts = {"source": self.source.name}
            log.error("source failed by an error of rackwatt", extra=facts, exc_info=error)
        return detail

    @property
    def cadence_seconds(self) -> float:
        """How often the source is read now, with what slows it down."""
        last = self.outcome.duration_seconds if self.outcome is not None else 0.0
        return max(self.source.interval_seconds, last)

    def _until_next_tick(self) -> float:
        """Return the wait to the next multiple of the interval, longer while the source fails."""
        moment = self._clock().monotonic_seconds
        interval = self.source.interval_seconds
        if self._in_a_row:
            doubled = interval * BACK_OFF_FACTOR ** min(self._in_a_row - 1, 16)
            interval = max(interval, min(doubled, BACK_OFF_CEILING_SECONDS))
        phase = self._phase_seconds
        if self._staggered is not None:
            phase += self._staggered.phase_ratio * self.source.interval_seconds
        next_tick = math.floor((moment - phase) / interval) + 1
        return next_tick * interval + phase - moment

    def _tell_change(self, previous: Outcome | None) -> None:
        """Log a failure once, and again only when its reason changes; log the recovery."""
        outcome = self.outcome
        if outcome is None or (previous is not None and previous.reason is outcome.reason):
            return
        facts = {"source": outcome.source, "reason": outcome.reason, "detail": outcome.detail}
        if not outcome.ok:
            log.warning("source failed", extra=facts)
        elif previous is not None:
            log.info("source recovered", extra=facts)
