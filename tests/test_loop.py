"""One source's life: tick, deadline, back-off, outcome."""

import asyncio
import itertools

import pytest

from agent.loop import BACK_OFF_CEILING_SECONDS, SourceLoop
from agent.measure.reading import Moment, Reading, Reason, SourceError

MOMENT = Moment(0.0, 0.0)


class FakeSource:
    """A source that plays a list of results: a reading, an exception, or 'hang'."""

    def __init__(self, *plays, interval=0.02, timeout=0.05, name="fake"):
        self.name = name
        self.interval_seconds = interval
        self.timeout_seconds = timeout
        self.calls = 0
        self._plays = itertools.chain(plays, itertools.repeat(plays[-1]))

    async def collect(self, now, seen):
        self.calls += 1
        play = next(self._plays)
        if play == "hang":
            await asyncio.sleep(3600)
        if isinstance(play, Exception):
            raise play
        return Reading(self.name, now)

    async def close(self):
        pass


class Deliveries:
    """Takes what a loop delivers."""

    def __init__(self):
        self.readings = []
        self.outcomes = []
        self.cadences = []

    def __call__(self, reading, outcome, cadence_seconds):
        self.readings.append(reading)
        self.outcomes.append(outcome)
        self.cadences.append(cadence_seconds)


@pytest.fixture
def deliveries():
    return Deliveries()


async def run_for(seconds, *loops):
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_good_collection_delivers_its_reading_and_an_ok_outcome(deliveries):
    await SourceLoop(FakeSource("good"), deliveries, lambda: None).once()

    assert deliveries.readings[0].source == "fake"
    assert deliveries.outcomes[0].ok
    assert deliveries.outcomes[0].last_success_unix_seconds is not None


async def test_a_failed_collection_delivers_no_reading_but_its_reason(deliveries):
    """T15: absent beats stale."""
    source = FakeSource(SourceError(Reason.UNREACHABLE, "nobody at 127.0.0.1:1"))
    await SourceLoop(source, deliveries, lambda: None).once()

    assert deliveries.readings == [None]
    assert deliveries.outcomes[0].reason is Reason.UNREACHABLE
    assert deliveries.outcomes[0].detail == "nobody at 127.0.0.1:1"
    assert deliveries.outcomes[0].last_success_unix_seconds is None


async def test_a_hanging_source_times_out(deliveries):
    await SourceLoop(FakeSource("hang"), deliveries, lambda: None).once()

    assert deliveries.outcomes[0].reason is Reason.TIMED_OUT
    assert "did not answer within 0.05 s" in deliveries.outcomes[0].detail


async def test_an_error_of_ours_is_counted_logged_and_survived(deliveries, caplog):
    loop = SourceLoop(FakeSource(ZeroDivisionError("oops"), "good"), deliveries, lambda: None)
    await loop.once()
    await loop.once()

    assert [outcome.reason for outcome in deliveries.outcomes] == [Reason.BUG, None]
    assert deliveries.outcomes[1].failures == {Reason.BUG: 1}
    assert "ZeroDivisionError" in caplog.text


async def test_a_hanging_source_does_not_delay_another():
    hung, good = Deliveries(), Deliveries()
    await run_for(
        0.5,
        SourceLoop(FakeSource("hang", timeout=10.0), hung, lambda: None),
        SourceLoop(FakeSource("good"), good, lambda: None),
    )

    assert hung.outcomes == []
    assert len(good.outcomes) >= 10


async def test_collections_of_one_source_never_overlap_nor_burst(deliveries):
    class Slow(FakeSource):
        active = 0
        most = 0

        async def collect(self, now, seen):
            Slow.active += 1
            Slow.most = max(Slow.most, Slow.active)
            await asyncio.sleep(0.05)
            Slow.active -= 1
            return Reading(self.name, now)

    source = Slow("good", interval=0.01, timeout=1.0)
    await run_for(0.5, SourceLoop(source, deliveries, lambda: None))

    assert Slow.most == 1
    assert len(deliveries.outcomes) <= 10


async def test_a_failing_source_is_asked_less_often_up_to_a_ceiling(deliveries):
    moments = itertools.count(1000.0, 0.0)
    source = FakeSource(SourceError(Reason.UNREACHABLE, ""), interval=1.0)
    loop = SourceLoop(source, deliveries, lambda: None, clock=lambda: Moment(next(moments), 0.0))
    waits = []
    for _ in range(6):
        await loop.once()
        waits.append(loop._until_next_tick())

    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert max(waits) == BACK_OFF_CEILING_SECONDS


async def test_ticks_of_all_sources_of_a_node_fall_together(deliveries):
    clock = itertools.chain([Moment(100.3, 0.0)] * 3, itertools.repeat(Moment(100.35, 0.0)))
    source = FakeSource("good", interval=1.0)
    loop = SourceLoop(source, deliveries, lambda: None, phase_seconds=0.25, clock=lambda: next(clock))
    await loop.once()

    assert 100.3 + loop._until_next_tick() == pytest.approx(101.25)


async def test_a_failure_is_logged_once_and_again_only_when_it_changes(deliveries, caplog):
    caplog.set_level("INFO", "rackwatt.loop")
    down, denied = SourceError(Reason.UNREACHABLE, "down"), SourceError(Reason.DENIED, "no key")
    loop = SourceLoop(FakeSource(down, down, denied, denied, "good", "good"), deliveries, lambda: None)
    for _ in range(6):
        await loop.once()

    assert [record.getMessage() for record in caplog.records] == [
        "source failed",
        "source failed",
        "source recovered",
    ]


async def test_the_cadence_grows_with_what_a_collection_takes(deliveries):
    class Slow(FakeSource):
        async def collect(self, now, seen):
            await asyncio.sleep(0.1)
            return Reading(self.name, now)

    await SourceLoop(Slow("good", interval=0.01, timeout=1.0), deliveries, lambda: None).once()

    assert deliveries.cadences[0] >= 0.1


async def test_a_reading_that_cannot_be_booked_is_counted_and_the_loop_goes_on(caplog):
    outcomes = []

    def deliver(reading, outcome, cadence_seconds):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            raise ValueError("not a total: nan")

    loop = SourceLoop(FakeSource("good"), deliver, lambda: None)
    await loop.once()
    first = loop.outcome
    await loop.once()

    assert (first.ok, first.reason) == (False, Reason.BUG)
    assert loop.outcome.ok
    assert loop.outcome.failures == {Reason.BUG: 1}
    assert "not a total: nan" in caplog.text
