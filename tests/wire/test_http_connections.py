"""Connections of the HTTP client: kept, found closed, raced for, and what a peer may not do on them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

import pytest
from fakes.page_server import Answer, PageServer

from agent.measure.reading import Reason, SourceError
from agent.wire import http_dial, http_pool
from agent.wire.http import HttpClient, HttpConfig, Limits
from agent.wire.http_response import MAX_HEADER_BYTES, BodyTooLargeError, NotHttpError, Response
from agent.wire.resolver import Address

LIMITS = Limits(seconds=5.0, body_bytes=100_000)
BRIEF = Limits(seconds=0.3, body_bytes=100_000)
PAGE = b"a 1\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + PAGE


@pytest.fixture
async def client():
    client = HttpClient()
    yield client
    await client.close()


class RawServer:
    """Answers the n-th request with the n-th of the given lists of segments; `None` hangs up."""

    def __init__(self, *answers: list[bytes | None]) -> None:
        self._answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while self._answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                for segment in self._answers.pop(0):
                    if segment is None:
                        writer.close()
                        return
                    writer.write(segment)
                    await writer.drain()
                    await asyncio.sleep(0.02)
            await reader.read()


@contextlib.asynccontextmanager
async def serving(raw: RawServer):
    async with await asyncio.start_server(raw.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for writer in raw.writers:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def failure(client: HttpClient, url: str, limits: Limits = LIMITS, **options) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await client.get(url, limits, **options)
    return caught.value


async def test_idle_connection_that_the_peer_closed_costs_nothing(client):
    async with PageServer({"/": Answer(PAGE)}) as server:
        await client.get(server.url + "/", LIMITS)
        server.hang_up()
        await server.emptied()

        assert (await client.get(server.url + "/", LIMITS)).body == PAGE
        assert server.connections == 2


async def test_request_that_meets_the_closing_of_a_kept_connection_is_sent_once_more(client):
    raw = RawServer([GOOD], [None], [GOOD])
    async with serving(raw) as url:
        await client.get(url, LIMITS)
        fetched = await client.get(url, LIMITS)

    assert fetched.body == PAGE
    assert raw.connections == 2
    assert len(raw.requests) == 3


async def test_request_on_a_new_connection_is_not_sent_twice(client):
    raw = RawServer([None], [GOOD])
    async with serving(raw) as url:
        error = await failure(client, url)

    assert error.reason is Reason.UNREACHABLE
    assert "hung up (waiting for the first byte)" in error.detail
    assert len(raw.requests) == 1


async def test_answer_that_had_begun_is_not_asked_for_again(client):
    raw = RawServer([GOOD], [b"HTTP/1.1 200 OK\r\n", None], [GOOD])
    async with serving(raw) as url:
        await client.get(url, LIMITS)
        error = await failure(client, url)

    assert error.reason is Reason.UNREACHABLE
    assert len(raw.requests) == 2


async def test_connection_is_closed_when_the_peer_says_so(client):
    close = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n" + PAGE
    raw = RawServer([close], [GOOD])
    async with serving(raw) as url:
        for _ in range(2):
            assert (await client.get(url, LIMITS)).body == PAGE

    assert raw.connections == 2


async def test_http_1_0_answer_ends_with_its_connection(client):
    raw = RawServer([b"HTTP/1.0 200 OK\r\n\r\na 1\n", b"b 2\n", None])
    async with serving(raw) as url:
        assert (await client.get(url, LIMITS)).body == b"a 1\nb 2\n"


async def test_interim_answer_is_passed_over_and_not_stamped(client):
    raw = RawServer([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", GOOD])
    async with serving(raw) as url:
        fetched = await client.get(url, LIMITS)

    assert fetched.body == PAGE
    assert "link" not in fetched.headers
    assert fetched.first_byte_monotonic - fetched.asked_monotonic >= 0.015


async def test_trailers_of_a_chunked_body_are_no_headers(client):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n0\r\nX-Late: 1\r\n\r\n"
    raw = RawServer([chunked], [GOOD])
    async with serving(raw) as url:
        fetched = await client.get(url, LIMITS)
        await client.get(url, LIMITS)

    assert fetched.body == PAGE
    assert "x-late" not in fetched.headers
    assert raw.connections == 1


class Talker(RawServer):
    """Does not wait to be asked."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        writer.write(GOOD)


async def test_answer_before_the_request_is_refused(client):
    async with serving(Talker()) as url:
        route = http_dial.Route("http", "127.0.0.1", urlsplit(url).port)
        connection = await http_pool.ConnectionPool().fresh(route)
        await asyncio.sleep(0.05)

        assert not connection.usable
        with pytest.raises(NotHttpError, match="answers before it is asked"):
            await connection.ask(b"GET / HTTP/1.1\r\n\r\n", 1000)


async def test_second_answer_to_one_request_is_refused(client):
    async with serving(RawServer([GOOD + GOOD])) as url:
        error = await failure(client, url)

    assert error.reason is Reason.MALFORMED
    assert "more than one answer" in error.detail


