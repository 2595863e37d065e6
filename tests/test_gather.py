"""When the sources of a node are read, relative to one another, and how often a snapshot is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import agent.gather
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


async def test_a_snapshot_is_made_at_once_when_every_source_has_told(gatherer, monkeypatch):
    monkeypatch.setattr(agent.gather, "BATCH_SECONDS", 60.0)
    await gatherer.set_collectors({"first": Ticking("first"), "second": Ticking("second")})
    async with asyncio.timeout(10.0):
        while gatherer.snapshot is None:
            await gatherer.reckon_once({})

    assert {outcome.source for outcome in gatherer.snapshot.outcomes} == {"first", "second"}


async def test_a_source_that_does_not_tell_is_not_waited_for_longer_than_a_batch(gatherer):
    silent = Ticking("silent")
    await gatherer.set_collectors({"first": Ticking("first"), "silent": silent})
    while gatherer.snapshot is None:
        await gatherer.reckon_once({})
    first, silent.interval_seconds = gatherer.snapshot, 3600.0
    await asyncio.sleep(0.6)  # its last tick at the old interval
    async with asyncio.timeout(10.0):
        for _ in range(4):
            await gatherer.reckon_once({})

    assert gatherer.snapshot.sequence - first.sequence == 4
