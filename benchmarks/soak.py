"""Memory of a daemon that runs for half an hour, scraped each second: whether it still grows then."""

from __future__ import annotations

import contextlib
import time

from fakes.processes import rss_bytes

from benchmarks.daemons import MIB, Scraping, engines, gpus, rackwatt, workplace
from benchmarks.report import Figure

ENGINES = 8
WINDOWS_SECONDS = 180.0
"""By then every window is full: series of two minutes, samples of diagnosis of two and a half."""
SOAK_SECONDS, QUICK_SECONDS = 1800.0, 30.0
HOW = "VmRSS {:.0f} s after the start, 8 GPUs + 8 engines of 60 KB, scraped each 1 s"


def soak(*, quick: bool) -> list[Figure]:
    """Measure a daemon once its windows are full, and again after half an hour."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        served = stack.enter_context(engines(ENGINES))
        urls = [engine.url for engine in served]
        with rackwatt(folder / "first", driver, urls):
            pass  # compiles what installed packages have as bytecode
        agent = stack.enter_context(rackwatt(folder / "agent", driver, urls))
        stack.enter_context(Scraping([agent.port], 1.0))
        began, told = time.monotonic(), []
        for seconds in (QUICK_SECONDS,) if quick else (WINDOWS_SECONDS, SOAK_SECONDS):
            time.sleep(began + seconds - time.monotonic())
            told.append((seconds, rss_bytes(agent.program.pid) / MIB))
    return [
        Figure(f"memory after {seconds / 60:g} min", mib, "MiB", HOW.format(seconds)) for seconds, mib in told
    ]