async def test_what_comes_unasked_on_an_idle_connection_is_no_answer_to_the_next_request(client):
    raw = RawServer([GOOD, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nb 2\n"], [GOOD])
    async with serving(raw) as url:
        await client.get(url, LIMITS)
        await asyncio.sleep(0.1)
        fetched = await client.get(url, LIMITS)

    assert fetched.body == PAGE
    assert raw.connections == 2


async def test_protocol_is_not_switched(client):
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nanything"
    async with serving(RawServer([switch])) as url:
        error = await failure(client, url, BRIEF)

    assert error.reason is Reason.MALFORMED


async def test_each_of_two_requests_at_once_has_a_connection(client):
    together = asyncio.Barrier(2)
    async with PageServer({"/": Answer(PAGE, together=together)}) as server:
        await asyncio.gather(*(client.get(server.url + "/", LIMITS) for _ in range(2)))
        await asyncio.gather(*(client.get(server.url + "/", LIMITS) for _ in range(2)))

        assert server.connections == 2


async def test_kept_connections_to_one_server_are_bounded(client, monkeypatch):
    monkeypatch.setattr(http_pool, "MAX_IDLE_PER_ROUTE", 1)
    async with PageServer({"/": Answer(PAGE, together=asyncio.Barrier(3))}) as server:
        await asyncio.gather(*(client.get(server.url + "/", LIMITS) for _ in range(3)))
        await asyncio.sleep(0.05)

        assert server.open == 1


async def test_connection_that_nobody_uses_is_hung_up(client, monkeypatch):
    async with PageServer({"/": Answer(PAGE)}) as forgotten, PageServer({"/": Answer(PAGE)}) as used:
        await client.get(forgotten.url + "/", LIMITS)
        monkeypatch.setattr(http_pool, "KEEP_ALIVE_SECONDS", 0.0)
        await client.get(used.url + "/", LIMITS)
        await asyncio.wait_for(forgotten.emptied(), 2)

        assert forgotten.open == 0


async def test_refusal_leaves_the_connection_good_when_it_is_whole(client):
    async with PageServer({"/": Answer(b"no", status="503 Busy")}) as server:
        for _ in range(2):
            await failure(client, server.url + "/")

        assert server.connections == 1


async def test_next_address_is_tried_when_the_first_hangs(monkeypatch):
    with socket.socket() as full, socket.socket() as good:
        for listener in (full, good):
            listener.bind(("127.0.0.1", 0))
        full.listen(0)
        good.listen()
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        addresses = [Address(socket.AF_INET, 0, one.getsockname()) for one in (full, good)]
        connected = await asyncio.wait_for(http_dial._first_connected(addresses), 3)

        assert connected.getpeername() == good.getsockname()
        for one in (connected, *fillers):
            one.close()


async def test_next_address_is_tried_when_the_first_refuses():
    with socket.socket() as good:
        good.bind(("127.0.0.1", 0))
        good.listen()
        addresses = [
            Address(socket.AF_INET, 0, ("127.0.0.1", 1)),
            Address(socket.AF_INET, 0, good.getsockname()),
        ]
        connected = await http_dial._first_connected(addresses)

        assert connected.getpeername() == good.getsockname()
        connected.close()


async def test_all_addresses_refusing_is_an_error_of_the_system():
    nobody = Address(socket.AF_INET, 0, ("127.0.0.1", 1))

    with pytest.raises(ConnectionRefusedError):
        await http_dial._first_connected([nobody, nobody])


async def test_proxy_is_asked_for_the_whole_address_with_its_login(client):
    raw = RawServer([GOOD])
    async with serving(raw) as url:
        proxy = url.replace("http://", "http://me:p%40ss@").rstrip("/")
        fetched = await client.get(
            "http://engine.test:8000/metrics?a=1", LIMITS, config=HttpConfig(proxy_url=proxy)
        )

    lines = raw.requests[0].split(b"\r\n")
    assert fetched.body == PAGE
    assert lines[0] == b"GET http://engine.test:8000/metrics?a=1 HTTP/1.1"
    assert b"Host: engine.test:8000" in lines
    assert b"Proxy-Authorization: Basic bWU6cEBzcw==" in lines


async def test_proxy_that_refuses_the_tunnel_is_named(client):
    raw = RawServer([b"HTTP/1.1 403 Not you\r\n\r\n"])
    async with serving(raw) as url:
        error = await failure(client, "https://engine.test/", config=HttpConfig(proxy_url=url.rstrip("/")))

    assert raw.requests[0].startswith(b"CONNECT engine.test:443 HTTP/1.1\r\n")
    assert error.reason is Reason.UNREACHABLE
    assert "the proxy answered 403 Not you; check proxy_url" in error.detail


def test_endless_headers_are_refused():
    response = Response(1000)
    response.feed(b"HTTP/1.1 200 OK\r\nX: ")

    with pytest.raises(NotHttpError, match="headers"):
        response.feed(b"x" * (MAX_HEADER_BYTES + 1))


def test_endless_interim_answers_are_refused():
    response = Response(1000)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"

    with pytest.raises(NotHttpError):
        response.feed(interim * (MAX_HEADER_BYTES // len(interim) + 1))


def test_endless_trailers_are_refused():
    response = Response(1000)
    response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")

    with pytest.raises(NotHttpError):
        response.feed(b"x" * (MAX_HEADER_BYTES + 1))


def test_chunks_of_one_byte_are_read():
    response = Response(100_000)
    response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50_000):
        response.feed(b"1\r\nx\r\n")
    response.feed(b"0\r\n\r\n")

    assert response.whole
    assert len(response.body) == 50_000


def test_body_is_never_kept_beyond_its_limit():
    response = Response(10)
    response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    with pytest.raises(BodyTooLargeError, match="goes on after 11 bytes"):
        response.feed(b"b\r\n12345678901\r\n")
