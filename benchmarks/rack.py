"""What a rack daemon costs with 18, 200 and 1,000 members, beside Prometheus on as many."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fakes.agent import RunningAgent
from fakes.processes import LOOPBACK, ProcessFailedError, free_port, http_get, python_program
from fakes.prometheus import Prometheus

from benchmarks import members
from benchmarks.daemons import Beside, Usage, watch, workplace
from benchmarks.report import Budget, Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZES = (18, 200, 1000)
WARM_UP_SECONDS, WINDOW_SECONDS = 15.0, 40.0
QUICK_WARM_UP_SECONDS, QUICK_WINDOW_SECONDS = 3.0, 10.0
READY_SECONDS = 20.0
VALID_SECONDS = 60.0
MOST_BETWEEN_SECONDS = 1.5
FULL = 1000
"""The size that the budget speaks of."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the rack said of itself over the windows."""

    polls_lost: int
    least_coverage: float
    """Of the points of its history, one a second."""
    holes: int
    """Times that nothing was reckoned for three seconds."""
    least_reporting: int
    """In the events of the live page."""
    events: int
    seconds: float
    """For which the live page was open."""


def rack(*, quick: bool) -> list[Figure]:
    """Measure one rack daemon after the other, and Prometheus on the same members."""
    figures: list[Figure] = []
    for count in SIZES:
        with serving(count) as port:
            with workplace() as folder:
                unscraped, watched, looked = _ours(folder, port, count, quick=quick)
            peer = _prometheus(port, count, quick=quick)
        figures += _figures(count, unscraped, watched, looked, peer)
    return figures


@contextlib.contextmanager
def serving(count: int) -> Iterator[int]:
    """Members that answer; the port of all of them."""
    port = free_port()
    with python_program(members.__name__, str(port), str(count)) as program:
        ends = time.monotonic() + READY_SECONDS
        while "ready" not in program.tail():
            if not program.running or time.monotonic() > ends:
                raise ProcessFailedError(f"the members do not answer:\n{program.tail()}")
            time.sleep(0.05)
        yield port


def _ours(folder: Path, port: int, count: int, *, quick: bool) -> tuple[Usage, Usage, Looked]:
    settings: dict[str, Any] = {"rack": {"members": members.urls(count, port)}, "collectors": {}}
    seconds = QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS
    with RunningAgent(folder, settings) as agent:
        wait_valid(agent)
        time.sleep(QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS)
        lost, began = agent.value("rackwatt_collector_failures_total", collector="peers") or 0.0, time.time()
        time.sleep(2.0)
        [unscraped] = watch([agent.program.pid], seconds)
        with Page(agent.port) as page:
            time.sleep(2.0)
            [watched] = watch([agent.program.pid], seconds)
        history = json.loads(http_get(f"{agent.url}/api/v1/history")[1])
        after = agent.value("rackwatt_collector_failures_total", collector="peers") or 0.0
    told = [c for at, c in zip(history["at"], history["coverage"], strict=True) if at > began]
    return (
        unscraped,
        watched,
        Looked(
            int(after - lost),
            min(c for c in told if c is not None),
            told.count(None),
            min(page.reporting),
            len(page.reporting),
            seconds + 2.0,
        ),
    )


def wait_valid(agent: RunningAgent) -> None:
    """Wait until every member is in the figures: their window of ten seconds must be full."""
    ends = time.monotonic() + VALID_SECONDS
    while True:
        status, body = http_get(f"{agent.url}/api/v1/rack")
        if status == HTTPStatus.OK and json.loads(body)["coverage"] == 1.0:
            return
        if time.monotonic() > ends:
            raise ProcessFailedError(f"the rack is not whole after {VALID_SECONDS:.0f} s: {body[:800]!r}")
        time.sleep(1.0)


EVENT = re.compile(rb"(?:^|\n)event: (?:rack|figures)\n")
MOST_HEAD_BYTES = 64
"""Before it stands at most the size of a chunk of HTTP."""


class Page(Beside):
    """A live page that somebody looks at: it reads the stream, and how many nodes each event says report."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.reporting: list[int] = []
        self._port = port

    def run(self) -> None:
        """Read until closed."""
        for _, event in events(self._port):
            found = re.search(rb'"reporting":(\d+)', event)
            if found is not None:
                self.reporting.append(int(found[1]))
            if self.done.is_set():
                return


def events(port: int) -> Iterator[tuple[float, bytes]]:
    """Yield the rack events of a daemon's stream with the moment at which the last byte of each was here."""
    with socket.create_connection((LOOPBACK, port), timeout=10.0) as connection:
        connection.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
        waiting = bytearray()
        while received := connection.recv(1 << 20):
            waiting += received
            if b"\n\n" not in received and not waiting.endswith(b"\n\n"):
                continue
            here = time.monotonic()
            *whole, rest = bytes(waiting).split(b"\n\n")
            waiting = bytearray(rest)
            for event in whole:
                if EVENT.search(event, 0, MOST_HEAD_BYTES):
                    yield here, event


def _prometheus(port: int, count: int, *, quick: bool) -> Usage:
    targets = {"members": [url.removeprefix("http://") for url in members.urls(count, port)]}
    with Prometheus(targets, scrape_interval="1s") as prometheus:
        time.sleep(QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS)
        return watch([prometheus.program.pid], QUICK_WINDOW_SECONDS if quick else WINDOW_SECONDS)[0]


def _figures(count: int, unscraped: Usage, watched: Usage, looked: Looked, peer: Usage) -> list[Figure]:
    method = (
        f"process CPU clock of the running rack daemon over {unscraped.seconds:.0f} s; {count} members "
        f"(4 GPUs, 2 engines, 1.6 KB) polled at 1 Hz; {looked.polls_lost} polls lost in both windows, "
        f"coverage never below {looked.least_coverage:.4g}, {looked.holes} holes in its history, "
        f"nodes reporting never below {looked.least_reporting} in {looked.events} events; "
        "the peer, Prometheus, scrapes and stores a text page of as many bytes (24 series) from the same "
        "members each second, and sums nothing"
    )
    told = (("unscraped", unscraped), ("a live page open", watched))
    figures = [
        Figure(
            f"{count} members, {how}",
            usage.cpu_percent,
            "% of a core",
            method,
            "Prometheus",
            peer.cpu_percent,
            at_most(usage.cpu_percent, 100.0, "<= one core") if count == FULL else None,
        )
        for how, usage in told
    ]
    memory = f"VmRSS after the windows (PSS: {watched.pss_mib:.1f} MiB, peer {peer.pss_mib:.1f} MiB)"
    figures.append(
        Figure(f"{count} members, memory", watched.rss_mib, "MiB", memory, "Prometheus", peer.rss_mib)
    )
    if count == FULL:
        steady = f"least number of nodes that any of {looked.events} events of the live page said report"
        kept = Budget(f"= {count}", kept=looked.least_reporting == count)
        figures.append(
            Figure(f"{count} members, reporting", looked.least_reporting, "nodes", steady, budget=kept)
        )
        each = looked.seconds / max(1, looked.events)
        told_each = f"{looked.seconds:.0f} s of the live page over the number of its events"
        budget = at_most(each, MOST_BETWEEN_SECONDS, f"<= {MOST_BETWEEN_SECONDS:g} s")
        figures.append(Figure(f"{count} members, new figures each", each, "s", told_each, budget=budget))
    return figures
