"""One tray of the twin and its node in virtual time: collectors, reckoner and diagnosis, without waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agent.collectors import engines, twin
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import signs_of
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Outcome, Reason, SourceError
from agent.twin.gpu_page import GpuPage
from agent.twin.grid import MILLI, NANO, STEPS_PER_SECOND
from agent.twin.tray import Tray
from agent.twin.vllm_page import Page
from agent.wire.http import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.measure.incident import Incident
    from agent.measure.snapshot import Snapshot
    from agent.twin.events import Event
    from agent.twin.scenario import Scenario

EPOCH_SECONDS = 1_000.0
"""Of the monotonic clock, when the twin begins."""
WALL_SECONDS = 1_760_000_000.0
FIRST_PORT = 8000
ANSWER_SECONDS = 0.004
LATER_SECONDS = 0.02
"""Between the pages and the reckoning."""
MINUTE_SECONDS = 60
GPUS, ENGINES, EVERYTHING, DRAINED = "gpus", "engines", "everything", "drained"


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until it is set."""

    now_seconds = EPOCH_SECONDS

    def time(self) -> float:
        """Return the virtual time."""
        return self.now_seconds


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of the tray in one second."""

    seconds: float
    """Since the twin began."""
    tokens: float
    """Output since then."""
    due_tokens: float
    """What a healthy tray would have made of what was asked for."""
    lost_tokens: float
    """What a healthy tray would have made beyond that, of what was asked for."""
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A source that tells nothing for some time: `gpus`, `engines` or everything; or a drained node."""

    source: str
    since: float
    until: float

    def holds(self, second: float) -> bool:
        """Whether it is that time."""
        return self.since <= second < self.until


def _is_near(event: Event, second: int) -> bool:
    """Whether an event may hold within the next minute."""
    if event.every is not None:
        return True
    ends = float("inf") if event.seconds is None else event.at + event.seconds + 1.0
    return event.at < second + MINUTE_SECONDS and ends >= second - 1.0


class _Client:
    """Stands in for the HTTP client: the pages of the tray as it stands."""

    def __init__(self, node: VirtualNode) -> None:
        self._node = node

    async def get(self, url: str, *_: Any, **__: Any) -> Fetched:
        """Answer as the twin's server would."""
        return self._node.answer(url)

    async def close(self) -> None:
        """Hold nothing."""


class TrayLife:
    """A tray, second by second, and what is true of it."""

    def __init__(self, scenario: Scenario, number: int, missing: tuple[Missing, ...]) -> None:
        self.scenario, self.tray = scenario, Tray(scenario, number)
        self._events, self._missing = self.tray.plan.events, missing
        self._near_missing: tuple[Missing, ...] = ()
        self._lost = self._due = 0.0

    def live(self, second: int) -> Truth:
        """Live through a second."""
        if second % MINUTE_SECONDS == 1:  # a day has many events, and each step looks at all there are
            self.tray.plan.events = tuple(each for each in self._events if _is_near(each, second))
            ends = second + MINUTE_SECONDS
            self._near_missing = tuple(m for m in self._missing if m.since < ends and m.until > second - 1)
        for step in range((second - 1) * STEPS_PER_SECOND + 1, second * STEPS_PER_SECOND + 1):
            self.tray.advance(step)
            could = wanted = made = 0
            for engine in self.tray.engines:
                could += engine.traits.capacity_mtps
                wanted += engine.offered_mtps
                made += engine.rates_mtps[0]
            due = min(could, wanted) / MILLI / STEPS_PER_SECOND
            self._due += due
            self._lost += max(0.0, due - made / MILLI / STEPS_PER_SECOND)
        tokens = float(sum(engine.tokens(0)[0] for engine in self.tray.engines))
        return Truth(float(second), tokens, self._due, self._lost, tuple(self.tray.effects.faults))

    def why_missing(self, source: str, second: float) -> Reason | None:
        """Return why a source tells nothing now; None while it does."""
        if self.tray.effects.off:
            return Reason.UNREACHABLE
        if self.tray.effects.gap:
            return Reason.TIMED_OUT
        away = any(each.source in {source, EVERYTHING} and each.holds(second) for each in self._near_missing)
        return Reason.TIMED_OUT if away else None

    def is_drained(self, second: float) -> bool:
        """Whether somebody has taken the node out."""
        return any(each.source == DRAINED and each.holds(second) for each in self._near_missing)


