"""The event stream: history first, then each snapshot; nobody is queued for, it ends when the daemon ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web
from fakes import scenes
from fakes.page_agent import ScriptedAgent

from agent.web import stream
from agent.web.access import OPEN, Access
from agent.web.guard import Guard
from agent.web.routes import application
from agent.wire.rack_codec import to_plain

DEADLINE_SECONDS = 30.0


class Served:
    """The web application of a scripted agent on a loopback port, in this loop."""

    def __init__(self):
        self.agent = ScriptedAgent()

    async def __aenter__(self):
        self.runner = web.AppRunner(application(self.agent, Guard(Access(OPEN))), shutdown_timeout=1.0)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.address = site._server.sockets[0].getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.runner.cleanup()

    def publish(self, sequence, rack=None):
        self.agent.publish(replace(rack or scenes.nvl72(seconds=float(sequence)), sequence=sequence))


@pytest.fixture
async def served():
    async with asyncio.timeout(DEADLINE_SECONDS), Served() as running:
        yield running


async def event(response):
    """The next event, without comments: its name and its data; None at the end."""
    name = None
    while line := (await response.content.readline()).decode():
        if line.startswith("event: "):
            name = line[7:].strip()
        elif line.startswith("data: "):
            return name, json.loads(line[6:])
    return None


async def rack_event(response):
    while (got := await event(response)) is not None:
        if got[0] == "rack":
            return got[1]
    return None


async def test_the_history_comes_first_and_then_the_rack_as_the_api_gives_it(served):
    served.publish(1)
    served.publish(2)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.content.readline() == b"retry: 1000\n"
        name, history = await event(response)
        assert (name, len(history["at"])) == ("history", 2)
        name, rack = await event(response)

    assert (name, rack) == ("rack", json.loads(json.dumps(to_plain(served.agent.rack))))


async def test_history_has_a_page_of_its_own(served):
    served.publish(1)
    async with served.session.get(f"{served.url}/api/v1/history") as response:
        assert response.content_type == "application/json"
        assert await response.json() == served.agent.history.plain()


async def test_each_new_snapshot_is_sent_once(served):
    served.publish(1)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        assert (await rack_event(response))["sequence"] == 1
        served.publish(2)
        assert (await rack_event(response))["sequence"] == 2
        served.publish(3)
        assert (await rack_event(response))["sequence"] == 3


async def test_a_stream_without_news_shows_that_it_lives(served):
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        while (line := await response.content.readline()) != b": still here\n":
            assert line


async def test_a_snapshot_is_encoded_once_for_all_clients(served, monkeypatch):
    encoded = []
    plainly = stream.to_json
    monkeypatch.setattr(stream, "to_json", lambda rack: encoded.append(rack.sequence) or plainly(rack))
    served.publish(1)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(served.session.get(f"{served.url}/api/v1/stream"))
            for _ in range(30)
        ]
        assert {(await rack_event(client))["sequence"] for client in clients} == {1}
        served.publish(2)
        assert {(await rack_event(client))["sequence"] for client in clients} == {2}

    assert encoded == [1, 2]


async def test_the_members_of_a_hall_come_in_turns_and_the_figures_of_its_rack_each_time(served, monkeypatch):
    monkeypatch.setattr(stream, "MEMBERS_SECONDS", 0.5)
    hall = scenes.many(stream.HALL_MEMBERS + 1)
    served.publish(1, hall)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        await event(response)
        name, first = await event(response)
        assert (name, len(first["members"])) == ("rack", 251)
        served.publish(2, hall)
        name, figures = await event(response)
        assert (name, figures["sequence"]) == ("figures", 2)
        assert {**figures, "members": []} == json.loads(
            json.dumps({**to_plain(served.agent.rack), "members": []})
        )
        await asyncio.sleep(0.5)
        served.publish(3, hall)
        name, rack = await event(response)

    assert (name, rack["sequence"], len(rack["members"])) == ("rack", 3, 251)


async def test_who_comes_between_two_turns_has_the_members_at_once(served):
    hall = scenes.many(stream.HALL_MEMBERS + 1)
    served.publish(1, hall)
    async with served.session.get(f"{served.url}/api/v1/stream") as early:
        assert (await rack_event(early))["sequence"] == 1
        served.publish(2, hall)
        async with served.session.get(f"{served.url}/api/v1/stream") as late:
            assert len((await rack_event(late))["members"]) == 251


async def test_a_rack_that_is_no_hall_is_sent_whole_each_time(served):
    row = scenes.many(stream.HALL_MEMBERS)
    served.publish(1, row)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        assert (await rack_event(response))["sequence"] == 1
        served.publish(2, row)
        assert (await event(response))[0] == "rack"


def test_a_page_of_a_thousand_nodes_costs_about_a_fifth_of_its_snapshots():
    """0.32 MB a second instead of 1.6."""
    hall = scenes.many(1000)
    whole, figures = len(stream.to_json(hall)), len(stream.figures_to_json(hall))
    per_second = (whole + 4 * figures) / stream.MEMBERS_SECONDS

    assert whole > 1_300_000
    assert per_second < 0.22 * whole


async def test_there_are_only_so_many_streams_and_a_place_is_free_again_when_one_leaves(served, monkeypatch):
    monkeypatch.setattr(stream, "MOST_STREAMS", 2)
    served.publish(1)
    url = f"{served.url}/api/v1/stream"
    first = await served.session.get(url)
    await rack_event(first)
    async with served.session.get(url) as second, served.session.get(url) as third:
        await rack_event(second)
        assert third.status == 503
        assert third.headers["Retry-After"] == "5"
        assert "too many event streams" in await third.text()
        first.close()
        while True:
            async with served.session.get(url) as again:
                if again.status == 200:
                    break
            await asyncio.sleep(0.05)


def stuck_client(address):
    """A client that asks for the stream, and never reads it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    client.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    return client


