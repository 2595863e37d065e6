"""The rack of a running daemon: what is told was kept before."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.rack_node import OUTPUT, RackNode

from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.reading import Moment
from agent.rack_desk import RackDesk
from agent.store import RACK_FILE_NAME, Store

URL = "http://a:9744"
NOW = Moment(3.1, 0.0)


@pytest.fixture
def reckoner():
    rack = RackReckoner(RackPlan(), 10.0)
    rack.expect([URL])
    for second in range(4):
        rack.take(URL, RackNode("a").reading(float(second)), 1.0)
    return rack


async def test_t1_what_members_told_is_on_disk_before_anybody_is_told(tmp_path, reckoner):
    """Killed together with a member, the rack's total must not fall below what it has shown."""
    desk = RackDesk(reckoner, RackPlan(), Store(tmp_path, RACK_FILE_NAME))
    told = await desk.reckon(NOW, "own")
    after = RackReckoner(RackPlan(), 10.0)
    after.load(Store(tmp_path, RACK_FILE_NAME).load().state)

    assert desk.snapshot is told
    assert after.snapshot(NOW, "own").tokens_total == told.tokens_total
    assert told.tokens_total[OUTPUT] > 0


async def test_a_disk_that_hangs_does_not_keep_the_rack_from_being_told(tmp_path, reckoner):
    class HangingStore(Store):
        hangs = threading.Event()

        def save(self, state):
            self.hangs.wait(10.0)

    desk = RackDesk(reckoner, RackPlan(), HangingStore(tmp_path, RACK_FILE_NAME))
    told = await desk.reckon(NOW, "own")
    HangingStore.hangs.set()

    assert desk.snapshot is told


async def test_an_executor_without_a_free_thread_does_not_keep_the_rack_from_being_told(tmp_path, reckoner):
    free = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        hung = asyncio.create_task(asyncio.to_thread(free.wait, 30.0))
        await asyncio.sleep(0)
        desk = RackDesk(reckoner, RackPlan(), Store(tmp_path, RACK_FILE_NAME))
        async with asyncio.timeout(20.0):
            told = await desk.reckon(NOW, "own")
        assert not hung.done()
        free.set()
        await hung

    assert desk.snapshot is told
