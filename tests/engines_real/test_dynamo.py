"""NVIDIA Dynamo's real frontend before its simulated engine, watched by `rackwatt run`."""

import pytest
from fakes.engines.installed import DYNAMO_FRONTEND, DYNAMO_WORKER, InstalledEngine
from fakes.engines.watched import Watched, given, grown

SYSTEM_PORT = 9090
"""Dynamo reads it as a signed number of 16 bits: no port above 32767 will do."""
SHARED_BEGINNING = "a beginning that all prompts share " * 10


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    env = {"DYN_FILE_KV": str(tmp_path_factory.mktemp("found"))}
    with (
        InstalledEngine(DYNAMO_WORKER, env=env, port=SYSTEM_PORT) as worker,
        InstalledEngine(DYNAMO_FRONTEND, env=env) as frontend,
    ):
        targets = [{"url": frontend.url}, {"url": worker.url}]
        with Watched(tmp_path_factory.mktemp("rig"), frontend, {"targets": targets}) as watched:
            watched.serve(watched.client(), 4)  # before its first request the frontend tells of none
            yield watched


def test_the_frontend_and_its_worker_are_counted_once(rig):
    """T13: what both tell of is one deployment's."""
    before = rig.totals()
    received = rig.serve(rig.client(prefix=SHARED_BEGINNING), 200, concurrency=16, max_tokens=200)
    after = rig.totals()

    assert received.cached_tokens > 0
    assert grown(before, after) == given(received)


def test_the_live_rate_is_that_of_the_client(rig):
    node, rate = rig.rate_of_a_load(20000)

    assert rate > 0
    assert node["tokens_per_second"]["output"] == pytest.approx(rate, rel=0.15)
