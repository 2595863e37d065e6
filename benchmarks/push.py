"""What sending by OTLP costs the running daemon, and what one push is."""

from __future__ import annotations

import contextlib
import time

from fakes.otlp import Sink

from benchmarks.daemons import engines, gpus, rackwatt, watch, workplace
from benchmarks.report import Figure

ENGINES = 8
WARM_UP_SECONDS, WINDOW_SECONDS = 20.0, 60.0
QUICK_WARM_UP_SECONDS, QUICK_SECONDS = 16.0, 15.0
PEER = "rackwatt that pushes nothing"


def push(*, quick: bool) -> list[Figure]:
    """Run two daemons on the same GPUs and engines over the same seconds, one of them pushing."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        urls = [engine.url for engine in stack.enter_context(engines(ENGINES))]
        sink = stack.enter_context(Sink())
        silent = stack.enter_context(rackwatt(folder / "silent", driver, urls))
        pushing = stack.enter_context(rackwatt(folder / "pushing", driver, urls, {"endpoint": sink.url}))
        time.sleep(QUICK_WARM_UP_SECONDS if quick else WARM_UP_SECONDS)
        pids = [pushing.program.pid, silent.program.pid]
        ours, peer = watch(pids, QUICK_SECONDS if quick else WINDOW_SECONDS)
        size = float(sink.headers[-1]["content-length"]) / 1024
        points = len(sink.points) / len(sink.resources)
    method = f"process CPU clock over {ours.seconds:.0f} s, both on the same GPUs and engines"
    memory = f"VmRSS after the window (PSS: {ours.pss_mib:.1f} MiB, peer {peer.pss_mib:.1f} MiB)"
    what = f"8 GPUs + {ENGINES} engines, pushing each 15 s"
    told = f"of one push, packed; {points:.0f} numbers beside the histograms"
    return [
        Figure(what, ours.cpu_percent, "% of a core", method, PEER, peer.cpu_percent),
        Figure(f"{what}, memory", ours.rss_mib, "MiB", memory, PEER, peer.rss_mib),
        Figure(f"{what}, size", size, "KiB", told),
    ]
