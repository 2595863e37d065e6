"""vLLM's table, on the names of each era."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines.vllm import TABLE
from agent.measure import counters
from agent.measure.engine import Latency, TokenKind
from agent.measure.reading import Moment
from agent.wire import engine_page
from agent.wire.page import PageLimits

CAPTURES = Path(__file__).parents[1] / "captures"
ERAS = {
    version: (CAPTURES / name).read_bytes()
    for version, name in [
        ("0.8.5", "vllm-0.8.5-rendered.prom"),
        ("0.11.0", "vllm-0.11.0-rendered.prom"),
        ("0.32.0", "vllm-0.32.0-busy.prom"),
    ]
}
BUSY = ERAS["0.32.0"]
BOTH_NAMES = b"""\
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="m"} 3.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 3.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:time_per_output_token_seconds_bucket{le="+Inf",model_name="m"} 2
vllm:inter_token_latency_seconds_bucket{le="+Inf",model_name="m"} 2
"""
"""As 0.10.2 shows them: both names for one thing."""


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(body)
    return engine_page.plan(TABLE, page.series), page


def counted(body: bytes) -> dict[TokenKind, float]:
    return {one.kind: one.value for one in engine_page.counters(*read(body), "", override=False)}


@pytest.mark.parametrize(
    ("version", "tokens"),
    [
        ("0.8.5", {TokenKind.OUTPUT: 192.0, TokenKind.PROMPT: 300.0}),
        ("0.11.0", {TokenKind.OUTPUT: 192.0, TokenKind.PROMPT: 300.0, TokenKind.PROMPT_CACHED: 48.0}),
        ("0.32.0", {TokenKind.OUTPUT: 3922.0, TokenKind.PROMPT: 3970.0, TokenKind.PROMPT_CACHED: 0.0}),
    ],
)
def test_each_era_counts_its_tokens(version, tokens):
    assert counted(ERAS[version]) == tokens


@pytest.mark.parametrize("version", ERAS)
def test_each_era_tells_its_cache_and_its_latencies(version):
    plan, page = read(ERAS[version])

    assert engine_page.kv_cache_usage_ratio(plan, page) is not None
    assert {latency for _, latency in engine_page.latencies(plan, page, "", override=False)} == set(Latency)


def test_two_names_for_one_thing_are_read_once():
    plan, page = read(BOTH_NAMES)
    found = engine_page.latencies(plan, page, "", override=False)

    assert counted(BOTH_NAMES) == {TokenKind.PROMPT_CACHED: 3.0}
    assert engine_page.kv_cache_usage_ratio(plan, page) == 0.25
    assert found["m", Latency.INTER_TOKEN].counts == (2.0,)


def test_hits_of_the_older_cache_counter_are_blocks_and_no_tokens():
    assert (
        b"gpu_prefix_cache_hits_total GPU prefix cache hits, in terms of number of cached blocks"
        in ERAS["0.8.5"]
    )
    assert TokenKind.PROMPT_CACHED not in counted(ERAS["0.8.5"])


@pytest.mark.parametrize("spelling", [b"vllm_", b"ray_vllm_"])
def test_other_spellings_are_read_as_the_usual_one(spelling):
    assert counted(BUSY.replace(b"vllm:", spelling)) == counted(BUSY)


def test_openmetrics_page_of_the_rust_frontend_is_read_alike():
    lines = [
        line.replace(b"_total ", b" ", 1) if line.startswith((b"# TYPE", b"# HELP")) else line
        for line in BUSY.splitlines(keepends=True)
    ]
    plan, page = read(b"".join(lines) + b"# EOF\n")

    assert b"# TYPE vllm:generation_tokens counter" in b"".join(lines)
    assert counted(b"".join(lines) + b"# EOF\n") == counted(BUSY)
    assert engine_page.demand(plan, page) == engine_page.demand(*read(BUSY))


def test_reasons_for_waiting_are_not_counted_once_more():
    body = (
        b'vllm:num_requests_waiting{engine="0"} 5.0\n'
        b'vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 3.0\n'
        b'vllm:num_requests_waiting_by_reason{engine="0",reason="deferred"} 2.0\n'
    )

    assert engine_page.demand(*read(body)).waiting == 5.0


def test_requests_that_v0_swapped_out_wait():
    body = b"vllm:num_requests_waiting 5.0\nvllm:num_requests_swapped 2.0\n"

    assert engine_page.demand(*read(body)).waiting == 7.0


def test_T2_several_api_servers_tell_no_start():  # noqa: N802 - the rule's name
    several = (CAPTURES / "vllm-0.32.0-apiservers2-busy.prom").read_bytes()

    assert engine_page.start_time(*read(several)) is None
    assert counted(several)[TokenKind.OUTPUT] == 13211.0


def test_T2_elastic_scaling_that_starts_counters_anew_without_a_restart_loses_nothing():  # noqa: N802
    epoch = "start:1795304336.69"
    seen = counters.begin(1000.0, Moment(0.0, 0.0), epoch).counter
    step = counters.advance(seen, 30.0, Moment(1.0, 1.0), epoch)

    assert (step.delta, step.change) == (30.0, counters.Change.RESET)


def test_request_cut_at_its_length_succeeded_and_one_given_up_did_not():
    ended = b'vllm:request_success_total{finished_reason="%s"} %d\n'
    reasons = [(b"stop", 1), (b"length", 2), (b"repetition", 4), (b"abort", 8), (b"error", 16)]
    demand = engine_page.demand(*read(b"".join(ended % reason for reason in reasons)))

    assert (demand.succeeded, demand.aborted, demand.failed) == (7.0, 8.0, 16.0)


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
