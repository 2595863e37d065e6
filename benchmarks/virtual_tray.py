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
    from agent.twin.scenario import Scenario

EPOCH_SECONDS = 1_000.0
"""Of the monotonic clock, when the twin begins."""
WALL_SECONDS = 1_760_000_000.0
FIRST_PORT = 8000
ANSWER_SECONDS = 0.004


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


class _Client:
    """Stands in for the HTTP client: the pages of the tray as it stands."""

    def __init__(self, node: VirtualNode) -> None:
        self._node = node

    async def get(self, url: str, *_: Any, **__: Any) -> Fetched:
        """Answer as the twin's server would."""
        return self._node.answer(url)

    async def close(self) -> None:
        """Hold nothing."""


class VirtualNode:
    """A node daemon on one tray; `run` lives through a scenario second by second."""

    def __init__(self, scenario: Scenario, number: int = 0) -> None:
        self.scenario, self.tray = scenario, Tray(scenario, number)
        self._lost = self._due = 0.0
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
        if self.tray.effects.off:
            raise SourceError(Reason.UNREACHABLE, f"{url}: connection refused")
        if self.tray.effects.gap:
            raise SourceError(Reason.TIMED_OUT, f"{url}: no answer")
        now = self._loop.time()
        body = self._gpus(now) if ":9745/" in url else self._engine(url)
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
                self._live(second)
                now = Moment(EPOCH_SECONDS + second, WALL_SECONDS + second)
                self._loop.now_seconds = now.monotonic_seconds
                self._loop.run_until_complete(self._read(now))
                later = Moment(now.monotonic_seconds + 0.02, now.unix_seconds + 0.02)
                self.snapshot = self._reckoner.snapshot(later, tuple(self._outcomes.values()), {})
                self.memory = diagnosed(self.memory, signs_of(self.snapshot))
                yield self._truth(second), self.memory.incidents
        finally:
            self._loop.close()

    def _live(self, second: int) -> None:
        for step in range((second - 1) * STEPS_PER_SECOND + 1, second * STEPS_PER_SECOND + 1):
            self.tray.advance(step)
            could = sum(engine.traits.capacity_mtps for engine in self.tray.engines)
            wanted = sum(engine.offered_mtps for engine in self.tray.engines)
            made = sum(engine.rates_mtps[0] for engine in self.tray.engines)
            self._due += min(could, wanted) / MILLI / STEPS_PER_SECOND
            self._lost += max(0.0, min(could, wanted) - made) / MILLI / STEPS_PER_SECOND

    def _truth(self, second: int) -> Truth:
        tokens = float(sum(engine.tokens(0)[0] for engine in self.tray.engines))
        return Truth(float(second), tokens, self._due, self._lost, tuple(self.tray.effects.faults))

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
