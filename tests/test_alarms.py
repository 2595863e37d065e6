"""One timer for many time limits: each rings at its own moment, and what was called off never does."""

import asyncio

import pytest

from agent.alarms import Alarms, TimeLimit


class Bell:
    def __init__(self):
        self.rang_seconds = None

    def ring(self):
        self.rang_seconds = asyncio.get_running_loop().time()


async def test_each_rings_at_its_own_moment_whatever_the_order_they_were_set_in():
    alarms, late, early = Alarms(), Bell(), Bell()
    began = asyncio.get_running_loop().time()
    alarms.set(late, began + 0.1)
    alarms.set(early, began + 0.03)
    await asyncio.sleep(0.2)

    assert 0.03 <= early.rang_seconds - began < 0.1
    assert late.rang_seconds - began >= 0.1


async def test_what_was_called_off_does_not_ring_and_what_is_set_after_it_does():
    alarms, first, second = Alarms(), Bell(), Bell()
    began = asyncio.get_running_loop().time()
    alarms.set(first, began + 0.02)
    alarms.call_off(first)
    alarms.set(second, began + 0.04)
    await asyncio.sleep(0.1)

    assert first.rang_seconds is None
    assert second.rang_seconds - began >= 0.04


async def test_a_limit_that_is_over_ends_what_its_task_does_and_no_other():
    alarms = Alarms()

    async def hangs(seconds):
        with TimeLimit(seconds, alarms):
            await asyncio.sleep(5.0)

    async def works():
        with TimeLimit(0.02, alarms):
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        return "worked"

    short, long, worked = await asyncio.gather(
        hangs(0.02), asyncio.wait_for(hangs(4.0), 0.1), works(), return_exceptions=True
    )

    assert isinstance(short, TimeoutError)
    assert isinstance(long, TimeoutError)
    assert worked == "worked"


async def test_a_cancellation_from_outside_stays_one():
    async def hangs():
        with TimeLimit(5.0, Alarms()):
            await asyncio.sleep(5.0)

    task = asyncio.create_task(hangs())
    await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
