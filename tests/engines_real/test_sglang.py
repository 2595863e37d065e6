"""A real SGLang on a CPU, without its kernels, watched by `rackwatt run`."""

import time

import pytest
from fakes.engines.installed import SGLANG, InstalledEngine
from fakes.engines.watched import Watched, given, grown

BEGINNING = "a beginning that all prompts share " * 10


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with InstalledEngine(SGLANG) as engine:
        targets = [{"url": engine.url}]
        with Watched(tmp_path_factory.mktemp("rig"), engine, {"targets": targets}) as watched:
            yield watched


def test_totals_equal_what_the_client_was_given(rig):
    """T1: its exact counters move when requests end, over a restart of rackwatt among them."""
    before = rig.totals()
    received = [
        rig.serve(rig.client(), 60),
        rig.serve(rig.client(prefix=BEGINNING), 60, during=lambda _: rig.agent.restart(kill=True)),
    ]
    after = rig.totals()

    assert grown(before, after) == given(*received)
    assert received[1].cached_tokens > 0


def test_the_model_is_named(rig):
    (engine,) = rig.agent.node()["engines"]

    assert (engine["engine"], engine["model"], engine["state"]) == ("sglang", "tiny", "idle")


def test_the_live_rate_is_that_of_the_client(rig):
    """T21: from the live counter, for none of these requests ends before the look."""
    node, rate = rig.rate_of_a_load(5000)

    assert rate > 0
    assert node["tokens_per_second"]["output"] == pytest.approx(rate, rel=0.15)


def test_under_load_the_total_is_within_the_published_uncertainty(rig):
    """T3, T21: what the exact counter hides is bounded by what is published."""
    before = rig.totals()["output"]
    errors, bounds = [], []

    def watch(client):
        rig.agent.wait_for(lambda node: node["engines"][0]["state"] == "serving")
        for _ in range(25):
            time.sleep(0.2)
            node = rig.agent.node()
            truth = client.live_output_tokens
            (output,) = (t for t in node["engines"][0]["tokens"] if t["kind"] == "output")
            errors.append(truth - (output["total"] - before))
            bounds.append(output["uncertainty"])

    rig.serve(rig.client(stream_share=1.0), 5000, concurrency=8, max_tokens=1500, during=watch)

    assert all(abs(error) <= bound for error, bound in zip(errors, bounds, strict=True)), (errors, bounds)


def test_tokens_of_cancelled_requests_count_as_produced(rig):
    """T25."""
    before = rig.totals()
    received = rig.serve(rig.client(cancel_share=0.3), 64, concurrency=16, max_tokens=100)
    after = rig.totals()

    assert received.cancelled > 0
    assert after["output"] - before["output"] >= received.output_tokens + received.cancelled_chunks
