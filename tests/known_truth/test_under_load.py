"""vLLM's page at 60 KB and 366 KB from an engine that generates: resets, series that come and go."""

import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fakes.agent import RunningAgent
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.engines.watched import settle, total
from fakes.processes import http_get

SIZES = pytest.mark.parametrize("engines", [1, 8], ids=["60KB", "366KB"])


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
