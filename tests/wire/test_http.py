"""The bounded HTTP client: what it sends, what it stamps, and what every failure is called."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
import time
import zlib

import pytest
from fakes.page_server import Answer, PageServer

from agent.measure.reading import Reason, SourceError
from agent.wire.http import HttpClient, HttpConfig, Limits

LIMITS = Limits(seconds=5.0, body_bytes=100_000)
BRIEF = Limits(seconds=0.2, body_bytes=100_000)
PAGE = b"a 1\n"


@pytest.fixture
async def client():
    client = HttpClient()
    yield client
    await client.close()


async def failure(client: HttpClient, url: str, limits: Limits = LIMITS, **options) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await client.get(url, limits, **options)
    return caught.value


async def test_answer_comes_with_its_body_and_headers(client):
    async with PageServer({"/metrics": Answer(PAGE, headers={"X-Start": "7"})}) as server:
        fetched = await client.get(server.url + "/metrics", LIMITS)

    assert fetched.body == PAGE
    assert fetched.headers["x-start"] == "7"


async def test_T23_plain_text_is_asked_for_and_no_compression(client):  # noqa: N802 - the rule's name
    async with PageServer({"/": Answer(PAGE)}) as server:
        await client.get(server.url + "/", LIMITS)

        assert server.requests[0].headers["accept"] == "text/plain;version=0.0.4"
        assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_connection_is_kept_for_the_next_request(client):
    async with PageServer({"/": Answer(PAGE)}) as server:
        for _ in range(3):
            await client.get(server.url + "/", LIMITS)

        assert server.connections == 1


async def test_cookies_are_not_kept(client):
    async with PageServer({"/": Answer(PAGE, headers={"Set-Cookie": "a=b"})}) as server:
        for _ in range(2):
            await client.get(server.url + "/", LIMITS)

        assert "cookie" not in server.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(client, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with PageServer({"/": Answer(PAGE)}) as server:
        assert (await client.get(server.url + "/", LIMITS)).body == PAGE


async def test_proxy_of_the_settings_is_used(client):
    config = HttpConfig(proxy_url="http://127.0.0.1:1")
    async with PageServer({"/": Answer(PAGE)}) as server:
        error = await failure(client, server.url + "/", config=config)

        assert error.reason is Reason.UNREACHABLE
        assert server.requests == []


async def test_T3_first_byte_is_stamped_when_the_server_answers(client):  # noqa: N802 - the rule's name
    async with PageServer({"/": Answer(PAGE, wait_seconds=0.1)}) as server:
        fetched = await client.get(server.url + "/", LIMITS)

    waited = fetched.first_byte_monotonic - fetched.asked_monotonic
    assert 0.09 <= waited <= 0.5
    assert fetched.finished_monotonic >= fetched.first_byte_monotonic


async def test_T3_first_byte_is_stamped_before_other_pages_are_worked_on(client):  # noqa: N802 - the rule's name
    async def fetch_and_work(url: str):
        fetched = await client.get(url, LIMITS)
        time.sleep(0.2)
        return fetched

    with server_that_answers_both_at_once() as url:
        pages = await asyncio.gather(fetch_and_work(url), fetch_and_work(url))

    first, second = sorted(pages, key=lambda page: page.finished_monotonic)
    assert second.finished_monotonic - first.finished_monotonic >= 0.2
    assert abs(second.first_byte_monotonic - first.first_byte_monotonic) < 0.1


async def test_stamp_of_a_kept_connection_is_of_its_own_request(client):
    async with PageServer({"/": Answer(PAGE)}) as server:
        first = await client.get(server.url + "/", LIMITS)
        second = await client.get(server.url + "/", LIMITS)

    assert first.finished_monotonic <= second.asked_monotonic <= second.first_byte_monotonic


async def test_nobody_there_is_unreachable(client):
    error = await failure(client, "http://127.0.0.1:1/metrics")

    assert error.reason is Reason.UNREACHABLE
    assert error.detail == (
        "http://127.0.0.1:1: cannot connect (127.0.0.1: Connection refused); "
        "is it running, and is the port right?"
    )


async def test_host_without_an_address_is_unreachable(client):
    error = await failure(client, "http://no-such-host.invalid/metrics")

    assert error.reason is Reason.UNREACHABLE
    assert "no address for its host" in error.detail


async def test_wait_for_the_first_byte_has_a_deadline(client):
    async with PageServer({"/": Answer(PAGE, wait_seconds=60)}) as server:
        error = await failure(client, server.url + "/", BRIEF)

        assert error.reason is Reason.TIMED_OUT
        assert "(waiting for the first byte)" in error.detail


async def test_body_has_a_deadline(client):
    async with PageServer({"/": Answer(PAGE, headers={"Content-Length": "1000"})}) as server:
        error = await failure(client, server.url + "/", BRIEF)

        assert error.reason is Reason.TIMED_OUT
        assert "(reading the body, at 4 bytes)" in error.detail


async def test_connecting_has_a_deadline(client):
    # A listener that accepts nobody, its backlog full: further connections get no answer.
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket_listening())
        for _ in range(3):
            stack.enter_context(socket_connecting(listener.getsockname()))
        host, port = listener.getsockname()

        error = await failure(client, f"http://{host}:{port}/", BRIEF)

    assert error.reason is Reason.TIMED_OUT
    assert "(connecting)" in error.detail


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("204 No Content", Reason.MALFORMED),
        ("206 Partial Content", Reason.MALFORMED),
        ("302 Found", Reason.UNSUPPORTED),
        ("400 Bad Request", Reason.MALFORMED),
        ("401 Unauthorized", Reason.DENIED),
        ("403 Forbidden", Reason.DENIED),
        ("404 Not Found", Reason.UNSUPPORTED),
        ("429 Too Many Requests", Reason.UNREACHABLE),
        ("500 Internal Server Error", Reason.UNREACHABLE),
        ("501 Not Implemented", Reason.UNSUPPORTED),
        ("503 Service Unavailable", Reason.UNREACHABLE),
    ],
)
async def test_status_other_than_200_is_a_failure_with_its_reason(client, status, reason):
    async with PageServer({"/": Answer(status=status)}) as server:
        error = await failure(client, server.url + "/")

    assert error.reason is reason
    assert f"answered {status}" in error.detail


async def test_words_of_the_server_are_passed_on_short_and_printable(client):
    body = b'{"message":"Start it with `--metrics`"}\n\x1b[31m' + b"x" * 1000
    async with PageServer({"/": Answer(body, status="501 Not Implemented")}) as server:
        error = await failure(client, server.url + "/")

    assert "Start it with `--metrics`" in error.detail
    assert "\x1b" not in error.detail
    assert len(error.detail) < 500


@contextlib.asynccontextmanager
async def server_that_says(head: bytes):
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


NASTY = b"bad\xff\xfe\x9b31m\xc2\x9b" + b"x" * 3000


@pytest.mark.parametrize(
    "head",
    [
        b"500 " + NASTY,
        b"302 Found\r\nLocation: /" + NASTY,
        b"200 OK\r\nContent-Encoding: " + NASTY,
        b"200 " + NASTY + b"\r\nContent-Length: 9",
    ],
    ids=["phrase", "location", "encoding", "broken"],
)
async def test_what_a_server_says_about_itself_is_passed_on_short_and_printable(client, head):
    async with server_that_says(head) as url:
        error = await failure(client, url)

    assert error.detail.isprintable()
    assert len(error.detail) < 500


async def test_words_of_the_server_may_be_in_any_script(client):
    async with PageServer({"/": Answer("nicht verfügbar".encode(), status="503 Busy")}) as server:
        error = await failure(client, server.url + "/")

    assert "(nicht verfügbar)" in error.detail


async def test_headers_are_printable_and_bounded(client):
    async with server_that_says(b"200 OK\r\nX-Start: " + NASTY) as url:
        fetched = await client.get(url, LIMITS)

    assert fetched.headers["x-start"].isprintable()
    assert len(fetched.headers["x-start"]) == 1024


async def test_refused_login_names_the_key_to_set(client):
    async with PageServer({"/": Answer(status="401 Unauthorized")}) as server:
        error = await failure(client, server.url + "/")

    assert "set authorization.credentials_file" in error.detail


async def test_redirect_is_not_followed_and_its_target_is_named(client):
    moved = Answer(status="301 Moved Permanently", headers={"Location": "/new"})
    async with PageServer({"/": moved, "/new": Answer(PAGE)}) as server:
        error = await failure(client, server.url + "/")

        assert "'/new'" in error.detail
        assert [request.path for request in server.requests] == ["/"]


async def test_redirect_is_followed_when_asked_for(client):
    moved = Answer(status="301 Moved Permanently", headers={"Location": "/new"})
    async with PageServer({"/": moved, "/new": Answer(PAGE)}) as server:
        fetched = await client.get(server.url + "/", LIMITS, config=HttpConfig(follow_redirects=True))

    assert fetched.body == PAGE


async def test_redirect_in_a_circle_ends(client):
    moved = Answer(status="302 Found", headers={"Location": "/"})
    async with PageServer({"/": moved}) as server:
        error = await failure(client, server.url + "/", config=HttpConfig(follow_redirects=True))

    assert error.reason is Reason.UNSUPPORTED


async def test_announced_body_beyond_the_limit_is_not_read(client):
    async with PageServer({"/": Answer(b"x" * 100_001)}) as server:
        error = await failure(client, server.url + "/")

        assert error.reason is Reason.TOO_LARGE
        assert "announces 100001 bytes" in error.detail


async def test_broken_off_body_is_malformed(client):
    whole = Answer(PAGE, headers={"Content-Length": "1000", "Connection": "close"})
    async with PageServer({"/": whole}) as server:
        task = asyncio.create_task(failure(client, server.url + "/"))
        await server.asked()
        await asyncio.sleep(0.05)
        server.hang_up()

        error = await task

    assert error.reason is Reason.MALFORMED
    assert "broke off (reading the body, at 4 bytes)" in error.detail


async def test_fault_inside_a_body_is_malformed_at_once(client):
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n")
        await asyncio.sleep(0.05)  # the fault comes in a segment of its own
        writer.write(b"zebra\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        error = await failure(client, f"http://{host}:{port}/")

    assert error.reason is Reason.MALFORMED
    assert "Invalid character in chunk size" in error.detail


@pytest.mark.parametrize(
    ("encoding", "squeezed"), [("gzip", gzip.compress(PAGE, mtime=0)), ("deflate", zlib.compress(PAGE))]
)
async def test_compression_that_was_not_asked_for_is_undone(client, encoding, squeezed):
    async with PageServer({"/": Answer(squeezed, headers={"Content-Encoding": encoding})}) as server:
        assert (await client.get(server.url + "/", LIMITS)).body == PAGE


async def test_compressed_bomb_is_too_large(client):
    bomb = gzip.compress(b"\n" * 50_000_000, mtime=0)
    async with PageServer({"/": Answer(bomb, headers={"Content-Encoding": "gzip"})}) as server:
        error = await failure(client, server.url + "/")

    assert error.reason is Reason.TOO_LARGE
    assert "inflates" in error.detail


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", PAGE, Reason.MALFORMED),
        ("gzip", gzip.compress(PAGE, mtime=0)[:-9], Reason.MALFORMED),
        ("br", PAGE, Reason.UNSUPPORTED),
    ],
)
async def test_compression_that_cannot_be_undone_is_refused(client, encoding, body, reason):
    async with PageServer({"/": Answer(body, headers={"Content-Encoding": encoding})}) as server:
        assert (await failure(client, server.url + "/")).reason is reason


async def test_cancelled_request_closes_its_connection(client):
    async with PageServer({"/": Answer(PAGE, wait_seconds=60)}) as server:
        task = asyncio.create_task(client.get(server.url + "/", LIMITS))
        await server.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.emptied(), 2)

        assert server.open == 0


async def test_password_in_the_url_is_not_shown(client):
    error = await failure(client, "http://me:hidden@127.0.0.1:1/")

    assert "hidden" not in error.detail


@contextlib.contextmanager
def server_that_answers_both_at_once():
    """Serve from a thread, so that the test may block its event loop: both requests, then both answers."""

    def serve() -> None:
        peers = [listener.accept()[0] for _ in range(2)]
        for peer in peers:
            peer.recv(65_536)
        for peer in peers:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n")
        for peer in peers:
            peer.close()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


@contextlib.contextmanager
def socket_listening():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        yield listener


@contextlib.contextmanager
def socket_connecting(address):
    with socket.socket() as one:
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(address)
        yield one


async def test_a_post_sends_its_body_with_its_length_and_the_headers_that_are_given(client):
    async with PageServer({"/in": Answer(b"taken")}) as server:
        posted = await client.post(f"{server.url}/in", b"packed", LIMITS, headers={"Content-Type": "a/b"})
        request = server.requests[0]

    assert (posted.status, posted.said, posted.body) == (200, "200 OK", b"taken")
    assert (request.body, request.headers["content-length"], request.headers["content-type"]) == (
        b"packed",
        "6",
        "a/b",
    )


async def test_a_refused_post_is_an_answer_and_no_failure(client):
    async with PageServer({"/in": Answer(b"not so", "418 I am a teapot", {"X-Why": "tea"})}) as server:
        posted = await client.post(f"{server.url}/in", b"", LIMITS)

    assert (posted.status, posted.said) == (418, "418 I am a teapot (not so)")
    assert posted.headers["x-why"] == "tea"


async def test_a_post_is_sent_again_where_a_kept_connection_was_closed_meanwhile(client):
    async with PageServer({"/in": Answer(b"taken")}) as server:
        await client.post(f"{server.url}/in", b"first", LIMITS)
        server.hang_up()
        await server.emptied()
        posted = await client.post(f"{server.url}/in", b"second", LIMITS)

        assert posted.status == 200
        assert [request.body for request in server.requests] == [b"first", b"second"]


async def test_a_post_follows_no_redirect(client):
    moved = Answer(status="307 Temporary Redirect", headers={"Location": "/there"})
    async with PageServer({"/in": moved, "/there": Answer(b"no")}) as server:
        posted = await client.post(f"{server.url}/in", b"x", LIMITS, config=HttpConfig(follow_redirects=True))

    assert posted.status == 307


async def test_a_post_that_nobody_answers_fails_like_a_get(client):
    async with PageServer({"/in": Answer(wait_seconds=5.0)}) as server:
        with pytest.raises(SourceError) as caught:
            await client.post(f"{server.url}/in", b"x", BRIEF)

    assert caught.value.reason is Reason.TIMED_OUT
