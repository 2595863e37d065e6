"""The HTTP client alone: 1,000 members polled in one burst each second, beside aiohttp's client.

python -m benchmarks.fan_in ours|aiohttp PORT COUNT SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import aiohttp
from fakes.processes import ProcessFailedError, python_program

from agent.wire.http import HttpClient, Limits
from benchmarks import members
from benchmarks.rack import serving
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COUNT = 1000
SECONDS, QUICK_SECONDS = 15, 5
PATH = "/api/v1/node?view=totals"
TIMEOUT_SECONDS = 5.0


def fan_in(*, quick: bool) -> list[Figure]:
    """Poll the same members with one client after the other."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with serving(COUNT) as port:
        ours, theirs = (_measured(which, port, seconds) for which in ("ours", "aiohttp"))
    method = (
        f"process CPU of a process with nothing but the client, {COUNT} members in one burst each second for "
        f"{seconds} s on kept connections, answers of 1.6 KB read and dropped"
    )
    return [Figure("1000 members, the client alone", ours, "% of a core", method, "aiohttp", theirs)]


def _measured(which: str, port: int, seconds: int) -> float:
    with python_program(__name__, which, str(port), str(COUNT), str(seconds)) as program:
        ends = time.monotonic() + seconds + 30.0
        while program.running and time.monotonic() < ends:
            time.sleep(0.1)
        try:
            return float(program.tail().split()[-1])
        except ValueError as error:
            raise ProcessFailedError(f"{which}: {program.tail()}") from error


async def _burst_by_burst(
    get: Callable[[str], Awaitable[object]], port: int, count: int, seconds: int
) -> None:
    pages = [url + PATH for url in members.urls(count, port)]
    for number in range(seconds + 2):
        if number == 2:
            cpu, began = time.process_time(), time.monotonic()
        next_at = time.monotonic() + 1.0
        await asyncio.gather(*(get(page) for page in pages))
        await asyncio.sleep(next_at - time.monotonic())
    print(100 * (time.process_time() - cpu) / (time.monotonic() - began), flush=True)


async def _main(which: str, port: int, count: int, seconds: int) -> None:
    if which == "ours":
        client, limits = HttpClient(), Limits(TIMEOUT_SECONDS, 1_000_000)
        await _burst_by_burst(lambda url: client.get(url, limits), port, count, seconds)
        await client.close()
        return
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as response:
                return await response.read()

        await _burst_by_burst(get, port, count, seconds)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
