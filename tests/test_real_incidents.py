"""Incidents of a real llama.cpp server under a steady load, beside a fake driver; one story, in its order."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from fakes.agent import RunningAgent
from fakes.engines.llamacpp import LlamaCpp
from fakes.engines.steady import SteadyClients
from fakes.nvml.driver import FakeDriver
from fakes.processes import Program, http_get

pytestmark = pytest.mark.alone
BUSY, IDLE = 0.7, 0.0
HARDWARE = {"thermal", "power_cap", "power_brake", "clocks_low", "gpu_lost", "gpu_fault", "ecc", "nvlink"}


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


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    directory = tmp_path_factory.mktemp("rig")
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


def test_a_steady_load_is_silent(rig):
    time.sleep(16)

    assert rig.agent.node()["state"] == "serving"
    assert rig.wrong() == []


def test_half_the_clients_are_no_incident(rig):
    since = time.time()
    rig.clients.count = 3
    rig.driver.load("*", 0.4)
    time.sleep(6)
    rig.clients.count = 8
    rig.driver.load("*", BUSY)

    assert rig.loud(since) == []


def test_an_engine_that_does_not_answer_while_gpus_work_is_a_gap_of_telemetry(rig):
    since = time.time()
    rig.engine.program.freeze()
    try:
        gap = rig.wait_for(lambda each: each["kind"] == "gap", since, 12.0)
    finally:
        rig.engine.program.thaw()

    assert (gap["cause"], gap["severity"]) == ("telemetry_gap", "warning")
    assert rig.engine.url.removeprefix("http://") in gap["summary"]
    assert {each["cause"] for each in rig.told(since)} == {"telemetry_gap"}


def test_without_processor_time_the_hardware_is_not_blamed(rig):
    rig.calm()
    since = time.time()
    pid = rig.engine.program.pid
    allowed = os.sched_getaffinity(pid)
    core = max(allowed)
    pin(pid, {core})
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    burners = [Program([sys.executable, "-c", code]) for _ in range(5)]
    for each in burners:
        each.start()
    rig.driver.load("*", 0.3)
    try:
        drop = rig.wait_for(lambda each: each["kind"] in {"drop", "stall"}, since, 20.0)
    finally:
        for each in burners:
            each.kill()
        pin(pid, allowed)
        rig.driver.load("*", BUSY)

    assert drop["cause"] in {"host_pressure", "unknown"}
    assert HARDWARE.isdisjoint(each["cause"] for each in rig.told())


def test_a_quick_restart_is_information(rig):
    rig.calm()
    since = time.time()
    rig.driver.load("*", IDLE)
    rig.engine.kill()
    time.sleep(2.5)
    rig.engine.start()
    rig.driver.load("*", BUSY)

    restart = rig.wait_for(lambda each: each["kind"] == "restart", since, 12.0)

    assert restart["severity"] == "info"
    assert rig.wrong(since) == []


def test_an_engine_that_does_not_answer_while_gpus_idle_is_down(rig):
    rig.calm()
    since = time.time()
    rig.driver.load("*", IDLE)
    rig.engine.program.freeze()
    down = rig.wait_for(lambda each: each["cause"] == "engine_down", since, 15.0)

    assert "does not answer" in down["summary"]
    assert [each["kind"] for each in rig.told(since) if each["kind"] == "gap"] == []


def test_an_engine_that_stays_away_is_down_after_the_grace(rig):
    since = time.time() - 15.0
    rig.engine.kill()
    drop = rig.wait_for(lambda each: each["kind"] == "drop" and each["cause"] == "engine_down", since, 25.0)

    assert drop["severity"] == "critical"
    assert drop["lost_tokens"] > 0
    assert drop["engine_instance"] == rig.engine.url.removeprefix("http://")


def pin(pid, cores):
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
