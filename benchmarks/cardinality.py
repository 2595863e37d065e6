"""How many series Prometheus gets of nodes and racks, and records of them; counted, then multiplied."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from fakes.agent import RunningAgent
from fakes.alertmanager import write_faster
from fakes.nvml.driver import FakeDriver
from fakes.prometheus import Prometheus
from fakes.scraped_rack import shipped_config, shortened_rules

from benchmarks import members
from benchmarks.daemons import engines, workplace
from benchmarks.rack import serving, wait_valid
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL, LARGE = (4, 2), (8, 8)
"""GPUs and engines of a node."""
MEMBERS = 18
NODES = 1000
READY_SECONDS = 20.0
"""A window of ten seconds, and some for the figures of service."""
RECORDED_SECONDS = 60.0
PAGE = "samples on /metrics of the running daemon: fake NVML, engines with vLLM's page that share the GPUs"
RACK = "samples on the page of a daemon that does nothing else, its members those of `rack`"
RULES = (
    "by name on a real Prometheus with the shipped rules (what alerts record too), windows shortened, "
    "on that node and its rack"
)
JUDGED = {"least_requests": "0"}
"""So that what alerts record of throughput is there though the engines of this node have few requests."""


def cardinality(*, quick: bool) -> list[Figure]:
    """Count one node of each size, one rack, what is recorded, and a hall of a thousand nodes."""
    with workplace() as folder, node(folder / "large", *LARGE) as large:
        large_series = series(large)
    with workplace() as folder, node(folder / "small", *SMALL) as small:
        small_series = series(small)
        recorded = recorded_of(folder, small)
    rack_series = of_rack()
    racks = -(-NODES // MEMBERS)
    hall = NODES * small_series + racks * rack_series
    levels = {
        "node": NODES * recorded["node"],
        "model": racks * recorded["model"],
        "rack": racks * recorded["rack"],
        "site": recorded["site"],
    }
    made_of = f"{NODES} nodes of 4 GPUs and 2 engines, {racks} racks: the counted figures multiplied"
    return [
        Figure("a node, 4 GPUs + 2 engines", small_series, "series", PAGE),
        Figure("a node, 8 GPUs + 8 engines", large_series, "series", PAGE),
        Figure(
            f"a rack's daemon, {MEMBERS} members",
            rack_series,
            "series",
            "samples on the page of a daemon that does nothing else",
        ),
        *(
            Figure(f"recorded, per {name}", recorded[level], "series", RULES)
            for level, name in (
                ("node", "node"),
                ("model", "rack, of models"),
                ("rack", "rack"),
                ("site", "site"),
            )
        ),
        Figure(f"{NODES} nodes, scraped", hall, "series", made_of),
        *(
            Figure(f"{NODES} nodes, recorded, {name} level", count, "series", made_of)
            for name, count in levels.items()
        ),
    ]


@contextlib.contextmanager
def node(folder: Path, gpus: int, count: int) -> Iterator[RunningAgent]:
    """A daemon with GPUs and engines that share them."""
    folder.mkdir(parents=True)
    with FakeDriver(folder, preset="gb300", gpus=gpus) as driver, engines(count) as served:
        driver.load("*", 0.7)
        each = gpus // count
        targets = [
            {"url": f"{engine.url}/metrics", "gpus": list(range(place * each, (place + 1) * each))}
            for place, engine in enumerate(served)
        ]
        collectors = {"nvml": {"kmsg": ""}, "engines": {"targets": targets}}
        settings = {"collectors": collectors, "rack": {"name": "r12"}}
        with RunningAgent(folder / "agent", settings, driver.env) as agent:
            time.sleep(READY_SECONDS)
            yield agent


def series(agent: RunningAgent) -> int:
    """Count the samples of a page."""
    return sum(not line.startswith("#") for line in agent.page().splitlines())


def of_rack() -> int:
    """Count what a rack's daemon adds for its members."""
    with (
        workplace() as folder,
        serving(MEMBERS) as port,
        RunningAgent(folder, {"rack": {"members": members.urls(MEMBERS, port)}, "collectors": {}}) as agent,
    ):
        wait_valid(agent)
        return series(agent)


def recorded_of(folder: Path, small: RunningAgent) -> Counter[str]:
    """Count what is recorded of a node and a rack of it, by level."""
    rack = {"name": "r12", "members": [small.url]}
    with RunningAgent(folder / "head", {"rack": rack, "node": {"name": "head"}, "collectors": {}}) as head:
        _, alerts, _ = write_faster(folder, JUDGED)
        rules = [*shortened_rules(folder), alerts]
        config = shipped_config("prometheus.yml", rule_files=[str(path) for path in rules])
        targets = [daemon.url.removeprefix("http://") for daemon in (small, head)]
        config["scrape_configs"][0]["static_configs"] = [{"targets": targets}]
        with Prometheus({}, config=config) as prometheus:
            prometheus.wait_for("site:rackwatt_tokens_per_joule:ratio5m", deadline=RECORDED_SECONDS)
            prometheus.wait_for("count(rack:rackwatt_tokens:attained) == 2", deadline=RECORDED_SECONDS)
            time.sleep(READY_SECONDS)  # so that latency's windows, which need events, are there
            names = [row["metric"]["__name__"] for row in prometheus.query('{__name__=~".+:rackwatt_.+"}')]
    return Counter(name.partition(":")[0] for name in names)
