"""Triton's three tables: with TensorRT-LLM, with vLLM, and with anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines import triton, triton_trtllm, triton_vllm
from agent.measure.engine import Latency, TokenKind
from agent.plugins import engine_tables
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
TRTLLM = (CAPTURES / "triton_trtllm-0.18-busy.prom").read_bytes()
TRTLLM_FRESH = (CAPTURES / "triton_trtllm-0.18-fresh.prom").read_bytes()
TRTLLM_OLD = (CAPTURES / "triton_trtllm-0.15-after.prom").read_bytes()
VLLM = (CAPTURES / "triton_vllm-26.01-busy.prom").read_bytes()
PLAIN = (CAPTURES / "triton-26.01-after.prom").read_bytes()


def read(body: bytes, table=triton_trtllm.TABLE):
    page = engine_page.reader(table, PageLimits(), latencies=True).read(body)
    return engine_page.plan(table, page.series), page


def counters(body: bytes, table=triton_trtllm.TABLE):
    return engine_page.counters(*read(body, table), "", override=False)


def demand(body: bytes, table=triton_trtllm.TABLE):
    return engine_page.demand(*read(body, table))


@pytest.mark.parametrize(
    ("body", "engine"),
    [
        (TRTLLM, "triton_trtllm"),
        (TRTLLM_FRESH, "triton_trtllm"),
        (TRTLLM_OLD, "triton_trtllm"),
        (VLLM, "triton_vllm"),
        (PLAIN, "triton"),
    ],
)
def test_page_is_known_by_what_its_backend_adds(body, engine):
    table = identify(engine_tables(), sample_names(body))

    assert table is not None
    assert table.engine == engine


def test_plain_triton_is_looked_at_anew_until_its_backend_shows():
    assert not read(PLAIN, triton.TABLE)[0].identified


def test_tokens_are_the_sums_of_histograms_and_on_finish():
    told = {one.kind: (one.model, one.value) for one in counters(TRTLLM)}

    assert told == {TokenKind.OUTPUT: ("tensorrt_llm", 562.0), TokenKind.PROMPT: ("tensorrt_llm", 2012.0)}
    assert not read(TRTLLM)[0].live


def test_members_of_an_ensemble_do_not_repeat_its_requests():
    told = demand(TRTLLM)

    assert (told.succeeded, told.failed, told.aborted) == (3.0, 0.0, 1.0)


def test_members_of_an_ensemble_do_not_repeat_the_time_to_the_first_response():
    told = engine_page.latencies(*read(TRTLLM), "", override=False)

    assert list(told) == [("tensorrt_llm", Latency.FIRST_TOKEN)]


def test_first_response_is_told_in_milliseconds():
    told = engine_page.latencies(*read(TRTLLM), "", override=False)["tensorrt_llm", Latency.FIRST_TOKEN]

    assert told.bounds[:4] == (0.1, 0.5, 2.0, 5.0)
    assert told.sum_seconds == pytest.approx(2.301)


def test_active_requests_have_the_waiting_ones_in_them_and_are_not_the_running():
    told = demand(TRTLLM)

    assert (told.running, told.waiting) == (4.0, 3.0)


def test_heartbeat_is_a_gauge_of_iterations():
    assert demand(TRTLLM).heartbeat == 1250.0


def test_kv_cache_is_the_fraction_and_no_number_of_blocks():
    plan, page = read(TRTLLM)

    assert engine_page.kv_cache_usage_ratio(plan, page) == 0.6


def test_backend_before_0_16_counts_no_tokens_and_its_output_is_unknown():
    plan, page = read(TRTLLM_OLD)

    assert counters(TRTLLM_OLD) == ()
    assert not engine_page.counts_output(plan, page, triton_trtllm.TABLE)


def test_backend_before_0_16_tells_its_own_requests_all_the_same():
    assert demand(TRTLLM_OLD).succeeded == 3.0


@pytest.mark.parametrize("body", [TRTLLM_OLD, TRTLLM_FRESH, TRTLLM], ids=["old", "fresh", "busy"])
def test_model_is_never_the_ensemble_around_it(body):
    assert read(body)[0].model == "tensorrt_llm"


def test_before_its_first_request_output_is_zero_and_known():
    plan, page = read(TRTLLM_FRESH)

    assert engine_page.counts_output(plan, page, triton_trtllm.TABLE)


def test_failures_of_an_old_triton_without_reasons_are_counted():
    body = b'nv_inference_request_failure{model="m",version="1"} 4\n'

    assert demand(body).failed == 4.0


def test_vllm_in_triton_is_labelled_as_triton_does_and_live():
    plan, _ = read(VLLM, triton_vllm.TABLE)
    told = {one.kind: (one.model, one.value) for one in counters(VLLM, triton_vllm.TABLE)}

    assert told == {TokenKind.OUTPUT: ("llama", 562.0), TokenKind.PROMPT: ("llama", 2012.0)}
    assert plan.live


def test_vllm_in_triton_does_not_tell_running_requests():
    told = demand(VLLM, triton_vllm.TABLE)

    assert (told.running, told.waiting, told.succeeded) == (None, 2.0, 3.0)


def test_vllm_in_triton_calls_the_time_between_tokens_by_its_old_name():
    told = engine_page.latencies(*read(VLLM, triton_vllm.TABLE), "", override=False)

    assert told["llama", Latency.INTER_TOKEN].counts[-1] == 40.0


def test_plain_triton_counts_no_tokens():
    plan, page = read(PLAIN, triton.TABLE)

    assert not engine_page.counts_output(plan, page, triton.TABLE)
    assert "TensorRT-LLM backend" in triton.TABLE.uncounted
