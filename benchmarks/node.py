"""CPU and memory of the running daemon: with GPUs alone, and with eight engines beside them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from fakes.prometheus import Prometheus

from benchmarks.daemons import PEER, Peer, Scraping, Usage, engines, gpus, rackwatt, watch, workplace
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.agent import RunningAgent
    from fakes.engines.truth import TruthEngine
    from fakes.nvml.driver import FakeDriver

ENGINES = 8
WARM_UP_SECONDS, WINDOW_SECONDS, SLOW_WINDOW_SECONDS = 15.0, 25.0, 45.0
QUICK_SECONDS = 5.0
CPU_METHOD = "process CPU clock (what schedstat adds up) of the running daemon over {:.0f} s after warm-up"


def gpus_alone(*, quick: bool) -> list[Figure]:
    """Measure rackwatt and its peer side by side on the same eight GPUs, over the same seconds."""
    seconds = QUICK_SECONDS if quick else WINDOW_SECONDS
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        with Peer(folder, driver), rackwatt(folder / "first", driver):
            pass  # compiles what installed packages have as bytecode
        peer = stack.enter_context(Peer(folder, driver))
        ours = stack.enter_context(rackwatt(folder / "agent", driver))
        deaf = stack.enter_context(rackwatt(folder / "deaf", driver, xid_events=False))
        pids = [program.pid for program in (ours.program, peer.program, deaf.program)]
        time.sleep(QUICK_SECONDS if quick else WARM_UP_SECONDS)
        alone = watch(pids, seconds)
        with Scraping([ours.port, peer.port, deaf.port], 1.0):
            time.sleep(2.0)
            scraped = watch(pids, seconds)
    figures = [
        *_against_peer("8 GPUs, unscraped", alone),
        *_against_peer("8 GPUs, scraped each 1 s", scraped),
    ]
    return [*figures, _memory(scraped)]


def _against_peer(what: str, used: list[Usage]) -> list[Figure]:
    ours, peer, deaf = (usage.cpu_percent for usage in used)
    method = CPU_METHOD.format(used[0].seconds) + ", both on one fake NVML in the same seconds"
    without = f"{method}; xid_events: false, to show what waiting for Xids costs"
    return [
        Figure(what, ours, "% of a core", method, PEER, peer, at_most(ours, peer / 4, "<= 1/4 of the peer")),
        Figure(f"{what}, no Xid events", deaf, "% of a core", without, PEER, peer),
    ]


def _memory(used: list[Usage]) -> Figure:
    ours, peer, _ = used
    method = f"VmRSS after the windows (PSS: {ours.pss_mib:.1f} MiB, peer {peer.pss_mib:.1f} MiB)"
    return Figure("8 GPUs, memory", ours.rss_mib, "MiB", method, PEER, peer.rss_mib)


def with_engines(*, quick: bool) -> list[Figure]:
    """Measure rackwatt with eight engines of 60 KB beside the GPUs, then Prometheus on the same engines."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        served = stack.enter_context(engines(ENGINES))
        urls = [engine.url for engine in served]
        with rackwatt(folder / "first", driver, urls):
            pass  # as above
        with rackwatt(folder / "agent", driver, urls) as agent:
            ours = _each_cadence(agent, quick=quick)
            method = _method(ours, served)
        without = _without_events(folder, driver, served, quick=quick)
        peer = _prometheus(served, quick=quick)
    figures = [
        Figure(
            f"8 GPUs + 8 engines, {how}",
            usage.cpu_percent,
            "% of a core",
            CPU_METHOD.format(usage.seconds) + method,
            "Prometheus",
            peer.cpu_percent,
            at_most(usage.cpu_percent, 1.0, "<= 1 %"),
        )
        for how, usage in (ours | without).items()
    ]
    most = max(ours.values(), key=lambda usage: usage.rss_mib)
    budget = at_most(most.rss_mib, 60.0, "<= 60 MiB")
    told = f"VmRSS, the most after any window (PSS: {most.pss_mib:.1f} MiB, peer {peer.pss_mib:.1f} MiB)"
    figures.append(
        Figure("8 GPUs + 8 engines, memory", most.rss_mib, "MiB", told, "Prometheus", peer.rss_mib, budget)
    )
    return figures


def _each_cadence(agent: RunningAgent, *, quick: bool) -> dict[str, Usage]:
    time.sleep(QUICK_SECONDS if quick else WARM_UP_SECONDS)
    pids = [agent.program.pid]
    used = {"unscraped": watch(pids, QUICK_SECONDS if quick else WINDOW_SECONDS)[0]}
    with Scraping([agent.port], 15.0):
        used["scraped each 15 s"] = watch(pids, QUICK_SECONDS if quick else SLOW_WINDOW_SECONDS)[0]
    with Scraping([agent.port], 1.0):
        time.sleep(2.0)
        used["scraped each 1 s"] = watch(pids, QUICK_SECONDS if quick else WINDOW_SECONDS)[0]
    return used


def _method(used: dict[str, Usage], served: list[TruthEngine]) -> str:
    asked = [scrape.arrived_ns for scrape in served[0].scrapes(last=20)]
    cadence = (asked[-1] - asked[0]) / 1e9 / (len(asked) - 1)
    size = len(served[0].page()) / 1000
    return (
        f"; each engine is a process with a page of {size:.0f} KB, read each {cadence:.1f} s; "
        "the peer scrapes the same engines each 1 s and does nothing else"
    )


def _without_events(
    folder: Path, driver: FakeDriver, served: list[TruthEngine], *, quick: bool
) -> dict[str, Usage]:
    seconds = QUICK_SECONDS if quick else WINDOW_SECONDS
    urls = [engine.url for engine in served]
    with rackwatt(folder / "deaf", driver, urls, xid_events=False) as agent:
        pids = [agent.program.pid]
        time.sleep(QUICK_SECONDS if quick else WARM_UP_SECONDS)
        used = {"unscraped, no Xid events": watch(pids, seconds)[0]}
        with Scraping([agent.port], 1.0):
            time.sleep(2.0)
            used["scraped each 1 s, no Xid events"] = watch(pids, seconds)[0]
    return used


def _prometheus(served: list[TruthEngine], *, quick: bool) -> Usage:
    targets = {"engines": [engine.url.removeprefix("http://") for engine in served]}
    with Prometheus(targets, scrape_interval="1s") as prometheus:
        time.sleep(QUICK_SECONDS if quick else WARM_UP_SECONDS)
        return watch([prometheus.program.pid], QUICK_SECONDS if quick else WINDOW_SECONDS)[0]
