"""The agent on a tray of the twin: its totals are the truth."""

import asyncio
import time

import pytest
from fakes.agent import RunningAgent

from agent import config
from agent.daemon import collectors_of
from agent.gather import Gatherer
from agent.reckoners import reckoner_of

REST = """
rack: {trays: 2, tokens_per_second: 43210.987, cached_share: 0.5}
load:
  stretches: [{lasts: 10s, level: 0}, {lasts: 4s, level: 0.9}, {lasts: 2s, level: 0.9, to: 0.1}, {level: 0}]
events: [{kind: engine_restart, at: 18s, lasts: 2s}]
"""
RESTLESS = """
rack: {trays: 1, tokens_per_second: 1000}
load: {level: 0.7, noise: 0.3, wave: {share: 0.2, period: 7s}}
"""


@pytest.fixture
def agent_of(tmp_path):
    running = []

    def start(twin, tray):
        settings = {
            "window": "3s",
            "collectors": {
                "twin": {"url": twin.url, "tray": tray},
                "engines": {"targets": [{"url": twin.engine(tray)}]},
            },
        }
        running.append(RunningAgent(tmp_path / "agent", settings).start())
        return running[-1]

    yield start
    for each in running:
        each.program.stop()


def totals(node):
    return {each["kind"]: each["total"] for engine in node["engines"] for each in engine["tokens"]}


def test_tokens_at_rest_are_the_truth_to_the_token(twin, agent_of):
    """T1, T2: though the agent was killed while they were made, and the engine restarted afterwards."""
    running = twin(REST)
    agent = agent_of(running, 1)
    assert totals(agent.wait_for(totals)) == {"output": 0.0, "prompt": 0.0, "prompt_cached": 0.0}
    assert running.truth()["seconds"] < 10, "this machine is too slow for this test"
    running.wait_until(12)
    agent.restart(kill=True)
    running.wait_until(17)
    truth = running.truth()["trays"][1]["tokens"]
    agent.wait_for(lambda node: totals(node) == truth)
    running.wait_until(21)
    node = agent.wait_for(lambda node: node["engines"][0]["restarts_total"] == 1)

    assert truth["output"] > 180_000
    assert totals(node) == truth


async def test_joules_are_the_truth_between_any_two_readings(twin, tmp_path):
    """T1: a total is a sum of observed differences; here of an exact integral, told in millijoules."""
    running = twin(RESTLESS)
    text = f"collectors: {{twin: {{url: '{running.url}', interval: 500ms}}}}\nstate_dir: {tmp_path}"
    settings = config.parse(text, "test")
    gatherer = Gatherer("test", 1.0, reckoner_of(settings))
    await gatherer.set_collectors(collectors_of(settings))
    try:
        first = await told_after(gatherer, time.monotonic())
        last = await told_after(gatherer, time.monotonic() + 10)
    finally:
        await gatherer.close()
    truths = [await asyncio.to_thread(running.truth, at) for at, _ in (first, last)]
    exact = truths[1]["trays"][0]["joules"]["gpu"] - truths[0]["trays"][0]["joules"]["gpu"]

    assert exact > 20_000
    assert last[1] - first[1] == pytest.approx(exact, rel=1e-6)


async def told_after(gatherer, moment):
    """The moment of the first reading after another one, and our joules of it."""
    while True:
        await gatherer.reckon_once({})
        snapshot = gatherer.snapshot
        if snapshot is not None and snapshot.gpus[0].reading.at.monotonic_seconds > moment:
            at = snapshot.gpus[0].reading.at.monotonic_seconds
            return at, sum(gpu.energy_joules_total for gpu in snapshot.gpus)
