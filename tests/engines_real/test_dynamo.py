"""NVIDIA Dynamo's real frontend before its simulated engine, watched by `rackwatt run`."""

from __future__ import annotations

import contextlib

import pytest
from fakes.engines.installed import DYNAMO_FRONTEND, DYNAMO_WORKER, InstalledEngine
from fakes.engines.tiny_hf import Shape
from fakes.engines.watched import Watched, given, grown

SYSTEM_PORT = 9090
"""Dynamo reads it as a signed number of 16 bits: no port above 32767 will do."""
SHARED_BEGINNING = "a beginning that all prompts share " * 10


SILENT = Shape(vocabulary=1500)
"""Its simulated engine answers with tokens of which every other one decodes to no text."""


@contextlib.contextmanager
def rig_of(tmp_path_factory, shape: Shape | None = None):
    env = {"DYN_FILE_KV": str(tmp_path_factory.mktemp("found"))}
    with (
        InstalledEngine(DYNAMO_WORKER, env=env, port=SYSTEM_PORT, shape=shape) as worker,
        InstalledEngine(DYNAMO_FRONTEND, env=env, shape=shape) as frontend,
    ):
        targets = [{"url": frontend.url}, {"url": worker.url}]
        with Watched(tmp_path_factory.mktemp("rig"), frontend, {"targets": targets}) as watched:
            watched.serve(watched.client(), 4)  # before its first request the frontend tells of none
            yield watched


@pytest.fixture(scope="class")
def rig(tmp_path_factory):
    with rig_of(tmp_path_factory) as watched:
        yield watched


class TestEveryTokenIsText:
    def test_the_frontend_and_its_worker_are_counted_once(self, rig):
        """T13: what both tell of is one deployment's."""
        before = rig.totals()
        received = rig.serve(rig.client(prefix=SHARED_BEGINNING), 200, concurrency=16, max_tokens=200)
        after = rig.totals()

        assert received.cached_tokens > 0
        assert grown(before, after) == given(received)

    def test_the_live_rate_is_that_of_the_client(self, rig):
        node, rate = rig.rate_of_a_load(20000)

        assert rate > 0
        assert node["tokens_per_second"]["output"] == pytest.approx(rate, rel=0.15)


def test_streamed_tokens_without_text_are_in_the_total(tmp_path_factory):
    """Dynamo's live counter leaves them out: it stands in, and the total is what it tells at the end."""
    with rig_of(tmp_path_factory, SILENT) as rig:
        before = rig.totals()
        client = rig.client(stream_share=1.0)
        received = rig.serve(client, 100, concurrency=8, max_tokens=100)
        after = rig.totals()

        assert client.live_chunks < 0.7 * received.output_tokens
        assert grown(before, after) == given(received)


def test_requests_that_were_given_up_count_what_they_had_made(tmp_path_factory):
    with rig_of(tmp_path_factory) as rig:
        before = rig.totals()
        client = rig.client(stream_share=1.0, cancel_share=0.5)
        received = rig.serve(client, 60, concurrency=8, max_tokens=100)
        after = rig.totals()

        assert received.cancelled > 10
        least = received.output_tokens + received.cancelled_chunks
        assert least <= after["output"] - before["output"]
