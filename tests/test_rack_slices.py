"""The rack of a running daemon: reckoned a slice at a time, and kept when a member leaves."""

import asyncio

import pytest
from fakes.rack_node import OUTPUT, RackNode

from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.reading import Moment
from agent.rack_desk import RackDesk
from agent.store import Store

FLUSH_SECONDS = 10.0


class Desk:
    """A desk over a folder, with members that are polled by hand."""

    def __init__(self, folder, count=2):
        self.nodes = {f"http://n{number}:9744": RackNode(f"n{number}") for number in range(count)}
        self.folder = folder
        self.reckoner = RackReckoner(RackPlan(), 10.0)
        self.reckoner.expect(self.nodes)
        self.desk = RackDesk(self.reckoner, RackPlan(), Store(folder, "rack.json"))

    def poll(self, seconds, without=()):
        for url, node in self.nodes.items():
            if node.name in without:
                self.reckoner.miss(url, "unreachable: hung up")
            else:
                self.reckoner.take(url, node.reading(seconds), 1.0)

    async def reckon(self, seconds):
        return await self.desk.reckon(Moment(seconds, 0.0), "own")

    def kept(self):
        """What a daemon would find that starts now, after a kill."""
        assert self.desk.flush(FLUSH_SECONDS)
        return Store(self.folder, "rack.json").load().state


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def large(desk, monkeypatch):
    """A rack so large that it is not kept before each telling."""
    monkeypatch.setattr("agent.rack_desk.KEEP_MEMBER_SECONDS", 1000.0)
    return desk


async def test_what_a_member_told_is_kept_as_soon_as_it_leaves(large):
    large.poll(0.0)
    await large.reckon(0.1)
    first = large.kept()
    large.poll(1.0)
    await large.reckon(1.1)
    quiet = large.kept()
    large.poll(2.0, without=("n1",))
    rack = await large.reckon(2.1)
    again = RackReckoner(RackPlan(), 10.0)
    again.load(large.kept())

    assert quiet == first
    assert again.snapshot(Moment(2.1, 0.0), "own").tokens_total == {OUTPUT: rack.tokens_total[OUTPUT]}


async def test_a_member_that_stays_away_is_kept_once(large, monkeypatch):
    large.poll(0.0)
    await large.reckon(0.1)
    saved = []
    monkeypatch.setattr(large.desk, "save", lambda: saved.append(1))
    for second in range(1, 6):
        large.poll(float(second), without=("n1",))
        await large.reckon(second + 0.1)

    assert saved == [1]


async def test_what_is_told_while_the_rack_is_reckoned_is_booked_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.rack_desk.SLICE_SECONDS", 0.0)
    desk = Desk(tmp_path, count=150)
    desk.poll(1.0)
    reckoning = asyncio.create_task(desk.reckon(1.1))
    await asyncio.sleep(0)
    desk.poll(2.0)
    first = await reckoning
    second = await desk.reckon(2.1)

    assert first.tokens_total[OUTPUT] == pytest.approx(150 * 751.0)
    assert second.tokens_total[OUTPUT] == pytest.approx(150 * 1751.0)


async def test_a_reckoning_that_is_cancelled_loses_nothing_of_what_was_told(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.rack_desk.SLICE_SECONDS", 0.0)
    desk = Desk(tmp_path, count=150)
    desk.poll(1.0)
    reckoning = asyncio.create_task(desk.reckon(1.1))
    await asyncio.sleep(0)
    desk.poll(2.0)
    reckoning.cancel()
    await asyncio.wait({reckoning})

    assert reckoning.cancelled()
    assert (await desk.reckon(2.1)).tokens_total[OUTPUT] == pytest.approx(150 * 1751.0)
