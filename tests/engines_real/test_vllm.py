"""A real vLLM on a CPU, watched by `rackwatt run`."""

import time

import pytest
from fakes.engines.installed import VLLM, InstalledEngine
from fakes.engines.watched import Watched, given, grown

REREAD_SECONDS = 15.0
"""Histograms are read each 5 s at most, and a dear page each few seconds."""
MINUTE_SECONDS = 75.0
"""Quantiles are of a minute that must have been watched, and a little."""
BEGINNING = "a beginning that all prompts share " * 10
"""Of 350 tokens: vLLM on a CPU keeps blocks of 128."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with InstalledEngine(VLLM) as engine:
        targets = [{"url": engine.url}]
        with Watched(tmp_path_factory.mktemp("rig"), engine, {"targets": targets}) as watched:
            yield watched


def test_totals_equal_what_the_client_was_given_whoever_restarts(rig):
    """T1: to the token, over a restart of rackwatt in the middle of a load."""
    before = rig.totals()
    received = [
        rig.serve(rig.client(), 80),
        rig.serve(rig.client(prefix=BEGINNING), 60, during=lambda _: rig.agent.restart(kill=True)),
    ]
    after = rig.totals()

    assert grown(before, after) == given(*received)
    assert received[1].cached_tokens > 0


def test_the_model_is_named(rig):
    (engine,) = rig.agent.node()["engines"]

    assert (engine["engine"], engine["model"], engine["state"]) == ("vllm", "tiny", "idle")


def test_it_is_found_without_configuration_and_joined_to_its_gpus(rig, tmp_path):
    """The driver lists the child that holds the GPUs; the page is its parent's."""
    with Watched(tmp_path, rig.engine, {}) as watched:
        core = next(pid for pid, name in rig.engine.family.members().items() if "EngineCore" in name)
        for gpu in (2, 3):
            watched.driver.process(gpu, core, 2**30)
        watched.agent.wait_for(lambda node: [e["up"] for e in node["engines"]] == [True], 60.0)
        before = watched.totals()
        received = watched.serve(watched.client(), 60)
        after = watched.totals()
        held = {
            gpu: watched.agent.value("rackwatt_deployment_gpu_info", deployment="tiny", gpu=gpu)
            for gpu in "0123"
        }

        assert watched.agent.node()["engines"][0]["engine_instance"] == f"127.0.0.1:{rig.engine.port}"
        assert after["output"] - before["output"] == received.output_tokens
        assert after["prompt"] - before["prompt"] == received.prompt_tokens
        assert held == {"0": None, "1": None, "2": 1.0, "3": 1.0}


def test_the_live_rate_is_that_of_the_client(rig):
    node, rate = rig.rate_of_a_load(5000)

    assert rate > 0
    assert node["engines"][0]["state"] == "serving"
    assert node["tokens_per_second"]["output"] == pytest.approx(rate, rel=0.15)


def test_tokens_of_cancelled_requests_count_as_produced(rig):
    """T25: no client was given them, and the engine made them all the same."""
    before = rig.totals()
    received = rig.serve(rig.client(cancel_share=0.3), 64, concurrency=16, max_tokens=100)
    after = rig.totals()

    assert received.cancelled > 0
    assert after["output"] - before["output"] >= received.output_tokens + received.cancelled_chunks


def test_every_request_is_in_the_histograms_of_what_clients_wait_for(rig):
    def counts():
        waits = ("time_to_first_token", "request_duration", "queue_time")
        return [
            rig.agent.value(f"rackwatt_model_{wait}_seconds_count", model="tiny") or 0.0 for wait in waits
        ]

    def quantile():
        name = "rackwatt_model_latency_quantile_seconds"
        return rig.agent.value(name, model="tiny", latency="end_to_end", percentile="50")

    rig.totals()
    rig.serve(rig.client(), 1)
    rig.agent.wait_for(lambda _: all(counts()), REREAD_SECONDS)
    time.sleep(REREAD_SECONDS)
    before = counts()
    rig.serve(rig.client(), 40)

    rig.agent.wait_for(lambda _: counts() == [count + 40.0 for count in before], REREAD_SECONDS)
    rig.agent.wait_for(lambda _: quantile() is not None, MINUTE_SECONDS)
    assert quantile() > 0.0


def test_an_engine_killed_and_started_again_is_one_restart_and_loses_nothing_counted(rig):
    """T2."""
    before = rig.totals()
    received = [rig.serve(rig.client(), 40)]
    rig.totals()
    rig.engine.restart(kill=True)
    received.append(rig.serve(rig.client(), 40))
    after = rig.totals()

    assert grown(before, after) == given(*received)
    assert rig.agent.value("rackwatt_engine_restarts_total") == 1


@pytest.mark.parametrize("flags", [("--api-server-count", "2"), ("--data-parallel-size", "2")])
def test_totals_equal_what_the_client_was_given_by_several_processes(tmp_path, flags):
    """Two API servers have one page between them; two engines behind it are one deployment (T13)."""
    with (
        InstalledEngine(VLLM, *flags) as engine,
        Watched(tmp_path, engine, {"targets": [{"url": engine.url}]}) as watched,
    ):
        watched.serve(watched.client(), 2)  # several processes show no gauges before the first request
        before = watched.totals()
        received = watched.serve(watched.client(prefix=BEGINNING), 100, concurrency=16, max_tokens=100)
        after = watched.totals()

    assert grown(before, after) == given(received)
