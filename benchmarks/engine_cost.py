"""What being watched costs an engine (T26): per scrape, and at the pace that rackwatt settles at."""

from __future__ import annotations

import contextlib
import statistics
import time
from typing import TYPE_CHECKING

from fakes.engines.truth import TruthEngine
from fakes.processes import LOOPBACK, free_port, python_program, wait_http
from fakes.prometheus import Prometheus

from benchmarks import vllm_server
from benchmarks.daemons import AS_PROMETHEUS, AS_RACKWATT, Client, cpu_seconds, rackwatt, workplace
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.processes import Program

SCRAPES, QUICK_SCRAPES = 40, 8
SETTLE_SECONDS = 20.0
PEER_WINDOW_SECONDS = 15.0
WINDOW_SECONDS, QUICK_WINDOW_SECONDS = 60.0, 20.0
SERVER = "a prometheus_client server with vLLM 0.32's families"


def engine_cost(*, quick: bool) -> list[Figure]:
    """Measure a server with one engine's registry, and one with eight engines'."""
    return [figure for engines in (1, 8) for figure in _of(engines, quick=quick)]


def _of(engines: int, *, quick: bool) -> list[Figure]:
    with contextlib.ExitStack() as stack:
        port, server = stack.enter_context(_server(engines))
        clients = [Client(port, headers) for headers in (AS_RACKWATT, AS_PROMETHEUS)]
        ours, peers = _cost_each(clients, server, QUICK_SCRAPES if quick else SCRAPES)
        with Prometheus({"engine": [f"{LOOPBACK}:{port}"]}, scrape_interval="1s"):
            time.sleep(2.0)
            peer_share, peer_interval = _share(server, PEER_WINDOW_SECONDS)
        folder = stack.enter_context(workplace())
        stack.enter_context(rackwatt(folder / "agent", None, [f"http://{LOOPBACK}:{port}"]))
        time.sleep(SETTLE_SECONDS)
        share, interval = _share(server, QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS)
    page = f"{engines} engine{'s' if engines > 1 else ''}, {len(clients[0].last) / 1000:.0f} KB"
    headers = (
        f"server CPU a scrape, median, {SERVER}; ours asks for identity and text/plain, the peer, as "
        "Prometheus does, for gzip and OpenMetrics"
    )
    pace = (
        f"server CPU as a share of a core while the real rackwatt reads it, each {interval:.1f} s after "
        f"{SETTLE_SECONDS:.0f} s of learning; the real Prometheus reads it each {peer_interval:.1f} s"
    )
    return [
        Figure(f"{page}: a scrape", 1e3 * ours, "ms", headers, "Prometheus", 1e3 * peers),
        Figure(
            f"{page}: share",
            share,
            "% of a core",
            pace,
            "Prometheus",
            peer_share,
            at_most(share, 1.0, "<= 1 %"),
        ),
    ]


def _cost_each(clients: list[Client], server: Program, scrapes: int) -> list[float]:
    """Return the server's median CPU seconds for each client, which take turns."""
    used: list[list[float]] = [[] for _ in clients]
    for _ in range(scrapes):
        for client, seconds in zip(clients, used, strict=True):
            before = cpu_seconds(server.pid)
            client.scrape()
            time.sleep(0.005)  # what the server does after the last byte belongs to the scrape
            seconds.append(cpu_seconds(server.pid) - before)
    return [statistics.median(seconds) for seconds in used]


def _share(server: Program, seconds: float) -> tuple[float, float]:
    """Return the server's CPU in per cent of a core, and the interval at which it was read.

    The window begins and ends right after a scrape, so that it holds whole ones.
    """
    count, began = _next_scrape(server)
    before = cpu_seconds(server.pid)
    time.sleep(seconds)
    last, ended = _next_scrape(server)
    used = cpu_seconds(server.pid) - before
    return 100 * used / (ended - began), (ended - began) / (last - count)


def _next_scrape(server: Program) -> tuple[int, float]:
    """Wait for the next scrape; return how many there were, and when."""
    seen = _scrapes(server)
    while (now := _scrapes(server)) == seen:
        time.sleep(0.05)
    time.sleep(0.05)  # until the page is sent
    return now, time.monotonic()


def _scrapes(server: Program) -> int:
    return server.log.stat().st_size // len(vllm_server.MARK)


@contextlib.contextmanager
def _server(engines: int) -> Iterator[tuple[int, Program]]:
    """A server for a page of the size of the other benchmarks' engines."""
    with workplace() as folder, TruthEngine() as one:
        page, port = folder / "page.prom", free_port()
        page.write_text(one.page())
        program = python_program(vllm_server.__name__, str(port), str(engines), str(page))
        with program:
            wait_http(f"http://{LOOPBACK}:{port}/ready", program)
            yield port, program
