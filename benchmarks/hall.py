"""Ten quiet minutes of 1,000 members: is any ever missing, and how long do pages wait?"""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any

from fakes.agent import RunningAgent
from fakes.processes import LOOPBACK

from benchmarks import members
from benchmarks.daemons import Beside, watch, workplace
from benchmarks.rack import FULL, Page, serving, wait_valid
from benchmarks.report import Budget, Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.daemons import Usage

SECONDS, QUICK_SECONDS = 600.0, 60.0
SETTLE_SECONDS = 10.0
ASK_SECONDS = 0.05


class Asker(Beside):
    """Asks for the cheapest page again and again: an answer waits for whatever holds the event loop."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._port = port

    def run(self) -> None:
        """Ask until told to end."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=10.0)
        while not self.done.wait(ASK_SECONDS):
            began = time.perf_counter()
            connection.request("GET", "/-/healthy")
            connection.getresponse().read()
            self.waits.append(time.perf_counter() - began)


def hall(*, quick: bool) -> list[Figure]:
    """Watch one rack daemon of 1,000 members for long."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with serving(FULL) as port, workplace() as folder:
        settings: dict[str, Any] = {"rack": {"members": members.urls(FULL, port)}, "collectors": {}}
        with RunningAgent(folder, settings) as agent:
            wait_valid(agent)
            time.sleep(SETTLE_SECONDS)
            before = agent.value("rackwatt_collector_failures_total", collector="peers") or 0.0
            with Page(agent.port) as page, Asker(agent.port) as asker:
                [used] = watch([agent.program.pid], seconds)
            lost = (agent.value("rackwatt_collector_failures_total", collector="peers") or 0.0) - before
    return _figures(used, page.reporting, sorted(asker.waits), int(lost))


def _figures(used: Usage, reporting: Sequence[int], waits: Sequence[float], lost: int) -> list[Figure]:
    what = f"{FULL:,} members for {used.seconds:.0f} s"
    told = f"least that any of {len(reporting)} events of the live page said report; {lost} polls lost"
    asked = (
        f"the longest of {len(waits)} answers of /-/healthy, one asked for {1000 * ASK_SECONDS:.0f} ms after "
        "the other: what held the event loop, and what held the asker on the same cores"
    )
    kept = Budget(f"= {FULL}", kept=min(reporting) == FULL)
    return [
        Figure(f"{what}, reporting", min(reporting), "nodes", told, budget=kept),
        Figure(f"{what}, longest wait", 1000 * waits[-1], "ms", asked),
        Figure(f"{what}, p99 of waits", 1000 * waits[int(0.99 * len(waits))], "ms", "of the same answers"),
        Figure(
            f"{what}, CPU",
            used.cpu_percent,
            "% of a core",
            "process CPU clock of the rack daemon, a live page open",
            budget=at_most(used.cpu_percent, 100.0, "<= one core"),
        ),
        Figure(f"{what}, memory", used.rss_mib, "MiB", "VmRSS at the end"),
    ]
