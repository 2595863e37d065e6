"""The main job on real input: a real llama.cpp server, the unmodified NVML bindings, a real Prometheus.

What the client received is the truth for tokens, the fake driver's own integral the truth for joules.
"""

import asyncio
import threading
import time

import pytest
from fakes.agent import RunningAgent
from fakes.engines.client import LoadClient
from fakes.engines.llamacpp import LlamaCpp
from fakes.nvml.driver import FakeDriver
from fakes.prometheus import Prometheus, promtool_check_metrics

OUTPUT = 'rackwatt_engine_tokens_total{kind="output"}'
JOULES = 'rackwatt_energy_joules_total{boundary="gpu"}'


pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """Driver, engine, agent and Prometheus, all running."""
    directory = tmp_path_factory.mktemp("rig")
    with FakeDriver(directory, preset="gb300") as driver, LlamaCpp() as engine:
        settings = {
            "window": "5s",
            "collectors": {
                "nvml": {"interval": "200ms"},
                "engines": {"targets": [{"url": f"{engine.url}/metrics"}]},
            },
        }
        agent = RunningAgent(directory / "agent", settings, env=driver.env)
        with agent, Prometheus({"rackwatt": [f"127.0.0.1:{agent.port}"]}, scrape_interval="1s") as prometheus:
            yield driver, engine, agent, prometheus


def serve(engine, requests, concurrency=8, max_tokens=64, between=None):
    """Send a load and return the tokens the client received; `between` runs in the middle of it."""
    client = LoadClient(engine.url, model="tiny-random")
    results = []
    thread = threading.Thread(
        target=lambda: results.append(asyncio.run(client.run(requests, concurrency, max_tokens)))
    )
    thread.start()
    if between is not None:
        between(client)
    thread.join()
    assert results[0].errors == ()
    return results[0].output_tokens


def at_rest(prometheus, agent):
    """Wait until agent and Prometheus show what the resting engine counts; return the time and the total."""
    rested = time.time()
    agent.wait_for(
        lambda node: node["at"] > rested + 1.5 and [e["state"] for e in node["engines"]] == ["idle"]
    )
    total = agent.value("rackwatt_engine_tokens_total", kind="output")
    prometheus.wait_for(OUTPUT, lambda rows: bool(rows) and float(rows[0]["value"][1]) == total)
    return time.time(), total


def test_totals_equal_what_the_client_received_whoever_restarts(rig):
    """T1, T2: to the token, over restarts of the engine at rest and of rackwatt in the middle."""
    _, engine, agent, prometheus = rig
    _, before = at_rest(prometheus, agent)

    received = serve(engine, 150, between=lambda _: agent.restart())
    received += serve(engine, 150, between=lambda _: agent.restart(kill=True))
    at_rest(prometheus, agent)
    engine.restart()
    received += serve(engine, 100)
    _, after = at_rest(prometheus, agent)

    assert after - before == received
    assert agent.value("rackwatt_engine_restarts_total") == 1


def test_under_load_the_total_is_within_the_published_uncertainty(rig):
    """T3, T21: the counter moves when requests end; what it hides is bounded by what is published."""
    _, engine, agent, prometheus = rig
    _, before = at_rest(prometheus, agent)
    errors, bounds = [], []

    def watch(client):
        agent.wait_for(lambda node: node["engines"][0]["state"] == "serving")
        for _ in range(25):
            time.sleep(0.2)
            page = agent.node()
            truth = client.live_output_tokens
            (output,) = (t for t in page["engines"][0]["tokens"] if t["kind"] == "output")
            errors.append(truth - (output["total"] - before))
            bounds.append(output["uncertainty"])

    received = serve(engine, 60, concurrency=4, max_tokens=1500, between=watch)
    _, after = at_rest(prometheus, agent)

    assert after - before == received
    assert max(errors) > 0
    assert all(abs(error) <= bound for error, bound in zip(errors, bounds, strict=True)), (errors, bounds)
    assert max(bounds) < received


def test_tokens_per_joule_in_promql_equal_client_tokens_over_driver_joules(rig):
    """T3, T5: within half a percent, over a window with rest at both ends."""
    driver, engine, agent, prometheus = rig
    started, _ = at_rest(prometheus, agent)
    driver.load("*", 0.75)
    received = 0
    while time.time() - started < 25:
        received += serve(engine, 40)
    driver.load("*", 0.0)
    ended, _ = at_rest(prometheus, agent)
    time.sleep(2.5)
    window = int(ended - started) + 4
    ended += 2

    ratio = f"sum(increase({OUTPUT}[{window}s])) / sum(increase({JOULES}[{window}s]))"
    measured = prometheus.value(ratio, ended)
    samples = prometheus.query(f"{JOULES}[{window}s]", ended)[0]["values"]
    to_monotonic = time.monotonic() - time.time()
    first, last = (float(samples[i][0]) + to_monotonic for i in (0, -1))
    joules = sum(driver.energy_joules(gpu, last) - driver.energy_joules(gpu, first) for gpu in range(4))

    assert measured == pytest.approx(received / joules, rel=0.005)


def test_the_live_figures_of_the_node_agree_with_the_driver_and_the_client(rig):
    driver, engine, agent, _ = rig
    driver.load("*", 0.5)
    served = []

    def watch(client):
        seen, ends = [], time.monotonic() + 15
        while time.monotonic() < ends:
            seen.append((time.monotonic(), client.live_output_tokens))
            time.sleep(0.1)
        node = agent.node()
        window = node["figures"]["node_tokens_per_second"]["window_seconds"]
        within = [look for look in seen if ends - 1 - window <= look[0] <= ends - 1]  # read up to 1 s ago
        (began, first), (ended, last) = within[0], within[-1]
        served.append((node, (last - first) / (ended - began)))

    serve(engine, 1500, concurrency=8, max_tokens=200, between=watch)
    driver.load("*", 0.0)
    ((node, rate),) = served
    watts = sum(driver.power_watts(gpu, time.monotonic() - 1) for gpu in range(4))

    assert node["figures"]["node_tokens_per_joule_gpu"]["valid"], node["figures"]
    assert node["state"] == "serving"
    assert node["tokens_per_second"]["output"] == pytest.approx(rate, rel=0.15)
    assert node["power_watts"]["gpu"] > watts * 0.5
    assert node["tokens_per_joule"]["gpu"]["output"] == pytest.approx(
        node["tokens_per_second"]["output"] / node["power_watts"]["gpu"], rel=0.05
    )


def test_promtool_finds_nothing_to_say_about_the_page(rig):
    _, _, agent, _ = rig

    assert promtool_check_metrics(agent.page()) == (0, "")
