"""A deadline measures the peer: what lies in our socket is no time-out."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from agent.measure.reading import Reason, SourceError
from agent.wire.deadline import EXTRA_SECONDS, Deadline
from agent.wire.http import HttpClient, Limits

BODY = b"x" * 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@contextlib.contextmanager
def answering(*parts, pause):
    """A server on a thread of its own: it answers while our event loop is busy."""

    def answer():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                for part in parts:
                    time.sleep(pause)
                    connection.sendall(part)
                connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(5.0)


async def hang_up(client):
    """Let the server's thread go."""
    await client.close()
    await asyncio.sleep(0.01)


@pytest.fixture
async def client():
    client = HttpClient()
    yield client
    await client.close()


async def test_an_answer_that_came_in_time_counts_though_the_event_loop_was_busy(client):
    with answering(ANSWER, BODY, pause=0.05) as url:
        asking = asyncio.create_task(client.get(url, Limits(0.3, 1000)))
        await asyncio.sleep(0.02)  # asked
        time.sleep(0.6)  # blocks the loop: the deadline passes, the answer comes
        body = (await asking).body
        await hang_up(client)

    assert body == BODY


async def test_a_peer_that_sends_nothing_is_late_whatever_we_do(client):
    with answering(pause=0.0) as url:
        with pytest.raises(SourceError) as failed:
            await client.get(url, Limits(0.1, 1000))
        await hang_up(client)

    assert failed.value.reason is Reason.TIMED_OUT


async def test_a_peer_that_drips_gains_no_more_than_once():
    async with asyncio.timeout(10.0):
        began = time.monotonic()
        with pytest.raises(TimeoutError), Deadline(0.05, lambda: True):
            await asyncio.sleep(30.0)

    assert time.monotonic() - began >= 0.05 + EXTRA_SECONDS


async def test_a_cancellation_from_outside_is_no_time_out():
    async def hold():
        with Deadline(30.0, lambda: False):
            await asyncio.sleep(30.0)

    task = asyncio.create_task(hold())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_ends_in_time_is_left_alone():
    with Deadline(0.05, lambda: False):
        pass
    await asyncio.sleep(0.1)
