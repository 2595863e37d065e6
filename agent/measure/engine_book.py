"""Engine readings into token totals and live series, per instance (T1, T2, T21, T22, T25)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from agent.measure.counters import Change
from agent.measure.counting import ALL
from agent.measure.efficiency import CADENCES_PER_WINDOW
from agent.measure.engine import UNKNOWN_MODEL, TokenKind
from agent.measure.engine_activity import ActivityBook
from agent.measure.engine_tokens import MAX_SERIES_PER_INSTANCE, PROCESS, EngineTokens, prefix_of
from agent.measure.engine_work import ACCEPTED, DRAFTED, OUTCOMES, EngineWork
from agent.measure.finish_period import FinishPeriod
from agent.measure.latency_book import LatencyBook
from agent.measure.live_output import LiveOutput
from agent.measure.series import Point, Series, max_gap_seconds
from agent.measure.snapshot import Activity, EngineFigures, TokenFigures
from agent.measure.strange_pages import Belief, StrangePages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.counting import Kinds
    from agent.measure.engine import EngineReading
    from agent.measure.latency_book import ModelLatencies
    from agent.measure.ledger import Ledger
    from agent.measure.model_tokens import ModelTokens
    from agent.measure.reading import Moment
    from agent.measure.series import Horizon

UNKNOWN_ENGINE = "unknown"
FOREIGN = (
    "a process that is older than its last page answers, and is not counted: "
    "several behind one address? give the URL of each"
)
STRANGE = (
    "its output tokens fell or leapt to what it cannot have made since its last page, which is not counted: "
    "several processes behind one address, or a cache? give the URL of each"
)
CADENCE_SECONDS = 60.0
"""A slower cadence is remembered for this long …"""
CADENCE_TICKS = 2.0
"""… or for so many ticks of it, whichever is more: windows still hold samples that were read at it."""


class EngineBook:
    """What is remembered of one engine instance between readings."""

    def __init__(
        self,
        instance: str,
        ledger: Ledger,
        horizon: Horizon,
        models: ModelTokens | None = None,
        latencies: ModelLatencies | None = None,
    ) -> None:
        self.instance = instance
        self.engine = UNKNOWN_ENGINE
        self.model = UNKNOWN_MODEL
        self.reading: EngineReading | None = None
        self.counted: Kinds = ALL
        """Kinds that enter the figures of node, model and rack (T13)."""
        self.cadence_seconds = 1.0
        """How often it is read; or how rarely its output counter moves, if that is longer."""
        self.series: dict[TokenKind, Series] = {}
        self.reset_monotonic_seconds: float | None = None
        self.note = ""
        """Why its page is not believed, for a person to read."""
        self._ledger = ledger
        self._horizon = horizon
        self._prefix = prefix_of(instance)
        self._totals = EngineTokens(instance, ledger, models)
        self._live = LiveOutput(self.total(TokenKind.OUTPUT))
        self._finishes = FinishPeriod()
        self._strange = StrangePages()
        self._work = EngineWork(instance, ledger)
        self._activity = ActivityBook()
        self.latencies = LatencyBook(latencies)
        self.ended: Mapping[str, float] = {}
        """Requests that ended since the page before the last, by outcome; without those that are none."""
        self.speculation: tuple[Series, Series] | None = None
        """Tokens that were guessed and taken, and all that were guessed; None while it tells of none."""
        self._cadences: deque[tuple[float, float]] = deque()
        """When a cadence was last in force, and that cadence."""

    def take(self, reading: EngineReading, cadence_seconds: float) -> bool:
        """Book one reading; tell whether a count begins with it: its process is the first, or another."""
        self.ended = {}
        if not self._believe(reading):
            return False
        belief = self._strange.judge(reading, self.series.get(TokenKind.OUTPUT))
        if belief is Belief.REFUSE:
            self.reading, self.note = None, f"{self.instance}: {STRANGE}"
            return False
        process = self._ledger.observe(
            f"{self._prefix}{PROCESS}", 0.0, reading.at, reading.epoch, adopted=belief is Belief.ADOPT
        ).change
        if process is Change.LATE:
            return False
        if process is Change.FOREIGN:
            self.reading, self.note = None, f"{self.instance}: {FOREIGN}"
            return False
        seen_again, self.reading = self.reading is None, reading
        self.engine, self.model = reading.engine, reading.model
        restarted = self._count(reading, process)
        if process in {Change.RESET, Change.ADOPTED}:
            self.latencies.restart(adopted=process is Change.ADOPTED)
        self.latencies.take(reading, counts=TokenKind.OUTPUT in self.counted)
        grown = self._work.take(reading, process)
        if grown:
            self.ended = {outcome: grown[outcome] for outcome in OUTCOMES if outcome in grown}
        self._activity.take(reading, self.live_output(), seen_again=seen_again)
        period_seconds = self._finishes.take(reading, self.total(TokenKind.OUTPUT))
        self._note_cadence(reading.at.monotonic_seconds, max(cadence_seconds, period_seconds))
        self._extend_series(reading)
        return restarted or process is Change.FIRST

    def miss(self) -> None:
        """Note that its source failed: nothing is known of it now."""
        self.reading = None
        self._finishes.miss()
        self.note = ""

    @property
    def begins(self) -> bool:
        """Whether it counts from the next page on only."""
        return self._totals.begins

    def begin_counting(self) -> None:
        """Count from the next page on: until then others have counted its tokens."""
        self._totals.begin_counting()

    def prune(self) -> None:
        """Forget what the engine no longer shows."""
        self._totals.prune()

    def figures(self, now: Moment, window_seconds: float) -> EngineFigures:
        """Return what outputs may see."""
        reading = self.reading
        window_seconds = max(window_seconds, CADENCES_PER_WINDOW * self.cadence_seconds)
        return EngineFigures(
            engine=self.engine,
            instance=self.instance,
            model=self.model,
            up=reading is not None,
            activity=self.activity(),
            reading=reading,
            tokens=() if reading is None else self._tokens(reading, now, window_seconds),
            restarts=self._ledger.total(f"{self._prefix}restarts") or 0.0,
            live={kind: series.last for kind, series in self.series.items() if series.last is not None},
            cadence_seconds=self.cadence_seconds,
            reset_monotonic_seconds=self.reset_monotonic_seconds,
            window_seconds=window_seconds,
            counted=self.counted,
            work=self._work.totals,
        )

    @property
    def work(self) -> Mapping[str, float]:
        """Totals of requests that it ever told of, by how they ended and otherwise."""
        return self._work.totals

    def activity(self) -> Activity:
        """Tell serving from idle, asleep and unknown (T4)."""
        reading = self.reading
        return Activity.UNKNOWN if reading is None else self._activity.activity(reading, self.cadence_seconds)

    def total(self, kind: TokenKind) -> float:
        """Return the exact total of one kind over all models."""
        return self._totals.of_kind(kind)

    def live_output(self) -> float:
        """Return output tokens up to now: the exact total and what unfinished requests have produced."""
        return self._live.total

    def _believe(self, reading: EngineReading) -> bool:
        """Refuse a page of more series than can be remembered: a part of them would be a wrong total."""
        series = len(reading.counters)
        if series <= MAX_SERIES_PER_INSTANCE:
            self.note = ""
            return True
        self.reading = None
        self.note = f"{self.instance} shows {series} token series, more than {MAX_SERIES_PER_INSTANCE}"
        return False

    def _count(self, reading: EngineReading, process: Change) -> bool:
        """Book every token series; tell whether the engine had restarted.

        Without an epoch one series that fell means that all began anew (T2).
        """
        fell, adopted = self._totals.fell(reading.counters), process is Change.ADOPTED
        restarted = fell or adopted or process is Change.RESET
        if restarted:
            self._note_reset(reading, adopted=adopted)
        self._totals.counted = self.counted
        self._totals.count(
            reading.counters,
            reading.at,
            reading.epoch,
            from_zero=process not in {Change.FIRST, Change.ADOPTED},
            restarted=fell and reading.epoch is None,
            adopted=adopted,
        )
        lost = self._live.take(reading, self.total(TokenKind.OUTPUT), process, restarted=restarted)
        if lost > 0.0:
            self._ledger.add(f"{self._prefix}unobserved/{TokenKind.OUTPUT}", lost, reading.at)
        return restarted

    def _note_reset(self, reading: EngineReading, *, adopted: bool) -> None:
        """Book the restart, and a bound of what was produced after the last page of the old process.

        An adopted process has produced all that it shows without being counted.
        """
        self.reset_monotonic_seconds = reading.at.monotonic_seconds
        self._ledger.add(f"{self._prefix}restarts", 1.0, reading.at)
        self._totals.restart()
        for kind in {*self.series, *(counter.kind for counter in reading.counters)}:
            bound = self._unseen(kind, reading.at.monotonic_seconds)
            if adopted:
                bound += sum(counter.value for counter in reading.counters if counter.kind is kind)
            self._ledger.add(f"{self._prefix}unobserved/{kind}", bound, reading.at)

    def _unseen(self, kind: TokenKind, until: float) -> float:
        """Estimate from above what the old process made since its last page: its steepest rate went on."""
        pending = self._live.pending if kind is TokenKind.OUTPUT else 0.0
        series = self.series.get(kind)
        if series is None or series.last is None:
            return pending
        last = series.last
        steepest = series.peak_slope(last.seconds - self._horizon.seconds, last.seconds)
        return (steepest or 0.0) * (until - last.seconds + last.spread_seconds) + pending

    def _note_cadence(self, seconds: float, cadence_seconds: float) -> None:
        """Take the slowest cadence of late: older samples still in the window were read at it."""
        cadences = self._cadences
        while cadences and seconds - cadences[0][0] > max(CADENCE_SECONDS, CADENCE_TICKS * cadences[0][1]):
            cadences.popleft()
        while cadences and cadences[-1][1] <= cadence_seconds:
            cadences.pop()
        cadences.append((seconds, cadence_seconds))
        self.cadence_seconds = cadences[0][1]
        self._horizon.stretch(self.cadence_seconds)

    def _extend_series(self, reading: EngineReading) -> None:
        spread = reading.at.monotonic_seconds - reading.asked_monotonic_seconds
        idle = reading.demand.running == 0 and not reading.demand.waiting
        kinds = {counter.kind for counter in reading.counters}
        for kind in kinds | {TokenKind.OUTPUT} if reading.counts_output else kinds:
            value = self.live_output() if kind is TokenKind.OUTPUT else self.total(kind)
            series = self.series.get(kind)
            if series is None:
                series = self.series[kind] = Series(self._horizon)
            step = 0.0 if idle else sum([c.resolution for c in reading.counters if c.kind is kind])
            series.add(Point(reading.at.monotonic_seconds, value, spread, step))
        self._extend_speculation(reading, spread)

    def _extend_speculation(self, reading: EngineReading, spread_seconds: float) -> None:
        if reading.drafted_tokens is None or reading.accepted_tokens is None:
            self.speculation = None
            return
        self.speculation = self.speculation or (Series(self._horizon), Series(self._horizon))
        for series, name in zip(self.speculation, (ACCEPTED, DRAFTED), strict=True):
            total = self._work.totals[name]
            series.add(Point(reading.at.monotonic_seconds, total, spread_seconds))

    def _tokens(self, reading: EngineReading, now: Moment, window_seconds: float) -> tuple[TokenFigures, ...]:
        """Return the figures of every model and kind on the page; what they share is reckoned once a kind."""
        resolutions: dict[tuple[str, TokenKind], float] = {}
        for counter in reading.counters:
            pair = (self._totals.label(counter.model), counter.kind)
            resolutions[pair] = resolutions.get(pair, 0.0) + counter.resolution
        kinds = {kind for _, kind in resolutions}
        unobserved = {kind: self._unobserved(kind) for kind in kinds}
        beyond = {kind: self._beyond(reading, kind, now, window_seconds) for kind in kinds}
        alone = len({model for model, _ in resolutions}) == 1
        rates = {kind: self._per_second(kind, window_seconds) if alone else None for kind in kinds}
        first = self._totals.label(reading.model)
        return tuple(
            [
                TokenFigures(
                    model=model,
                    kind=kind,
                    total=self._totals[model, kind],
                    uncertainty=None if (more := beyond[kind]) is None else resolution + more,
                    unobserved=unobserved[kind] if model == first or alone else 0.0,
                    per_second=rates[kind],
                )
                for (model, kind), resolution in sorted(resolutions.items())
            ]
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
        grown = series.grown(end - window_seconds, end, max_gap_seconds(self.cadence_seconds), bounded=False)
        return None if grown is None or grown.below_step else grown.amount / window_seconds

    def _beyond(
        self, reading: EngineReading, kind: TokenKind, now: Moment, window_seconds: float
    ) -> float | None:
        """Bound what the engine may have produced beyond its totals, until the next page is read."""
        if kind is TokenKind.OUTPUT and not reading.live:
            return None
        end = reading.at.monotonic_seconds
        steepest = self.series[kind].peak_slope(end - window_seconds, end)
        if steepest is None:
            return None
        pending = self._live.pending if kind is TokenKind.OUTPUT else 0.0
        unseen_seconds = now.monotonic_seconds - reading.asked_monotonic_seconds + self.cadence_seconds
        return pending + steepest * unseen_seconds
