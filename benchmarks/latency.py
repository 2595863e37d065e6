"""How long a scraper waits for /metrics: after a new snapshot, and when nothing changed since the last."""

from __future__ import annotations

import contextlib
import statistics
import time

from benchmarks.daemons import PEER, Client, Peer, engines, gpus, rackwatt, workplace
from benchmarks.report import Figure, at_most

SCRAPES = 200
QUICK_SCRAPES = 20
PAUSE_SECONDS = 1.0
PLAIN_TEXT = "text/plain;version=0.0.4"
BUDGETS_MS = {"cold": 15.0, "warm": 2.0}


def scrapes(*, quick: bool) -> list[Figure]:
    """Scrape in pairs: the first of a pair meets a new snapshot, the second the page just rendered."""
    pairs = QUICK_SCRAPES if quick else SCRAPES
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        driver = stack.enter_context(gpus(folder))
        served = stack.enter_context(engines(8))
        peer = stack.enter_context(Peer(folder, driver))
        agents = {
            encoding: stack.enter_context(
                rackwatt(folder / encoding, driver, [engine.url for engine in served])
            )
            for encoding in ("identity", "gzip")
        }
        time.sleep(2.0)
        taken: dict[str, list[float]] = {}
        sizes: dict[str, int] = {}
        clients = {
            encoding: [Client(port, {"Accept": PLAIN_TEXT, "Accept-Encoding": encoding}) for port in ports]
            for encoding, ports in ((e, (agent.port, peer.port)) for e, agent in agents.items())
        }
        while min((len(taken.get(f"{e} cold", ())) for e in agents), default=0) < pairs:
            time.sleep(PAUSE_SECONDS)
            for encoding, (ours, theirs) in clients.items():
                sizes[encoding] = _pair(ours, taken, encoding)
                seconds, body = theirs.scrape()
                taken.setdefault(f"{encoding} peer", []).append(seconds)
                sizes[f"{encoding} peer"] = len(body)
    return [
        figure
        for encoding in agents
        for state in ("cold", "warm")
        for figure in _figures(encoding, state, taken, sizes)
    ]


def _pair(client: Client, taken: dict[str, list[float]], encoding: str) -> int:
    """Scrape twice; keep the times when the first saw a new page and the second the same again."""
    before = client.last
    first, body = client.scrape()
    second, again = client.scrape()
    if body != before:
        taken.setdefault(f"{encoding} cold", []).append(first)
    if body == again:
        taken.setdefault(f"{encoding} warm", []).append(second)
    return len(body)


def _figures(encoding: str, state: str, taken: dict[str, list[float]], sizes: dict[str, int]) -> list[Figure]:
    ours, theirs = taken[f"{encoding} {state}"], taken[f"{encoding} peer"]
    limit = BUDGETS_MS[state]
    method = (
        f"{len(ours)} scrapes on loopback, 8 GPUs + 8 engines, {sizes[encoding] / 1000:.0f} KB on the wire, "
        f"kept connection; {_STATES[state]}; the peer renders at each scrape ({len(theirs)}, "
        f"{sizes[f'{encoding} peer'] / 1000:.0f} KB) and closes its connection"
    )
    found = []
    for name, quantile in (("p50", 0.50), ("p99", 0.99)):
        value, peer = 1e3 * _quantile(ours, quantile), 1e3 * _quantile(theirs, quantile)
        budget = at_most(value, limit, f"<= {limit:g} ms")
        found.append(Figure(f"{encoding}, {state}, {name}", value, "ms", method, PEER, peer, budget))
    return found


_STATES = {
    "cold": "the first after a new snapshot: it renders",
    "warm": "nothing changed since the scrape before it",
}


def _quantile(values: list[float], share: float) -> float:
    if share == 0.5:
        return statistics.median(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
