"""When the sources of a node are read, relative to one another, and how often a snapshot is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent.gather import Gatherer
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading

if TYPE_CHECKING:
    from agent.measure.snapshot import Snapshot


class Ticking:
    """A source that notes when it is read; a collector of itself and of a twin."""

    interval_seconds = 0.5
    timeout_seconds = 1.0

    def __init__(self, name: str, twin: Ticking | None = None) -> None:
        self.name = name
        self.read_at: list[float] = []
        self._twin = twin

    def sources(self, seen: Snapshot | None) -> list[Ticking]:
        return [self, *([self._twin] if self._twin else [])]

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:
        self.read_at.append(now.monotonic_seconds)
        return Reading(self.name, now)

    async def close(self) -> None:
        pass


@pytest.fixture
async def gatherer():
    gatherer = Gatherer("a", 0.5, NodeReckoner("a", "", 10.0, "boot:1", "run:1"))
    yield gatherer
    await gatherer.close()


async def test_sources_of_a_collector_wake_together_and_collectors_one_after_another(gatherer):
    second = Ticking("second/b")
    collectors = {"first": Ticking("first"), "second": Ticking("second/a", second), "third": Ticking("third")}
    await gatherer.set_collectors(collectors)
    phases = {name: running.loop._phase_seconds for name, running in gatherer._running.items()}

    apart = {name: round(phase - phases["first"], 6) for name, phase in phases.items()}
    assert apart == {"first": 0.0, "second/a": 0.02, "second/b": 0.02, "third": 0.04}


async def test_all_collectors_wake_within_what_is_reckoned_in_one_pass(gatherer):
    await gatherer.set_collectors({f"c{n}": Ticking(f"c{n}") for n in range(20)})
    phases = [running.loop._phase_seconds for running in gatherer._running.values()]

    assert max(phases) - min(phases) == pytest.approx(0.06)


async def test_snapshots_are_apart_however_often_there_is_news(gatherer):
    await gatherer.set_collectors({"first": Ticking("first")})
    made = []
    for _ in range(3):
        gatherer._news.set()
        await gatherer.reckon_once({})
        made.append(gatherer.snapshot.at.monotonic_seconds)

    assert made[1] - made[0] >= 0.2
    assert made[2] - made[1] >= 0.2
