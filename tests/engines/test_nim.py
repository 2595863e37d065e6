"""NIM 1.x's table: bare names that others have too."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import plugins
from agent.engines.nim import TABLE
from agent.measure.engine import TokenKind
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
PAGE = (CAPTURES / "nim-1.x-written.prom").read_bytes()
VLLM = (CAPTURES / "vllm-0.32.0-busy.prom").read_bytes()
TRTLLM_LEGACY = {
    "request_success_total",
    "e2e_request_latency_seconds_sum",
    "time_to_first_token_seconds_sum",
    "time_per_output_token_seconds_sum",
    "request_queue_time_seconds_sum",
}
SCALELLM = {"prompt_tokens_total", "generation_tokens_total", "num_requests_running", "gpu_cache_usage_perc"}


def engine_of(names) -> str | None:
    found = identify(plugins.engine_tables(), frozenset(names))
    return found and found.engine


def test_page_with_both_bare_names_is_of_nim():
    assert engine_of(sample_names(PAGE)) == "nim"


@pytest.mark.parametrize("names", [TRTLLM_LEGACY, SCALELLM], ids=["trtllm_legacy", "scalellm"])
def test_bare_names_of_others_are_not_of_nim(names):
    assert engine_of(names) != "nim"


def test_nim_2_is_named_by_the_engine_whose_page_it_passes_through():
    assert engine_of(sample_names(VLLM)) == "vllm"


def test_output_is_live_and_the_page_tells_its_start():
    page = engine_page.reader(TABLE, PageLimits()).read(PAGE)
    plan = engine_page.plan(TABLE, page.series)
    counted = {one.kind: one.value for one in engine_page.counters(plan, page, "m", override=False)}

    assert plan.live
    assert counted == {TokenKind.OUTPUT: 192.0, TokenKind.PROMPT: 300.0}
    assert engine_page.start_time(plan, page) == "start:1.7303128549e+09"


def test_ended_requests_are_told_apart():
    page = engine_page.reader(TABLE, PageLimits()).read(PAGE)
    demand = engine_page.demand(engine_page.plan(TABLE, page.series), page)

    assert (demand.succeeded, demand.failed, demand.aborted) == (3.0, 0.0, None)
