"""Engine readings into token totals and live series, per instance (T1, T2, T21, T22, T25)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from agent.measure.counters import Change
from agent.measure.engine import TokenKind
from agent.measure.series import Point, Series, max_gap_seconds
from agent.measure.snapshot import Activity, EngineFigures, TokenFigures

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading, TokenCounter
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment

UNKNOWN = "unknown"
CADENCE_SECONDS = 60.0
"""A slower cadence is remembered for this long: windows still hold samples that were read at it."""


class EngineBook:
    """What is remembered of one engine instance between readings."""

    def __init__(self, instance: str, ledger: Ledger, horizon_seconds: float) -> None:
        self.instance = instance
        self.engine = UNKNOWN
        self.model = UNKNOWN
        self.reading: EngineReading | None = None
        self.cadence_seconds = 1.0
        self.series: dict[TokenKind, Series] = {}
        self.reset_monotonic_seconds: float | None = None
        self._ledger = ledger
        self._horizon_seconds = horizon_seconds
        self._prefix = f"engine/{quote(instance, safe='')}/"
        self._keys: dict[tuple[TokenKind, str], str] = {}
        self._totals: dict[tuple[str, TokenKind], float] = {}
        self._pending = 0.0
        """Output tokens of requests that were unfinished on the last page."""
        self._hidden = 0.0
        """Output tokens that were only ever seen as pending, because the engine restarted on them."""
        self._cadences: deque[tuple[float, float]] = deque()
        """When a cadence was last in force, and that cadence."""
        self._recall()

    def take(self, reading: EngineReading, cadence_seconds: float) -> bool:
        """Book one reading; tell whether the engine had restarted."""
        process = self._ledger.observe(f"{self._prefix}process", 0.0, reading.at, reading.epoch).change
        if process is Change.LATE:
            return False
        if process is Change.FOREIGN:
            self.reading = None
            return False
        self.reading = reading
        self._note_cadence(reading.at.monotonic_seconds, cadence_seconds)
        self.engine, self.model = reading.engine, reading.model
        fell = any(self._fell(counter) for counter in reading.counters)
        restarted = fell or process in {Change.RESET, Change.ADOPTED}
        if restarted:
            self._note_reset(reading, adopted=process is Change.ADOPTED)
        self._count_all(reading, process, fell=fell)
        self._pending = reading.pending_output_tokens or 0.0
        self._extend_series(reading)
        return restarted

    def miss(self) -> None:
        """Note that its source failed: nothing is known of it now."""
        self.reading = None

    def figures(self, now: Moment, window_seconds: float) -> EngineFigures:
        """Return what outputs may see."""
        reading = self.reading
        return EngineFigures(
            engine=self.engine,
            instance=self.instance,
            model=self.model,
            up=reading is not None,
            activity=self.activity(),
            reading=reading,
            tokens=() if reading is None else self._tokens(reading, now, window_seconds),
            restarts=self._ledger.total(f"{self._prefix}restarts") or 0.0,
        )

    def activity(self) -> Activity:
        """Tell serving from idle, asleep and unknown (T4)."""
        reading = self.reading
        if reading is None:
            return Activity.UNKNOWN
        demand = reading.demand
        if demand.asleep:
            return Activity.ASLEEP
        if demand.running or demand.waiting or self._moved():
            return Activity.SERVING
        return Activity.UNKNOWN if demand.running is None else Activity.IDLE

    def total(self, kind: TokenKind) -> float:
        """Return the exact total of one kind over all models."""
        return sum(total for (_, of), total in self._totals.items() if of is kind)

    def live_output(self) -> float:
        """Return output tokens up to now: the exact total and what unfinished requests have produced."""
        return self.total(TokenKind.OUTPUT) + self._hidden + self._pending

    def _count_all(self, reading: EngineReading, process: Change, *, fell: bool) -> None:
        """Book every token series; without an epoch one that fell means that all began anew (T2).

        A series that appears later began at zero (T25). Raw counters are told apart by series alone: a
        model whose name was learned late, or lost for a moment, does not make its tokens new.
        """
        from_zero = process not in {Change.FIRST, Change.ADOPTED}
        added: dict[tuple[str, TokenKind], float] = {}
        for counter in reading.counters:
            step = self._ledger.observe(
                self._key(counter),
                counter.value,
                reading.at,
                reading.epoch,
                from_zero=from_zero,
                restarted=fell and reading.epoch is None,
                adopted=process is Change.ADOPTED,
            )
            pair = (counter.model, counter.kind)
            added[pair] = added.get(pair, 0.0) + step.delta
        for (model, kind), tokens in added.items():
            key = f"{self._prefix}tokens/{kind}/{quote(model, safe='')}"
            self._totals[model, kind] = self._ledger.add(key, tokens, reading.at)

    def _key(self, counter: TokenCounter) -> str:
        identity = (counter.kind, counter.series)
        if identity not in self._keys:
            self._keys[identity] = f"{self._prefix}raw/{counter.kind}/{quote(counter.series, safe='')}"
        return self._keys[identity]

    def _fell(self, counter: TokenCounter) -> bool:
        known = self._ledger.get(self._key(counter))
        return known is not None and counter.value < known.raw

    def _note_reset(self, reading: EngineReading, *, adopted: bool) -> None:
        """Book the restart, and a bound of what was produced after the last page of the old process.

        An adopted process has produced all that it shows without being counted.
        """
        self.reset_monotonic_seconds = reading.at.monotonic_seconds
        self._ledger.add(f"{self._prefix}restarts", 1.0, reading.at)
        for kind in {*self.series, *(counter.kind for counter in reading.counters)}:
            bound = self._unseen(kind, reading.at.monotonic_seconds)
            if adopted:
                bound += sum(counter.value for counter in reading.counters if counter.kind is kind)
            self._ledger.add(f"{self._prefix}unobserved/{kind}", bound, reading.at)
        self._hidden += self._pending

    def _unseen(self, kind: TokenKind, until: float) -> float:
        """Estimate from above what the old process made since its last page: its steepest rate went on."""
        pending = self._pending if kind is TokenKind.OUTPUT else 0.0
        series = self.series.get(kind)
        if series is None or series.last is None:
            return pending
        last = series.last
        steepest = series.peak_slope(last.seconds - self._horizon_seconds, last.seconds)
        return (steepest or 0.0) * (until - last.seconds + last.spread_seconds) + pending

    def _note_cadence(self, seconds: float, cadence_seconds: float) -> None:
        """Take the slowest cadence of late: older samples still in the window were read at it."""
        cadences = self._cadences
        while cadences and (cadences[0][0] < seconds - CADENCE_SECONDS or cadences[-1][1] <= cadence_seconds):
            cadences.popleft() if cadences[0][0] < seconds - CADENCE_SECONDS else cadences.pop()
        cadences.append((seconds, cadence_seconds))
        self.cadence_seconds = cadences[0][1]

    def _extend_series(self, reading: EngineReading) -> None:
        spread = reading.at.monotonic_seconds - reading.asked_monotonic_seconds
        idle = reading.demand.running == 0 and not reading.demand.waiting
        for kind in {TokenKind.OUTPUT, *(counter.kind for counter in reading.counters)}:
            value = self.live_output() if kind is TokenKind.OUTPUT else self.total(kind)
            series = self.series.setdefault(kind, Series(self._horizon_seconds))
            step = 0.0 if idle else sum(c.resolution for c in reading.counters if c.kind is kind)
            series.add(Point(reading.at.monotonic_seconds, value, spread, step))

    def _tokens(self, reading: EngineReading, now: Moment, window_seconds: float) -> tuple[TokenFigures, ...]:
        pairs = sorted({(counter.model, counter.kind) for counter in reading.counters})
        alone = len({model for model, _ in pairs}) == 1
        return tuple(
            TokenFigures(
                model=model,
                kind=kind,
                total=self._totals[model, kind],
                uncertainty=self._uncertainty(reading, kind, model, now, window_seconds),
                unobserved=self._unobserved(kind) if model == reading.model or alone else 0.0,
                per_second=self._per_second(kind, window_seconds) if alone else None,
            )
            for model, kind in pairs
        )

    def _unobserved(self, kind: TokenKind) -> float:
        """Return what may have been lost at restarts; told once, under the first model."""
        return self._ledger.total(f"{self._prefix}unobserved/{kind}") or 0.0

    def _per_second(self, kind: TokenKind, window_seconds: float) -> float | None:
        """Return the rate over the last window that this instance's own samples cover."""
        series = self.series.get(kind)
        if series is None or series.last is None:
            return None
        end = series.last.seconds
        grown = series.grown(end - window_seconds, end, max_gap_seconds(self.cadence_seconds))
        return None if grown is None or grown.below_step else grown.amount / window_seconds

    def _uncertainty(
        self, reading: EngineReading, kind: TokenKind, model: str, now: Moment, window_seconds: float
    ) -> float | None:
        """Bound what the engine may have produced beyond the total, until the next page is read."""
        if kind is TokenKind.OUTPUT and not reading.live:
            return None
        resolution = sum(c.resolution for c in reading.counters if (c.model, c.kind) == (model, kind))
        pending = self._pending if kind is TokenKind.OUTPUT else 0.0
        end = reading.at.monotonic_seconds
        steepest = self.series[kind].peak_slope(end - window_seconds, end)
        if steepest is None:
            return None
        unseen_seconds = now.monotonic_seconds - reading.asked_monotonic_seconds + self.cadence_seconds
        return resolution + pending + steepest * unseen_seconds

    def _moved(self) -> bool:
        """Tell whether output tokens came since the sample before the last."""
        series = self.series.get(TokenKind.OUTPUT)
        if series is None or series.last is None:
            return False
        end = series.last.seconds
        return bool(series.peak_slope(end, end))

    def _recall(self) -> None:
        """Take the totals of this instance from the kept book."""
        for key in self._ledger.keys(f"{self._prefix}tokens/"):
            kind, model = key.removeprefix(f"{self._prefix}tokens/").split("/")
            self._totals[unquote(model), TokenKind(kind)] = self._ledger.total(key) or 0.0
