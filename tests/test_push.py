"""The loop of an exporter that pushes: bounded, in order, counted, and no one's delay."""

import asyncio
import threading
import time

import pytest

from agent.measure.push import Batch, Loss, PushError
from agent.measure.reading import Reason, SourceError
from agent.push import Pushes, PushLoop

AWAY = PushError(Reason.UNREACHABLE, "nobody there")
NO_USE = PushError(Reason.MALFORMED, "not so", again=False)


class Seen:
    """Snapshots of nothing but a number."""

    def __init__(self):
        self.sequence = 0

    def __call__(self):
        self.sequence += 1
        return self


class FakePusher:
    """Sends to a list; fails as it is told to."""

    interval_seconds = 0.01
    timeout_seconds = 1.0

    def __init__(self, buffer_bytes=1000, fault=None, refused=0):
        self.buffer_bytes = buffer_bytes
        self.fault = fault
        self.refused = refused
        self.sent = []
        self.closed = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.bug = None

    def encode(self, snapshot):
        if self.bug is not None:
            raise self.bug
        return Batch(b"%09d|" % snapshot.sequence, 7)

    async def send(self, batch):
        await self.hold.wait()
        if self.fault is not None:
            raise self.fault
        self.sent.append(int(batch.body[:-1]))
        return self.refused

    async def close(self):
        self.closed += 1


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("agent.push.FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("agent.push.LONGEST_WAIT_SECONDS", 0.02)


@pytest.fixture
async def running(quick):
    """Start a loop; stop it at the end."""
    tasks = []

    def start(pusher):
        loop = PushLoop("otlp", pusher, Seen())
        tasks.append(asyncio.create_task(loop.run()))
        return loop

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def until(true, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


async def test_every_snapshot_is_sent_once_and_in_order(running):
    pusher = FakePusher()
    loop = running(pusher)
    await until(lambda: len(pusher.sent) > 5)

    assert pusher.sent == list(range(1, len(pusher.sent) + 1))
    assert loop.figures.pushes["delivered"] == len(pusher.sent)
    assert loop.figures.lost_points == {}


async def test_a_snapshot_that_was_taken_is_not_taken_again(quick):
    seen = Seen()
    first = seen()
    pusher = FakePusher()
    loop = PushLoop("otlp", pusher, lambda: first)
    task = asyncio.create_task(loop.run())
    await until(lambda: pusher.sent)
    await asyncio.sleep(0.1)
    task.cancel()

    assert pusher.sent == [1]


async def test_what_a_receiver_missed_is_sent_in_order_when_it_is_back(running):
    pusher = FakePusher(fault=AWAY)
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("unreachable", 0) > 3)
    pusher.fault = None
    await until(lambda: len(pusher.sent) > 8)

    assert pusher.sent == list(range(1, len(pusher.sent) + 1))
    assert loop.figures.lost_points == {}


async def test_the_oldest_goes_when_the_buffer_is_full_and_each_point_is_counted(running):
    pusher = FakePusher(buffer_bytes=50, fault=AWAY)
    loop = running(pusher)
    await until(lambda: loop.figures.lost_points.get(Loss.OVERFLOW, 0) >= 70)
    most = loop.figures.waiting_bytes
    pusher.fault = None
    await until(lambda: len(pusher.sent) > 8)
    missing = pusher.sent[0] - 1

    assert most <= 50
    assert loop.figures.lost_points == {Loss.OVERFLOW: 7 * missing}
    assert pusher.sent == list(range(missing + 1, missing + 1 + len(pusher.sent)))


async def test_one_that_never_answers_holds_one_batch_and_the_buffer(running):
    pusher = FakePusher(buffer_bytes=50)
    pusher.hold.clear()
    loop = running(pusher)
    await until(lambda: loop.figures.lost_points.get(Loss.OVERFLOW, 0) >= 70)

    assert loop.figures.waiting_bytes <= 60


async def test_a_batch_that_is_of_no_use_is_lost_and_the_next_is_sent(running):
    pusher = FakePusher(fault=NO_USE)
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("malformed", 0) >= 2)
    pusher.fault = None
    await until(lambda: len(pusher.sent) > 2)

    assert loop.figures.lost_points == {Loss.REFUSED: 7 * loop.figures.pushes["malformed"]}
    assert pusher.sent[0] == loop.figures.pushes["malformed"] + 1


async def test_points_that_the_receiver_took_without_wanting_them_are_lost(running):
    pusher = FakePusher(refused=3)
    loop = running(pusher)
    await until(lambda: len(pusher.sent) > 1)

    assert loop.figures.lost_points[Loss.REFUSED] == 3 * loop.figures.pushes["delivered"]


async def test_a_receiver_that_asks_for_peace_gets_it(running, monkeypatch):
    pusher = FakePusher(fault=PushError(Reason.UNREACHABLE, "busy", after_seconds=0.3))
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("unreachable", 0) == 1)
    pusher.fault = None
    await asyncio.sleep(0.15)
    early = list(pusher.sent)
    await until(lambda: pusher.sent)

    assert early == []


async def test_waits_grow_up_to_the_longest(monkeypatch):
    waits = []
    monkeypatch.setattr("agent.push.LONGEST_WAIT_SECONDS", 5.0)
    monkeypatch.setattr("agent.push.JITTER", 0.0)
    pusher = FakePusher(fault=AWAY)
    loop = PushLoop("otlp", pusher, Seen())
    await loop._take()
    for _ in range(5):
        await loop._send_oldest()
        waits.append(round(loop._not_before - time.monotonic(), 1))

    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


