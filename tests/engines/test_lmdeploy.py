"""LMDeploy's table, on pages that the metric code of each era rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines.lmdeploy import TABLE
from agent.measure.engine import Latency, TokenKind
from agent.wire import engine_page
from agent.wire.page import PageLimits

CAPTURES = Path(__file__).parents[1] / "captures"
OLD, MIDDLE, NEW = (
    (CAPTURES / f"lmdeploy-{version}-rendered.prom").read_bytes()
    for version in ("0.10.0", "0.12.3", "0.18.0")
)
ERAS = pytest.mark.parametrize("body", [OLD, MIDDLE, NEW], ids=["0.10.0", "0.12.3", "0.18.0"])


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(body)
    return engine_page.plan(TABLE, page.series), page


@ERAS
def test_each_era_counts_its_tokens_with_every_chunk(body):
    plan, page = read(body)
    counters = engine_page.counters(plan, page, "m", override=False)
    counted = {one.kind: one.value for one in counters if one.kind is not TokenKind.PROMPT_CACHED}

    assert plan.live
    assert counted == {TokenKind.OUTPUT: 192.0, TokenKind.PROMPT: 300.0}


@ERAS
def test_requests_that_ended_well_are_a_gauge_of_two_names(body):
    assert b"TYPE lmdeploy:num_requests_succeeded gauge" in NEW
    assert b"TYPE lmdeploy:num_requests_finished gauge" in OLD
    assert engine_page.demand(*read(body)).succeeded == 3.0


def test_failed_requests_hold_those_given_up_so_none_is_called_a_failure():
    assert b'lmdeploy:num_requests_failed{engine="0",model_name="tiny"} 1.0' in NEW
    assert engine_page.demand(*read(NEW)).failed is None


def test_requests_wait_in_the_engine_and_before_it():
    waiting = [engine_page.demand(*read(body)).waiting for body in (OLD, MIDDLE, NEW)]

    assert b'lmdeploy:num_api_requests_waiting{engine="0",model_name="tiny"} 1.0' in NEW
    assert waiting == [1.0, 2.0, 2.0]


def test_inter_token_latency_is_in_seconds_though_its_name_does_not_say_so():
    found = engine_page.latencies(*read(NEW), "m", override=False)[("tiny", Latency.INTER_TOKEN)]

    assert found.counts[-1] == 189.0
    assert found.sum_seconds == pytest.approx(2.835)


def test_gauges_are_refreshed_every_ten_seconds():
    assert TABLE.gauges_stale_seconds == 10.0
