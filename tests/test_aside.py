"""Work that may hang: an outcome at its deadline, a thread that can be left, and a process that ends."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from agent.aside import Aside, Lane

LONG = 30.0


@pytest.fixture
def lane():
    lane = Lane("test")
    yield lane
    lane.end()


@pytest.fixture
def hang():
    """Work that does not return before the test is over."""
    returns = threading.Event()
    yield returns
    returns.set()


async def seen(holds):
    ends = time.monotonic() + 5.0
    while not holds():
        assert time.monotonic() < ends
        await asyncio.sleep(0.005)


def fails():
    raise KeyError("no")


async def test_a_job_gives_what_it_returns_and_raises_what_it_raises(lane):
    assert await lane.run(lambda: 7, LONG) == 7
    with pytest.raises(KeyError, match="no"):
        await lane.run(fails, LONG)
    assert not lane.busy


async def test_jobs_are_done_in_their_order_and_in_one_thread(lane):
    order = []
    for number in range(20):
        lane.submit(lambda number=number: order.append((number, threading.get_ident())))
    await lane.run(lambda: None, LONG)

    assert [number for number, _ in order] == list(range(20))
    assert len({thread for _, thread in order}) == 1


async def test_a_job_that_hangs_is_a_timeout_at_its_deadline_and_keeps_the_lane_busy(lane, hang):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await lane.run(hang.wait, 0.05)

    assert 0.04 <= time.monotonic() - began < 2.0
    assert lane.busy
    assert 0.0 < time.monotonic() - lane.since_seconds < 5.0
    hang.set()
    await seen(lambda: not lane.busy)


async def test_one_that_hangs_is_left_behind_and_the_next_is_done_by_another_thread(lane, hang):
    with pytest.raises(TimeoutError):
        await lane.run(hang.wait, 0.05)
    back = []
    lane.leave(lambda: back.append(threading.get_ident()))
    other = await lane.run(threading.get_ident, LONG)
    left = lane.left_behind
    hang.set()
    await seen(lambda: lane.left_behind == 0)

    assert (left, len(back), lane.busy) == (1, 1, False)
    assert back[0] != other
    assert await lane.run(threading.get_ident, LONG) == other


async def test_what_a_job_that_was_left_behind_returns_is_given_to_nobody(lane, hang):
    job = lane.begin(lambda: hang.wait(LONG))
    await seen(lambda: lane.busy)
    await asyncio.sleep(0.02)
    lane.leave()
    hang.set()
    await seen(lambda: lane.left_behind == 0)
    await asyncio.sleep(0)

    assert not job.done


async def test_nothing_is_left_where_nothing_runs(lane):
    lane.leave()

    assert (lane.left_behind, lane.busy) == (0, False)


def test_a_job_that_has_not_begun_does_not_look_as_if_it_hung_since_the_last_one(monkeypatch):
    lane = Lane("test")
    monkeypatch.setattr(lane, "_start", lambda: None)
    lane.since_seconds = time.monotonic() - 1000.0
    lane.submit(lambda: None)

    assert lane.busy
    assert time.monotonic() - lane.since_seconds < 5.0


async def test_whoever_asks_while_work_runs_waits_for_the_same(hang):
    aside, runs = Aside("test"), []

    def work():
        runs.append(1)
        hang.wait(LONG)
        return len(runs)

    both = [asyncio.create_task(aside.run(work)) for _ in range(2)]
    await seen(lambda: aside.busy and runs)
    hang.set()

    assert await asyncio.gather(*both) == [1, 1]
    assert not aside.busy


async def test_one_who_gives_up_does_not_end_the_work_for_others(hang):
    aside = Aside("test")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(aside.run(lambda: hang.wait(LONG)), 0.02)
    other = asyncio.create_task(aside.run(fails))
    await asyncio.sleep(0)
    hang.set()

    assert await other is True


PROGRAM = """
import asyncio, threading
from agent.aside import Aside, Lane

async def main():
    for hung in (Lane("test").run(threading.Event().wait, 0.05), Aside("test").run(threading.Event().wait)):
        try:
            await asyncio.wait_for(hung, 0.1)
        except TimeoutError:
            print("late")

asyncio.run(main())
"""


def test_the_process_ends_while_work_hangs():
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=True
    )

    assert (told.stdout, told.stderr) == ("late\nlate\n", "")
    assert time.monotonic() - began < 10.0
