"""Memory of a daemon that is scraped each second, with and without flight recorder: whether it grows."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from fakes.processes import rss_bytes

from benchmarks.daemons import MIB, Scraping, engines, gpus, rackwatt, workplace
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Sequence

ENGINES = 8
WINDOWS_SECONDS = 180.0
"""By then every window is full: series of two minutes, samples of diagnosis of two and a half."""
SOAK_SECONDS, QUICK_SECONDS = 1800.0, 30.0
HOW = "VmRSS {:.0f} s after the start, 8 GPUs + 8 engines of 60 KB, scraped each 1 s"
BESIDE = "; another daemon on the same GPUs and engines in the same seconds, with `recorder: {memory: 0}`"


def memory(*, quick: bool) -> list[Figure]:
    """Measure a daemon once its windows are full."""
    return _grown((QUICK_SECONDS,) if quick else (WINDOWS_SECONDS,))


def soak(*, quick: bool) -> list[Figure]:
    """Measure a daemon once its windows are full, and again after half an hour."""
    return _grown((QUICK_SECONDS,) if quick else (WINDOWS_SECONDS, SOAK_SECONDS))


def _grown(moments: Sequence[float]) -> list[Figure]:
    figures = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        served = stack.enter_context(engines(ENGINES))
        urls = [engine.url for engine in served]
        with rackwatt(folder / "first", driver, urls):
            pass  # compiles what installed packages have as bytecode
        agent = stack.enter_context(rackwatt(folder / "agent", driver, urls))
        bare = rackwatt(folder / "bare", driver, urls, more={"recorder": {"memory": 0}})
        stack.enter_context(bare)
        stack.enter_context(Scraping([agent.port, bare.port], 1.0))
        began = time.monotonic()
        for seconds in moments:
            time.sleep(began + seconds - time.monotonic())
            whole, without = (rss_bytes(each.program.pid) / MIB for each in (agent, bare))
            how, after = HOW.format(seconds), f"after {seconds / 60:g} min"
            budget = at_most(without, 60.0, "<= 60 MiB")
            figures.append(Figure(f"memory {after}", whole, "MiB", how))
            figures.append(
                Figure(f"memory {after}, no recorder", without, "MiB", how + BESIDE, budget=budget)
            )
    return figures
