"""What is remembered of one power meter between readings: its total, its power, and whether both agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.coarse_meter import CoarseCounter
from agent.measure.energy import POWER_GAP_SECONDS, CrossCheck, PowerIntegral, Verdict
from agent.measure.series import Point, Series

if TYPE_CHECKING:
    from agent.measure.ledger import Ledger
    from agent.measure.meter import MeterReading
    from agent.measure.series import Horizon

COUNTER, COARSE, INTEGRATED = "counter", "coarse_counter", "integrated"
MAX_WATTS = 20_000.0
"""No part of a node draws this much: a counter that grows faster is not believed."""
MAX_RACK_WATTS = 2_000_000.0
"""The same of a rack."""


class MeterBook:
    """What is remembered of one meter between readings."""

    def __init__(
        self, key: str, ledger: Ledger, horizon: Horizon, max_watts: float = MAX_WATTS, reader: str = ""
    ) -> None:
        self.reader = reader
        """Name of the readings that tell of it."""
        self.sparse = False
        """It is read so rarely that nobody knows what happened between."""
        self.energy = Series(horizon)
        self.reading: MeterReading | None = None
        self.power_watts: float | None = None
        self.counts = False
        """It has a counter of its own."""
        self.mismatch = False
        """Its counter and its own power disagree (T9)."""
        self._check = CrossCheck()
        self._counted = self._integrated = 0.0
        self._key, self._ledger, self._horizon, self._max_watts = key, ledger, horizon, max_watts
        self._integral = PowerIntegral()
        self._counted_seconds: float | None = None
        self._coarse = CoarseCounter(f"{key}/coarse", ledger, max_watts)

    @property
    def total(self) -> float | None:
        """Joules since the meter was first seen, while rackwatt ran."""
        return self._ledger.total(self._key)

    def take(self, reading: MeterReading, gap_seconds: float = POWER_GAP_SECONDS) -> float:
        """Book one reading; return the joules that it adds. Power is integrated over gaps up to this long."""
        self.reading, self.sparse = reading, gap_seconds > POWER_GAP_SECONDS
        self.power_watts = reading.power_watts
        joules = None
        if reading.power_watts is not None:
            joules = self._integral.add(reading.at.monotonic_seconds, reading.power_watts, gap_seconds)
        if reading.energy_joules is not None:
            counted = self._count(reading, reading.energy_joules)
            self._verify(reading, counted, None if self.sparse else joules)
            return self._extend(reading, counted)
        if reading.power_watts is None:
            return 0.0
        if joules is None:
            self.energy = Series(self._horizon)
        self._extend(reading, joules or 0.0)
        added = self._count_coarsely(reading, joules)
        self._ledger.add(self._key, added, reading.at)
        return added

    @property
    def energy_by(self) -> str:
        """How its total is known: counter, coarse_counter or integrated."""
        if self.counts:
            return COUNTER
        coarse = self.reading is not None and self.reading.coarse_joules is not None
        return COARSE if coarse and not self._coarse.stuck else INTEGRATED

    @property
    def unverified(self) -> bool:
        """Whether nothing shows that its power is what flowed."""
        told = self.reading
        return told is not None and (self.sparse or told.unverified) and not self._coarse.verified

    def miss(self) -> None:
        """Note that its source failed, or does not name it any more."""
        self.reading, self.power_watts = None, None

    @property
    def up(self) -> bool:
        """Whether it told anything when it was last asked."""
        told = self.reading
        return told is not None and (told.power_watts is not None or told.energy_joules is not None)

    def _count_coarsely(self, reading: MeterReading, integrated: float | None) -> float:
        """Return what its total grows by: as a coarse counter says, else by integrated power."""
        if reading.coarse_joules is None:
            self._coarse.leave()
            return integrated or 0.0
        added = self._coarse.take(reading.coarse_joules, reading.at, integrated)
        self.mismatch = self._coarse.mismatch
        return added

    def _verify(self, reading: MeterReading, counted: float, integrated: float | None) -> None:
        """Compare its counter with its power, where it tells both."""
        if reading.power_watts is None:
            return
        if integrated is None:
            self._check.restart()
        self._counted, self._integrated = self._counted + counted, self._integrated + (integrated or 0.0)
        seconds = reading.at.monotonic_seconds
        verdict = self._check.add(seconds, self._counted, self._integrated, reading.power_watts)
        self.mismatch = verdict is Verdict.MISMATCH

    def _count(self, reading: MeterReading, raw: float) -> float:
        """Book a counter; without a power of its own that is what it grew by since the last reading."""
        at = reading.at
        step = self._ledger.observe(
            self._key, raw, at, adopted=not self.counts and self.total is not None, max_rate=self._max_watts
        )
        since, self._counted_seconds, self.counts = self._counted_seconds, at.monotonic_seconds, True
        elapsed = 0.0 if since is None else at.monotonic_seconds - since
        if reading.power_watts is None and elapsed > 0.0:
            self.power_watts = step.delta / elapsed
        return step.delta

    def _extend(self, reading: MeterReading, joules: float) -> float:
        last, seconds = self.energy.last, reading.at.monotonic_seconds
        if reading.energy_joules is None:
            seconds -= reading.mean_seconds / 2.0
        self.energy.add(Point(seconds, (0.0 if last is None else last.value) + joules))
        return joules
