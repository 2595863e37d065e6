"""Bodies of requests: small, and in good time. A route of our own reads one; the bounds are the daemon's."""

import asyncio

import pytest
from aiohttp import web

from agent.web import guard as guard_module
from agent.web.access import OPEN, Access
from agent.web.guard import PROTOCOL_BOUNDS, Guard
from agent.web.routes import application


class Nobody:
    """An agent that has nothing to show."""

    snapshot = None
    ready = True
    renderers = ()


@pytest.fixture
async def port(monkeypatch):
    """A listener whose requests may take half a second."""
    monkeypatch.setattr(guard_module, "REQUEST_SECONDS", 0.5)
    guard = Guard(Access(OPEN))
    app = application(Nobody(), guard)

    async def count(request):
        return web.Response(text=str(len(await request.read())))

    app.router.add_post("/count", count)
    runner = web.AppRunner(app, access_log=None, **PROTOCOL_BOUNDS)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(guard.factory(runner.server), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await runner.cleanup()
    guard.close()


async def answer(port, *parts, pause=0.0):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        async with asyncio.timeout(10):
            return await reader.read(12)
    except ConnectionError:
        return b""
    finally:
        writer.close()


HEAD = b"POST /count HTTP/1.1\r\nHost: x\r\n"


async def test_a_body_of_four_kib_is_read(port):
    assert await answer(port, HEAD + b"Content-Length: 4096\r\n\r\n" + b"a" * 4096) == b"HTTP/1.1 200"


async def test_a_larger_one_is_refused(port):
    assert await answer(port, HEAD + b"Content-Length: 4097\r\n\r\n" + b"a" * 4097) == b"HTTP/1.1 413"


async def test_a_larger_one_is_refused_though_it_does_not_say_its_size(port):
    chunk = b"800\r\n" + b"a" * 2048 + b"\r\n"

    assert await answer(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3) == b"HTTP/1.1 413"


async def test_a_few_bytes_do_not_become_many(port):
    """A compressed body stays as it came: 20 bytes are 20 bytes."""
    assert (
        await answer(port, HEAD + b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"a" * 20)
        == b"HTTP/1.1 200"
    )


async def test_one_that_comes_byte_by_byte_is_hung_up_on(port):
    parts = [HEAD + b"Content-Length: 4096\r\n\r\n", *[b"a"] * 20]

    assert await answer(port, *parts, pause=0.1) == b""
