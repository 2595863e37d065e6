"""vLLM's table, on the names of each era."""

from __future__ import annotations

import pytest

from agent.engines.vllm import TABLE
from agent.measure.engine import TokenKind
from agent.wire import engine_page
from agent.wire.page import PageLimits

ERA_0_8 = b"""\
vllm:generation_tokens_total{model_name="m"} 5.0
vllm:prompt_tokens_total{model_name="m"} 7.0
vllm:gpu_prefix_cache_hits_total{model_name="m"} 3.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
"""
ERA_0_10 = b"""\
vllm:generation_tokens_total{engine="0",model_name="m"} 5.0
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="m"} 3.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 3.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
"""
ERA_0_33 = b"""\
vllm:generation_tokens_total{engine="0",model_name="m"} 5.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 4.0
vllm:prompt_tokens_cached_total{engine="0",model_name="m"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
"""


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits()).read(body)
    return engine_page.plan(TABLE, page.series), page


@pytest.mark.parametrize("page", [ERA_0_8, ERA_0_10, ERA_0_33], ids=["0.8", "0.10", "0.33"])
def test_each_era_is_read_once(page):
    plan, read_page = read(page)
    counters = engine_page.counters(plan, read_page, "", override=False)
    counted = {counter.kind: counter.value for counter in counters if counter.kind is not TokenKind.PROMPT}

    assert counted == {TokenKind.OUTPUT: 5.0, TokenKind.PROMPT_CACHED: 3.0}
    assert engine_page.kv_cache_usage_ratio(plan, read_page) == 0.25
    assert {counter.model for counter in counters} == {"m"}


def test_ranks_are_summed():
    plan, page = read(
        b'vllm:num_requests_running{engine="0",model_name="m"} 3.0\n'
        b'vllm:num_requests_running{engine="1",model_name="m"} 4.0\n'
    )

    assert engine_page.demand(plan, page).running == 7.0


def test_heartbeat_is_the_count_of_a_histogram_named_like_a_counter():
    plan, page = read(
        b'vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 9.0\n'
        b'vllm:iteration_tokens_total_count{engine="0",model_name="m"} 286.0\n'
        b'vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 7892.0\n'
    )

    assert engine_page.demand(plan, page).heartbeat == 286.0


def test_output_is_live():
    assert [count.live for count in TABLE.tokens[TokenKind.OUTPUT]] == [True]
