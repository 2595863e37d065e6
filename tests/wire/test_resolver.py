"""Look-ups of host names that hang: what they cost the others, and the exit."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time

import pytest

from agent.measure.reading import Reason, SourceError
from agent.wire import resolver as resolver_module
from agent.wire.http import HttpClient, Limits
from agent.wire.resolver import DaemonResolver

REAL = socket.getaddrinfo


class Names:
    """A name service in which `hung*` hangs until it is freed."""

    def __init__(self) -> None:
        self.freed = threading.Event()
        self.asked: list[str] = []

    def getaddrinfo(self, host, *args, **options):
        self.asked.append(host)
        if host.startswith("hung"):
            self.freed.wait(30)
            host = "127.0.0.1"
        return REAL("127.0.0.1" if host.endswith(".test") else host, *args, **options)


@pytest.fixture
def service(monkeypatch):
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield names
    names.freed.set()


async def hang(resolver: DaemonResolver, host: str) -> asyncio.Task:
    task = asyncio.create_task(resolver.resolve(host, 80))
    await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return task


async def test_address_is_that_of_the_system():
    (found, *_) = await DaemonResolver().resolve("localhost", 8000)

    assert found.sockaddr == ("127.0.0.1", 8000)
    assert found.family == socket.AF_INET


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".test"])
async def test_name_without_an_address_is_refused(host):
    with pytest.raises((OSError, ValueError)):
        await DaemonResolver().resolve(host, 80)


async def test_hung_name_takes_one_thread_however_often_it_is_asked_for(service):
    resolver = DaemonResolver()
    for _ in range(50):
        await hang(resolver, "hung.test")
    await resolver.resolve("good.test", 80)

    assert service.asked == ["hung.test", "good.test"]


async def test_everybody_who_asks_for_a_name_gets_its_answer(service):
    resolver = DaemonResolver()
    both = asyncio.gather(resolver.resolve("hung.test", 80), resolver.resolve("hung.test", 80))
    await asyncio.sleep(0.01)
    service.freed.set()

    first, second = await both

    assert first == second
    assert service.asked == ["hung.test"]


async def test_names_beyond_the_threads_wait_for_one(service):
    resolver = DaemonResolver()
    for number in range(resolver_module.MAX_THREADS):
        await hang(resolver, f"hung{number}.test")
    task = asyncio.create_task(resolver.resolve("good.test", 80))
    await asyncio.sleep(0.05)
    waited = not task.done()
    service.freed.set()

    assert waited
    assert (await task)[0].sockaddr[0] == "127.0.0.1"


async def test_names_beyond_those_that_may_wait_are_refused(service, monkeypatch):
    monkeypatch.setattr(resolver_module, "MAX_THREADS", 1)
    monkeypatch.setattr(resolver_module, "MAX_WAITING", 1)
    resolver = DaemonResolver()
    for number in range(2):
        await hang(resolver, f"hung{number}.test")

    with pytest.raises(OSError, match="1 other names wait to be looked up"):
        await resolver.resolve("good.test", 80)


async def test_look_up_that_hangs_is_a_time_out_of_its_own_request(service):
    client = HttpClient()
    with pytest.raises(SourceError) as caught:
        await client.get("http://hung.test:1/", Limits(0.2, 1000))
    began = time.monotonic()
    await client.close()

    assert caught.value.reason is Reason.TIMED_OUT
    assert "(connecting)" in caught.value.detail
    assert time.monotonic() - began < 1.0


PROGRAM = """
import asyncio, contextlib, socket, time
socket.getaddrinfo = lambda *args, **options: time.sleep(60)
from agent.measure.reading import SourceError
from agent.wire.http import HttpClient, Limits
async def main():
    client = HttpClient()
    with contextlib.suppress(SourceError):
        await client.get("http://hung.test/", Limits(0.1, 1000))
    await client.close()
asyncio.run(main())
"""


def test_look_up_that_hangs_does_not_delay_the_exit():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, timeout=20, check=True)

    assert done.stderr == b""