async def test_a_client_that_does_not_read_delays_nobody_and_is_hung_up_on(served, monkeypatch):
    monkeypatch.setattr(stream, "SLOW_SECONDS", 0.5)
    large = scenes.many(200)
    served.publish(1, large)
    slow = stuck_client(served.address)
    slow.setblocking(False)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        for sequence in range(2, 30):
            served.publish(sequence, large)
            while (await rack_event(response))["sequence"] < sequence:
                pass
        loop = asyncio.get_running_loop()
        received = 0
        with contextlib.suppress(ConnectionResetError):
            await asyncio.sleep(1.0)
            while chunk := await loop.sock_recv(slow, 1 << 20):
                received += len(chunk)
    slow.close()

    assert received < 20 * len(stream.to_json(large))


async def test_a_client_that_was_slow_goes_on_with_the_newest(served):
    large = scenes.many(200)
    served.publish(1, large)
    slow = stuck_client(served.address)
    reader, writer = await asyncio.open_connection(sock=slow, limit=1 << 24)
    await reader.readuntil(b"event: rack")
    for sequence in range(2, 200):
        served.publish(sequence, large)
        await asyncio.sleep(0)
    seen = []
    while not seen or seen[-1] < 199:
        await reader.readuntil(b'"sequence":')
        seen.append(int((await reader.readuntil(b","))[:-1]))
    writer.close()

    assert len(seen) < 50


async def test_streams_end_cleanly_when_the_daemon_stops(served):
    served.publish(1)
    async with served.session.get(f"{served.url}/api/v1/stream") as response:
        await rack_event(response)
        began = asyncio.get_running_loop().time()
        await served.runner.cleanup()
        rest = await response.read()  # a cut stream would raise here

    assert rest.replace(b": still here\n\n", b"").strip() == b""
    assert asyncio.get_running_loop().time() - began < DEADLINE_SECONDS / 2


async def test_clients_that_vanish_leave_nothing_behind(served):
    served.publish(1)
    for _ in range(20):
        response = await served.session.get(f"{served.url}/api/v1/stream")
        await rack_event(response)
        response.close()

    while any(task.get_name() == "stream" for task in asyncio.all_tasks()):
        await asyncio.sleep(0.05)


async def test_the_page_and_its_files_are_sent_strictly(served):
    for path, content_type in (
        ("/", "text/html"),
        ("/page/app.js", "text/javascript"),
        ("/page/style.css", "text/css"),
        ("/page/words.json", "application/json"),
    ):
        async with served.session.get(served.url + path) as response:
            assert response.status == 200
            assert response.content_type == content_type
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


async def test_an_unchanged_file_is_not_sent_again(served):
    async with served.session.get(f"{served.url}/page/app.js") as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"
    async with served.session.get(f"{served.url}/page/app.js", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert await response.read() == b""
    async with served.session.get(
        f"{served.url}/page/app.js", headers={"If-None-Match": '"other"'}
    ) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/page/../page.py", "/page/%2e%2e/routes.py", "/page/", "/page/index.html"])
async def test_nothing_else_of_the_folder_is_served(served, path):
    async with served.session.get(aiohttp.client.URL(served.url + path, encoded=True)) as response:
        assert response.status == 404


async def test_the_page_lists_the_other_pages(served):
    async with served.session.get(f"{served.url}/") as response:
        body = await response.text()

    assert '<a href="./api/v1/rack">/api/v1/rack</a>' in body
    assert "<!-- links -->" not in body
