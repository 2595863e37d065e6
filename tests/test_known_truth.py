"""vLLM's page at 60 KB and 366 KB from an engine whose tokens are known exactly at every moment."""

import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.processes import http_get

SIZES = pytest.mark.parametrize("engines", [1, 8], ids=["60KB", "366KB"])


@pytest.fixture
def agent_of(tmp_path):
    """Start an agent that reads these engines."""
    running = []

    def start(*engines, window="10s"):
        targets = [{"url": f"{engine.url}/metrics"} for engine in engines]
        settings = {"window": window, "collectors": {"engines": {"targets": targets}}}
        agent = RunningAgent(tmp_path / f"agent{len(running)}", settings).start()
        running.append(agent)
        return agent

    yield start
    for agent in running:
        agent.program.stop()


def total(agent):
    return agent.value("rackwatt_engine_tokens_total", kind="output")


def settle(agent, seconds=2.0):
    """Wait until the agent has read pages that were asked for after this moment."""
    now = time.time()
    agent.wait_for(lambda node: node["at"] > now + seconds and node["state"] in {"idle", "serving"}, 20)


@SIZES
@pytest.mark.parametrize("new_start_time", [True, False], ids=["restart", "reset"])
def test_totals_are_exact_over_resets_at_rest(agent_of, engines, new_start_time):
    """T2: with a new start time, and without one (all of an elastic engine's counters begin anew)."""
    with TruthEngine(engines=engines, output=idle(), base_tokens=1_000_000) as engine:
        agent = agent_of(engine)
        settle(agent)
        before = engine.truth().output_tokens
        for _ in range(2):
            engine.schedule(constant(777.0, 2.0) + idle())
            time.sleep(2.5)
            settle(agent)
            engine.reset(new_start_time=new_start_time)
            settle(agent)
        engine.schedule(constant(321.0, 2.0) + idle())
        time.sleep(2.5)
        settle(agent)

        assert total(agent) == engine.truth().output_tokens - before
        assert agent.value("rackwatt_engine_restarts_total") == 2


@SIZES
def test_a_reset_under_load_loses_no_more_than_what_is_published(agent_of, engines):
    """T2: nothing is lost but what was never observed, and a bound of that is published."""
    with TruthEngine(engines=engines, output=constant(500.0)) as engine:
        agent = agent_of(engine)
        settle(agent)
        node = agent.node()
        started = engine.truth().output_tokens - total(agent)
        for new_start_time in (True, False, True):
            engine.reset(new_start_time=new_start_time)
            settle(agent)
        engine.schedule(idle())
        settle(agent)
        lost = engine.truth().output_tokens - started - total(agent)
        slack = 500.0 * engines * 1.5  # `started` was reckoned from two moments
        bound = agent.value("rackwatt_engine_tokens_unobserved_total", kind="output")

        assert node["engines"][0]["engine"] == "vllm"
        assert -slack <= lost <= bound + slack
        assert bound <= 3 * 500.0 * engines * 3


@SIZES
def test_a_label_that_vanishes_and_returns_is_neither_lost_nor_doubled(agent_of, engines):
    with TruthEngine(engines=engines, output=idle(), base_tokens=50_000) as engine:
        agent = agent_of(engine)
        settle(agent)
        before = engine.truth().output_tokens
        engine.schedule(constant(500.0, 6.0) + idle())
        time.sleep(1.0)
        engine.vanish(engines - 1)
        time.sleep(2.0)
        engine.vanish()
        time.sleep(4.0)
        settle(agent)

        assert total(agent) == engine.truth().output_tokens - before


@pytest.fixture
def balancer():
    """A load balancer: one address, every request to the next of several engines."""
    servers = []

    def balance(*engines):
        turns = itertools.cycle(engines)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = http_get(f"{next(turns).url}{self.path}")
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield balance
    for server in servers:
        server.shutdown()
        server.server_close()


def test_two_engines_behind_one_address_make_no_tokens_out_of_nothing(tmp_path, balancer):
    """T2: a fall is no restart when the other process began before this one was last seen."""
    with (
        TruthEngine(output=constant(50.0), base_tokens=1_000_000, started_ago_seconds=9000) as first,
        TruthEngine(output=constant(50.0), base_tokens=7_000, started_ago_seconds=5000) as second,
    ):
        targets = [{"url": f"{balancer(first, second)}/metrics"}]
        settings = {"collectors": {"engines": {"interval": "200ms", "targets": targets}}}
        began = time.monotonic()
        with RunningAgent(tmp_path, settings) as agent:
            highest = 0.0
            for _ in range(40):
                time.sleep(0.2)
                highest = max(highest, total(agent) or 0.0)

            assert highest < 2 * 50.0 * (time.monotonic() - began) + 100


def test_rates_are_right_whatever_delays_the_page(agent_of):
    """T3: a delay before rendering does not matter, one after it is within the published uncertainty."""
    with (
        TruthEngine(engines=1, output=constant(1234.0)) as small_before,
        TruthEngine(engines=8, output=constant(500.0)) as large_before,
        TruthEngine(engines=1, output=constant(1234.0), seed=2) as small_after,
        TruthEngine(engines=8, output=constant(500.0), seed=3) as large_after,
    ):
        for engine in (small_before, large_before):
            engine.delay(before_ms=(0, 900))
        for engine in (small_after, large_after):
            engine.delay(after_ms=(0, 900))
        before = agent_of(small_before, large_before, window="30s")
        after = agent_of(small_after, large_after, window="30s")
        time.sleep(45)

        truth = 1234.0 + 8 * 500.0
        for _ in range(5):
            right, late = before.node(), after.node()
            assert right["figures"]["node_tokens_per_second"]["valid"]
            assert right["tokens_per_second"]["output"] == pytest.approx(truth, rel=0.005)
            published = late["figures"]["node_tokens_per_second"]["uncertainty_ratio"]
            assert 0.0 < published < 0.1
            assert late["tokens_per_second"]["output"] == pytest.approx(truth, rel=published)
            time.sleep(1.1)

        for engine in (small_before, large_before, small_after, large_after):
            engine.delay()
            engine.schedule(idle())
        settle(before, 8.0)
        settle(after, 8.0)
        for agent, engines in ((before, (small_before, large_before)), (after, (small_after, large_after))):
            for engine in engines:
                instance = engine.url.removeprefix("http://")
                raw = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)
                counted = engine.truth().output_tokens
                assert 0 <= counted - raw < 3 * 1234.0 * 8  # what was produced before it was first seen
