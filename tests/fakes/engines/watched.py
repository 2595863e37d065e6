"""An engine whose truth is known, the daemon that watches it, and whether it has read it by now."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from fakes.agent import RunningAgent
from fakes.engines.client import LoadClient
from fakes.nvml.driver import FakeDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fakes.engines.client import Result
    from fakes.engines.installed import InstalledEngine

REST_SECONDS = 60.0  # an engine that is busy ending cancelled requests is not idle yet
QUIET_SECONDS = 1.5


class Watched:
    """`rackwatt run` beside an engine that runs already and a fake driver; a context manager."""

    def __init__(self, directory: Path, engine: InstalledEngine, engines: Mapping[str, Any]) -> None:
        """Take the settings of the `engines` collector."""
        self.engine = engine
        self.driver = FakeDriver(directory, preset="gb300")
        settings = {"window": "5s", "collectors": {"nvml": {}, "engines": dict(engines)}}
        self.agent = RunningAgent(directory / "agent", settings, env=self.driver.env)

    def __enter__(self) -> Self:
        """Start the daemon."""
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.agent.program.stop()

    def client(self, **settings: Any) -> LoadClient:
        """A client of the engine."""
        return LoadClient(self.engine.url, self.engine.model, **settings)

    def totals(self) -> dict[str, float]:
        """What the daemon has counted, by kind of token, once the engine rests."""
        rested = time.time()
        self.agent.wait_for(lambda node: _rests(node, rested), REST_SECONDS)
        kinds = ("output", "prompt", "prompt_cached")
        return {kind: self.agent.value("rackwatt_engine_tokens_total", kind=kind) or 0.0 for kind in kinds}

    def serve(
        self,
        client: LoadClient,
        requests: int,
        *,
        concurrency: int = 8,
        max_tokens: int = 64,
        during: Callable[[LoadClient], None] | None = None,
    ) -> Result:
        """Send a load and return what the client was given; `during` runs meanwhile and ends it early."""
        results: list[Result] = []
        thread = threading.Thread(
            target=lambda: results.append(asyncio.run(client.run(requests, concurrency, max_tokens)))
        )
        thread.start()
        try:
            if during is not None:
                during(client)
        finally:
            if during is not None:
                client.finish()
            thread.join()
        assert results[0].errors == ()
        return results[0]

    def rate_of_a_load(self, requests: int, max_tokens: int = 400) -> tuple[dict[str, Any], float]:
        """What the daemon tells in the middle of a steady load, and the client's own rate meanwhile."""
        seen: list[tuple[dict[str, Any], float]] = []
        client = self.client(stream_share=1.0)
        self.serve(
            client,
            requests,
            concurrency=16,
            max_tokens=max_tokens,
            during=lambda c: seen.append(self.rates(c)),
        )
        return seen[0]

    def rates(self, client: LoadClient, seconds: float = 15.0) -> tuple[dict[str, Any], float]:
        """Look on during a load: the last snapshot, and the client's own rate over that snapshot's window."""
        seen, ends = [], time.monotonic() + seconds
        while time.monotonic() < ends:
            seen.append((time.monotonic(), client.live_output_tokens))
            time.sleep(0.1)
        node = self.agent.node()
        window = node["figures"]["node_tokens_per_second"]["window_seconds"]
        within = [look for look in seen if ends - 1 - window <= look[0] <= ends - 1]  # read up to 1 s ago
        (began, first), (ended, last) = within[0], within[-1]
        return node, (last - first) / (ended - began)


def total(agent: RunningAgent) -> float | None:
    """Return how many output tokens an agent has counted."""
    return agent.value("rackwatt_engine_tokens_total", kind="output")


def settle(agent: RunningAgent, seconds: float = 2.0) -> None:
    """Wait until the agent has read pages that were asked for after this moment."""
    now = time.time()
    agent.wait_for(lambda node: node["at"] > now + seconds and node["state"] in {"idle", "serving"}, 20)


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What the daemon counted meanwhile, by kind of token."""
    return {kind: after[kind] - before[kind] for kind in before}


def given(*results: Result) -> dict[str, float]:
    """What clients were given, by kind of token."""
    return {
        "output": sum(result.output_tokens for result in results),
        "prompt": sum(result.prompt_tokens for result in results),
        "prompt_cached": sum(result.cached_tokens for result in results),
    }


def _rests(node: Mapping[str, Any], since: float) -> bool:
    """Tell whether every engine was read, and idle, after a moment: a dear page is read each few seconds."""
    engines = node["engines"]
    return bool(engines) and all(
        e["state"] == "idle" and e["read_at"] > since + QUIET_SECONDS for e in engines
    )
