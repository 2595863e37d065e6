"""TensorRT-LLM's tables: the one with a prefix, and the one before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines import trtllm, trtllm_legacy
from agent.measure.engine import Latency, TokenKind
from agent.plugins import engine_tables
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
BUSY = (CAPTURES / "trtllm-1.3-busy.prom").read_bytes()
LEGACY = (CAPTURES / "trtllm_legacy-1.2-after.prom").read_bytes()
NIM = b"""\
num_requests_running{model_name="m"} 1
num_request_max{model_name="m"} 64
gpu_cache_usage_perc{model_name="m"} 0.1
generation_tokens_total{model_name="m"} 12
time_to_first_token_seconds_count{model_name="m"} 2
e2e_request_latency_seconds_count{model_name="m"} 2
request_success_total{model_name="m"} 2
"""


def read(body: bytes, table=trtllm.TABLE):
    page = engine_page.reader(table, PageLimits(), latencies=True).read(body)
    return engine_page.plan(table, page.series), page


def counted(body: bytes, table=trtllm.TABLE) -> dict[str, float]:
    plan, page = read(body, table)
    return {one.kind: one.value for one in engine_page.counters(plan, page, "", override=False)}


def of(body: bytes) -> str | None:
    table = identify(engine_tables(), sample_names(body))
    return table.engine if table else None


def test_output_of_requests_for_several_answers_is_missing_in_the_engines_own_counter():
    assert counted(BUSY)[TokenKind.OUTPUT] == 210 + 96 + 256


def test_tokens_are_on_finish():
    assert not read(BUSY)[0].live


def test_running_and_waiting_are_unknown_without_the_iteration_statistics():
    body = b"".join(line for line in BUSY.splitlines(keepends=True) if b"num_requests" not in line)
    told = engine_page.demand(*read(body))

    assert (told.running, told.waiting) == (None, None)


def test_mean_time_of_a_token_in_each_request_is_no_time_between_tokens():
    told = engine_page.latencies(*read(BUSY), "", override=False)

    assert {latency for _, latency in told} == {Latency.FIRST_TOKEN, Latency.END_TO_END, Latency.QUEUE}


@pytest.mark.parametrize("prefix", [b"trtllm_", b"trtllm:"])
def test_either_spelling_of_the_prefix_is_read(prefix):
    assert counted(BUSY.replace(b"trtllm_", prefix))[TokenKind.OUTPUT] == 562.0


def test_version_with_a_prefix_and_without_tokens_has_no_output_rather_than_none():
    body = b"".join(line for line in BUSY.splitlines(keepends=True) if b"_tokens_total" not in line)
    plan, page = read(body)

    assert not engine_page.counts_output(plan, page, trtllm.TABLE)


def test_before_the_first_request_output_is_zero_and_known():
    plan, page = read(b'trtllm_num_requests_running{model_name="m"} 0\n')

    assert engine_page.counts_output(plan, page, trtllm.TABLE)


def test_legacy_page_is_known_by_all_its_names_and_has_no_tokens():
    plan, page = read(LEGACY, trtllm_legacy.TABLE)

    assert of(LEGACY) == "trtllm_legacy"
    assert counted(LEGACY, trtllm_legacy.TABLE) == {}
    assert not engine_page.counts_output(plan, page, trtllm_legacy.TABLE)


def test_page_of_nim_1_is_not_taken_for_the_legacy_one():
    assert of(NIM) != "trtllm_legacy"


def test_series_without_prefix_beside_those_of_another_engine_do_not_make_it_legacy():
    assert of(LEGACY + b'vllm:generation_tokens_total{model_name="m"} 3\n') == "vllm"
