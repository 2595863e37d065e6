"""How old a token is when the live page of the rack first counts it."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import threading
import time
import zlib
from itertools import accumulate, count
from typing import TYPE_CHECKING

from fakes.agent import RunningAgent
from fakes.engines.timeline import Schedule, Segment, constant, idle
from fakes.engines.truth import TruthEngine
from fakes.processes import ProcessFailedError

from benchmarks.daemons import workplace
from benchmarks.rack import events
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from pathlib import Path

NODES = 4
RACK = "rack"
STEPS, QUICK_STEPS = 240, 40
STEP_TOKENS = 1000
STEP_SECONDS = 0.001
PAUSES_SECONDS = (0.3, 0.8)
"""Steps come at random moments, so every phase of every loop is met."""
SETTLE_SECONDS = 15.0
LAST_SECONDS = 6.0
BUDGET_SECONDS = 2.0


def page_latency(*, quick: bool) -> list[Figure]:
    """Make tokens at known moments; see when the stream of the rack daemon has them in its totals."""
    steps = (QUICK_STEPS if quick else STEPS) // NODES
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        names = _names()
        engines = [stack.enter_context(TruthEngine(output=idle(), model=name)) for name in names]
        nodes = [
            stack.enter_context(_node(folder / name, name, engine))
            for name, engine in zip(names, engines, strict=True)
        ]
        settings = {"node": {"name": RACK}, "rack": {"members": [node.url for node in nodes]}}
        head = stack.enter_context(RunningAgent(folder / RACK, settings | {"collectors": {}}))
        time.sleep(SETTLE_SECONDS)
        by_node = _ages(head.port, dict(zip(names, engines, strict=True)), steps)
    ages = sorted(age for of_node in by_node.values() for age in of_node)
    p50, p99 = statistics.median(ages), ages[int(0.99 * len(ages))]
    each = ", ".join(f"{max(of_node):.2f}" for of_node in by_node.values())
    method = (
        f"{len(ages)} steps of {STEP_TOKENS} tokens at random known moments in {NODES} engines (60 KB page, "
        "read each second), each through its node's daemon, a process whose phase lies a quarter of a second "
        "after the one before, and the rack daemon, until the last byte of the first stream event whose "
        f"total has them; all on one machine; the most at each node: {each} s"
    )
    budget = at_most(p99, BUDGET_SECONDS, "<= 2 s")
    return [
        Figure("token made until on the live page, p50", p50, "s", method),
        Figure("token made until on the live page, p99", p99, "s", method, budget=budget),
    ]


def _names() -> list[str]:
    """Name nodes so that each wakes a quarter of a second after the one before, from the rack's daemon on."""
    rack = zlib.crc32(RACK.encode()) % 1000
    return [
        next(
            name
            for number in count()
            if (zlib.crc32((name := f"tray-{number}").encode()) - rack) % 1000 // 20 == place * 50 // NODES
        )
        for place in range(NODES)
    ]


def _node(folder: Path, name: str, engine: TruthEngine) -> RunningAgent:
    collectors = {"engines": {"targets": [{"url": f"{engine.url}/metrics"}]}}
    return RunningAgent(folder, {"node": {"name": name}, "collectors": collectors})


def _ages(port: int, engines: dict[str, TruthEngine], steps: int) -> dict[str, list[float]]:
    """Return how old each step was when an event first had it."""
    seen: list[tuple[float, dict[str, float]]] = []
    done = threading.Event()

    def read() -> None:
        for here, event in events(port):
            models = json.loads(event.partition(b"data: ")[2])["models"]
            seen.append(
                (here, {model["model"]: model["tokens_total"].get("output", 0.0) for model in models})
            )
            if done.is_set():
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    made: dict[str, list[float]] = {}
    for name, engine in engines.items():
        pauses = [random.uniform(*PAUSES_SECONDS) for _ in range(steps)]
        began = engine.schedule(_steps(pauses)) / 1e9
        made[name] = [began + all_so_far for all_so_far in accumulate(p + STEP_SECONDS for p in pauses)]
    time.sleep(max(moments[-1] for moments in made.values()) - time.monotonic() + LAST_SECONDS)
    done.set()
    reader.join(LAST_SECONDS)
    return {name: _of_node(name, moments, seen) for name, moments in made.items()}


def _of_node(name: str, made: list[float], seen: list[tuple[float, dict[str, float]]]) -> list[float]:
    base, ages = seen[0][1].get(name, 0.0), []
    for number, moment in enumerate(made, 1):
        wanted = base + number * STEP_TOKENS
        shown = next((here for here, totals in seen if totals.get(name, 0.0) >= wanted), None)
        if shown is None:
            raise ProcessFailedError(f"step {number} of {name} never came to the page: {seen[-3:]}")
        ages.append(shown - moment)
    return ages


def _steps(pauses: list[float]) -> Schedule:
    segments: list[Segment] = []
    for pause in pauses:
        segments += [*idle(pause), *constant(STEP_TOKENS / STEP_SECONDS, STEP_SECONDS)]
    return tuple(segments)
