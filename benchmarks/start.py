"""What a start costs: CPU and memory from exec until every GPU was read."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from fakes.processes import pss_bytes, rss_bytes

from benchmarks.daemons import MIB, PEER, Peer, cpu_seconds, gpus, rackwatt, workplace
from benchmarks.report import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.nvml.driver import FakeDriver
    from fakes.processes import Program

STARTS, QUICK_STARTS = 7, 2
Cost = tuple[float, float, float, float]
"""CPU seconds, wall seconds, RSS and PSS in MiB."""


def start(*, quick: bool) -> list[Figure]:
    """Start each daemon several times on the same eight GPUs, taking turns."""
    ours: list[Cost] = []
    peers: list[Cost] = []
    with workplace() as folder, gpus(folder) as driver:
        for number in range(QUICK_STARTS if quick else STARTS):
            ours.append(_ours(folder / str(number), driver))
            peers.append(_peers(folder, driver))
    method = (
        f"median of {len(ours)} starts, warm disk, from exec until /-/ready says that every source was read; "
        "the peer until its page has every GPU"
    )
    return [
        Figure(what, _median(ours, place), unit, method, PEER, _median(peers, place))
        for place, (what, unit) in enumerate(
            (("start, CPU", "s"), ("start, wall", "s"), ("start, RSS", "MiB"), ("start, PSS", "MiB"))
        )
    ]


def _ours(folder: Path, driver: FakeDriver) -> Cost:
    agent = rackwatt(folder, driver)
    began = time.monotonic()
    with agent:
        return _cost(agent.program, began)


def _peers(folder: Path, driver: FakeDriver) -> Cost:
    peer = Peer(folder, driver)
    began = time.monotonic()
    with peer:
        return _cost(peer.program, began)


def _cost(program: Program, began: float) -> Cost:
    pid, seconds = program.pid, time.monotonic() - began
    return cpu_seconds(pid), seconds, rss_bytes(pid) / MIB, pss_bytes(pid) / MIB


def _median(costs: list[Cost], place: int) -> float:
    return statistics.median(cost[place] for cost in costs)