@pytest.mark.parametrize("where", ["encode", "send"])
async def test_a_bug_of_an_exporter_is_counted_logged_once_and_survived(running, caplog, where):
    pusher = FakePusher()
    setattr(pusher, {"encode": "bug", "send": "fault"}[where], ZeroDivisionError("ours"))
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("bug", 0) > 3)
    pusher.bug = pusher.fault = None
    await until(lambda: pusher.sent)

    assert caplog.text.count("Traceback") == 1


async def test_a_failure_is_logged_once_and_again_when_it_changes(running, caplog):
    pusher = FakePusher(fault=AWAY)
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("unreachable", 0) > 3)
    pusher.fault = SourceError(Reason.DENIED, "who are you")
    await until(lambda: loop.figures.pushes.get("denied", 0) > 3)

    assert [record.reason for record in caplog.records] == ["unreachable", "denied"]


async def test_the_end_sends_the_last_snapshot_and_what_waits(quick):
    pusher, seen = FakePusher(fault=AWAY), Seen()
    pushes = Pushes(seen, lambda _: None)
    await pushes.set({"otlp": pusher}, 1.0)
    await until(lambda: pushes.figures()[0].waiting_bytes > 30)
    pusher.fault = None
    await pushes.close(1.0)

    assert pusher.sent == list(range(1, seen.sequence + 1))
    assert pusher.closed == 1


async def test_the_end_comes_in_time_and_counts_what_could_not_be_sent(quick, caplog):
    pusher = FakePusher()
    pusher.hold.clear()
    loop = PushLoop("otlp", pusher, Seen())
    task = asyncio.create_task(loop.run())
    await until(lambda: loop.figures.waiting_bytes >= 30)
    task.cancel()
    await asyncio.wait({task})
    began = asyncio.get_running_loop().time()
    await loop.close(0.2)

    assert asyncio.get_running_loop().time() - began < 0.5
    assert loop.figures.lost_points[Loss.STOPPED] == 7 * loop.figures.waiting_bytes / 10
    assert pusher.closed == 1


async def test_another_pusher_takes_over_with_what_waits_and_without_a_pause(quick):
    old, new = FakePusher(fault=PushError(Reason.UNREACHABLE, "busy", after_seconds=60.0)), FakePusher()
    pushes = Pushes(Seen(), lambda _: None)
    await pushes.set({"otlp": old}, 1.0)
    await until(lambda: pushes.figures()[0].waiting_bytes > 50)
    await pushes.set({"otlp": new}, 1.0)
    await until(lambda: len(new.sent) > 5)
    await pushes.close(1.0)

    assert (new.sent[0], old.sent, old.closed, new.closed) == (1, [], 1, 1)


async def test_an_end_right_after_a_change_sends_by_the_new_one(quick):
    old, new, seen = FakePusher(), FakePusher(), Seen()
    old.hold.clear()
    loop = PushLoop("otlp", old, seen)
    task = asyncio.create_task(loop.run())
    await until(lambda: loop.figures.waiting_bytes > 20)
    task.cancel()
    await asyncio.wait({task})
    loop.use(new)
    await loop.close(1.0)

    left_out = set(range(1, seen.sequence + 1)) - set(new.sent)
    assert left_out <= {seen.sequence - 1}  # one that was being encoded gives way to the newest
    assert (new.sent[-1], old.sent) == (seen.sequence, [])
    assert (old.closed, new.closed) == (1, 1)


async def test_a_snapshot_that_is_being_encoded_at_the_end_is_sent(quick):
    class Slow(FakePusher):
        def encode(self, snapshot):
            begun.set()
            time.sleep(0.05)
            return super().encode(snapshot)

    begun, pusher, seen = threading.Event(), Slow(), Seen()
    seen()
    loop = PushLoop("otlp", pusher, lambda: seen)
    task = asyncio.create_task(loop.run())
    await until(begun.is_set)
    task.cancel()
    await asyncio.wait({task})
    await loop.close(1.0)

    assert pusher.sent == [1]


async def test_one_that_is_named_no_more_stops(quick):
    pusher = FakePusher()
    pushes = Pushes(Seen(), lambda _: None)
    await pushes.set({"otlp": pusher}, 1.0)
    await pushes.set({}, 1.0)

    assert (pushes.figures(), pusher.closed) == ((), 1)
    await pushes.close(1.0)


async def test_one_that_stays_is_not_touched(quick):
    pusher = FakePusher()
    pushes = Pushes(Seen(), lambda _: None)
    await pushes.set({"otlp": pusher}, 1.0)
    await pushes.set({"otlp": pusher}, 1.0)
    await until(lambda: len(pusher.sent) > 2)

    assert pusher.closed == 0
    await pushes.close(1.0)


class Telling(FakePusher):
    """Each batch tells everything; there is one only when something is new."""

    def encode(self, snapshot):
        if snapshot.sequence % 3:
            return None
        return Batch(b"%09d|" % snapshot.sequence, 1, replaces=True, lost=2 * (snapshot.sequence == 9))


async def test_where_each_batch_tells_everything_only_the_newest_is_sent_and_none_is_lost(running):
    pusher = Telling(fault=AWAY)
    loop = running(pusher)
    await until(lambda: loop.figures.pushes.get("unreachable", 0) > 3)
    most = loop.figures.waiting_bytes
    pusher.fault = None
    await until(lambda: len(pusher.sent) > 3)

    assert most <= 20
    assert pusher.sent[0] >= 6
    assert all(number % 3 == 0 for number in pusher.sent)
    assert loop.figures.lost_points.get(Loss.OVERFLOW, 0) in {0, 2}
    assert Loss.REFUSED not in loop.figures.lost_points


async def test_what_could_not_be_kept_until_there_was_a_batch_is_counted(running):
    pusher = Telling()
    loop = running(pusher)
    await until(lambda: len(pusher.sent) > 4)

    assert loop.figures.lost_points == {Loss.OVERFLOW: 2}
