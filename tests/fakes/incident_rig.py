"""A real llama.cpp server under a steady load, beside a fake driver, and what the agent tells of it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fakes.agent import RunningAgent
from fakes.engines.llamacpp import LlamaCpp
from fakes.engines.steady import SteadyClients
from fakes.nvml.driver import FakeDriver
from fakes.processes import http_get

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY, IDLE = 0.7, 0.0


class Rig:
    """Engine, driver and agent, and what the agent tells."""

    def __init__(self, driver, engine, agent, clients):
        self.driver, self.engine, self.agent, self.clients = driver, engine, agent, clients

    def told(self, since=0.0):
        status, body = http_get(f"{self.agent.url}/api/v1/incidents")
        assert status == 200, body
        return [each for each in json.loads(body)["incidents"] if each["started"] >= since - 1.5]

    def loud(self, since=0.0):
        return [each for each in self.told(since) if each["severity"] != "info"]

    def wrong(self, since=0.0):
        """What is told loudly though clients were given as much as before: a busy machine may slow them."""
        return [
            each
            for each in self.loud(since)
            if each["cause"] not in {"unknown", "host_pressure"}
            or self.clients.rate(each["started"], each["started"] + 5.0)
            > 0.9 * self.clients.rate(each["started"] - 10.0, each["started"])
        ]

    def wait_for(self, holds, since, deadline_seconds):
        ends = time.monotonic() + deadline_seconds
        while not any(holds(each) for each in self.standing(since)):
            assert time.monotonic() < ends, (self.told(), self.agent.node()["engines"])
            time.sleep(0.1)
        return next(each for each in self.standing(since) if holds(each))

    def standing(self, since):
        """What began since then, or goes on: a machine that is slower after a restart keeps one open."""
        return [each for each in self.told() if each["started"] >= since - 1.5 or each["ended"] is None]

    def calm(self):
        """Wait until what was told has ended, but not for ever."""
        ends = time.monotonic() + 14.0
        while time.monotonic() < ends and not all(each["ended"] for each in self.told()):
            time.sleep(0.1)


@contextmanager
def rigged(directory: Path) -> Iterator[Rig]:
    """Start all of it."""
    with FakeDriver(directory, preset="gb300") as driver, LlamaCpp() as engine:
        driver.load("*", BUSY)
        target = {"url": f"{engine.url}/metrics"}
        settings = {
            "window": "5s",
            "collectors": {"nvml": {}, "engines": {"targets": [target], "timeout": "1s"}},
        }
        with (
            RunningAgent(directory / "agent", settings, env=driver.env) as agent,
            SteadyClients(engine.url, 8) as clients,
        ):
            yield Rig(driver, engine, agent, clients)