class VirtualNode(TrayLife):
    """A node daemon on one tray; `run` lives through a scenario second by second."""

    def __init__(self, scenario: Scenario, number: int = 0, missing: tuple[Missing, ...] = ()) -> None:
        super().__init__(scenario, number, missing)
        self._loop = VirtualLoop()
        model = scenario.rack.model(number)
        self._pages = [Page(model, engine.histograms) for engine in self.tray.engines]
        self._gpu_page = GpuPage(scenario, number)
        self._collectors = self._built(number)
        self._reckoner = NodeReckoner(f"tray-{number:02d}", scenario.rack.name, 10.0, "boot", "run")
        self._sources = [s for each in self._collectors for s in each.sources(None)]
        self._reckoner.expect(source.name for source in self._sources)
        self._outcomes: dict[str, Outcome] = {}
        self.memory = Memory()
        self.snapshot: Snapshot | None = None

    def _built(self, number: int) -> list[Any]:
        targets = tuple(
            engines.Target(url=f"http://127.0.0.1:{FIRST_PORT + place}/metrics")
            for place in range(len(self.tray.engines))
        )
        built = [
            twin.build(twin.Settings(url="http://127.0.0.1:9745", tray=number)),
            engines.build(engines.Settings(targets=targets, discover=False)),
        ]
        for each in built:
            each._client = _Client(self)  # noqa: SLF001  (the seam: what is beyond it is the network)
        for source in built[1].sources(None):
            source._client = _Client(self)  # noqa: SLF001
        return built

    def answer(self, url: str) -> Fetched:
        """Return the page of an address, or raise what a client would meet."""
        now, source = self._loop.time(), GPUS if ":9745/" in url else ENGINES
        reason = self.why_missing(source, now - EPOCH_SECONDS)
        if reason is not None:
            raise SourceError(reason, f"{url}: no answer")
        body = self._gpus(now) if source == GPUS else self._engine(url)
        return Fetched(body, {}, now, now + ANSWER_SECONDS, now + ANSWER_SECONDS)

    def _engine(self, url: str) -> bytes:
        place = int(url.split(":")[2].split("/", maxsplit=1)[0]) - FIRST_PORT
        engine = self.tray.engines[place]
        if engine.down:
            raise SourceError(Reason.UNREACHABLE, f"{url}: connection refused")
        started = round(WALL_SECONDS + engine.started_step / STEPS_PER_SECOND, 2)
        alive = (self.tray.step - engine.started_step) / STEPS_PER_SECOND
        return self._pages[place].render(engine, 0, started, alive)

    def _gpus(self, now: float) -> bytes:
        at_ns = round((now + ANSWER_SECONDS / 2) * NANO)
        gpus = self._gpu_page.plain(self.tray, 0, round(EPOCH_SECONDS * NANO))
        return orjson.dumps({"schema": 1, "monotonic_ns": at_ns, "gpus": gpus})

    def run(self, seconds: int) -> Iterator[tuple[Truth, tuple[Incident, ...]]]:
        """Yield the truth and the incidents of each second."""
        try:
            for second in range(1, seconds + 1):
                truth = self.live(second)
                now = Moment(EPOCH_SECONDS + second, WALL_SECONDS + second)
                self._loop.now_seconds = now.monotonic_seconds
                self._loop.run_until_complete(self._read(now))
                later = Moment(now.monotonic_seconds + LATER_SECONDS, now.unix_seconds + LATER_SECONDS)
                self._reckoner.drained = "by plan" if self.is_drained(second) else None
                self.snapshot = self._reckoner.snapshot(later, tuple(self._outcomes.values()), {})
                self.memory = diagnosed(self.memory, signs_of(self.snapshot))
                yield truth, self.memory.incidents
        finally:
            self._loop.close()

    async def _read(self, now: Moment) -> None:
        for source in self._sources:
            reason, detail = None, ""
            try:
                self._reckoner.take(await source.collect(now, self.snapshot), source.interval_seconds)
            except SourceError as error:
                reason, detail = error.reason, error.detail
                self._reckoner.miss(source.name)
            self._outcomes[source.name] = Outcome(
                source=source.name,
                ok=reason is None,
                reason=reason,
                detail=detail,
                duration_seconds=ANSWER_SECONDS,
                last_success_unix_seconds=now.unix_seconds if reason is None else None,
                failures={},
            )
