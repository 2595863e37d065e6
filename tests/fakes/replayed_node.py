"""A node in virtual time whose engines and GPUs are what a test says: pages and readings, no twin.

The engines' pages go through the real collector, everything through the real reckoner and diagnosis.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agent.collectors import engines
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import signs_of
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Outcome, Reading, Reason, SourceError
from agent.wire.http import Fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.measure.gpu import GpuReading
    from agent.measure.host import HostReading
    from agent.measure.incident import Incident
    from agent.measure.snapshot import Snapshot

EPOCH_SECONDS = 1_000.0
WALL_SECONDS = 1_760_000_000.0
ANSWER_SECONDS = 0.004
FIRST_PORT = 8000


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until it is set."""

    now_seconds = EPOCH_SECONDS

    def time(self) -> float:
        """The virtual time."""
        return self.now_seconds


class ReplayedNode:
    """`run` lives second by second; `page` and `gpus` are asked each time and may raise SourceError."""

    def __init__(
        self,
        page: Callable[[int], bytes],
        gpus: Callable[[Moment], tuple[GpuReading, ...]] | None = None,
        engine_count: int = 1,
        host: Callable[[Moment], HostReading] | None = None,
    ) -> None:
        """`page` gives the page of the engine of that place."""
        self._page, self._gpus, self._host = page, gpus, host
        self._loop = VirtualLoop()
        targets = tuple(
            engines.Target(url=f"http://127.0.0.1:{FIRST_PORT + place}/metrics")
            for place in range(engine_count)
        )
        collector = engines.build(engines.Settings(targets=targets, discover=False))
        self._sources: list[Any] = list(collector.sources(None))
        for each in (collector, *self._sources):
            each._client = self  # the seam: what is beyond it is the network
        self._reckoner = NodeReckoner("node-a", "rack-a", 10.0, "boot", "run")
        others = ["nvml"] * bool(gpus) + ["host"] * bool(host)
        self._reckoner.expect([source.name for source in self._sources] + others)
        self._outcomes: dict[str, Outcome] = {}
        self.memory = Memory()
        self.snapshot: Snapshot | None = None

    async def get(self, url: str, *_: Any, **__: Any) -> Fetched:
        """Stand in for the HTTP client."""
        now = self._loop.time()
        body = self._page(int(url.split(":")[2].split("/", maxsplit=1)[0]) - FIRST_PORT)
        return Fetched(body, {}, now, now + ANSWER_SECONDS, now + ANSWER_SECONDS)

    async def close(self) -> None:
        """Hold nothing."""

    def run(self, first: int, last: int) -> Iterator[tuple[int, tuple[Incident, ...]]]:
        """Yield each second from the first to the last, and the incidents known then.

        What it takes is up to the caller: it lets engines live before the generator goes on.
        """
        for second in range(first, last + 1):
            now = Moment(EPOCH_SECONDS + second, WALL_SECONDS + second)
            self._loop.now_seconds = now.monotonic_seconds
            self._loop.run_until_complete(self._read(now))
            later = Moment(now.monotonic_seconds + 0.02, now.unix_seconds + 0.02)
            self.snapshot = self._reckoner.snapshot(later, tuple(self._outcomes.values()), {})
            self.memory = diagnosed(self.memory, signs_of(self.snapshot))
            yield second, self.memory.incidents

    def end(self) -> None:
        """Close the loop."""
        self._loop.close()

    async def _read(self, now: Moment) -> None:
        for source in self._sources:
            with self._told(source.name, now):
                self._reckoner.take(await source.collect(now, self.snapshot), source.interval_seconds)
        if self._gpus is not None:
            with self._told("nvml", now):
                self._reckoner.take(Reading("nvml", now, gpus=self._gpus(now)), 1.0)
        if self._host is not None:
            with self._told("host", now):
                self._reckoner.take(Reading("host", now, host=self._host(now)), 1.0)

    def _told(self, source: str, now: Moment) -> _Told:
        return _Told(self._reckoner, self._outcomes, source, now)


class _Told:
    """Notes how the asking of one source went."""

    def __init__(
        self, reckoner: NodeReckoner, outcomes: dict[str, Outcome], source: str, now: Moment
    ) -> None:
        self._reckoner, self._outcomes, self._source, self._now = reckoner, outcomes, source, now

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        reason: Reason | None = None
        if isinstance(error, SourceError):
            reason = error.reason
            self._reckoner.miss(self._source)
        elif error is not None:
            return False
        success = self._now.unix_seconds if reason is None else None
        self._outcomes[self._source] = Outcome(
            self._source, reason is None, reason, str(error or ""), ANSWER_SECONDS, success, {}
        )
        return True
