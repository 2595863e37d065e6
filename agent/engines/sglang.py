"""SGLang (0.4 to 0.5.23): output and prompts are counted when a request ends; live from 0.5.7."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

FRONT = ("sglang:http_requests_total",)
"""From 0.5.7 on the page of every HTTP server with a tokenizer, for reading the page is such a request; the
health server of further nodes does not count requests, nor does an engine inside Dynamo or Ray."""
STEPS = ("sglang:realtime_tokens_total",)
"""From 0.5.7 on the page of every scheduler that has run once, as its warm-up does."""
FIRST_STAGE = {"pp_rank": "0?"}
"""Every pipeline stage reports the same tokens, and a later stage may be on a page of its own."""
RANKS = (Term("sglang:num_running_reqs", {"dp_rank": ".+"}),)
"""Data parallel ranks may be on several nodes, and the first node's tokenizer counts those of all. So each
node's own steps are counted there: what nodes say can be added."""
REQUESTS = {
    "endpoint": "/generate|/encode|/classify|/invocations|/vertex_generate|/api/(chat|generate)"
    "|/v1/(completions|chat/completions|responses|messages|embeddings|classify|score|rerank)"
}
"""Endpoints that ask for work: the page itself and health checks are counted as well."""


def _realtime(modes: str) -> Term:
    return Term("sglang:realtime_tokens_total", {"mode": modes} | FIRST_STAGE)


FIRST_TOKENS = Term("sglang:time_to_first_token_seconds_count")
OUTPUT = (_realtime("decode"), FIRST_TOKENS)  # a request's first token comes from its prefill


def _ways(finished: str, live: tuple[Term, ...]) -> tuple[Count, ...]:
    """Return the ways to count a kind: which one stands never changes once there is something to count."""
    on_finish = (Term(finished),)
    return (
        Count(live, live=True, when=STEPS, needs=RANKS),
        Count(on_finish, live=False, when=FRONT),
        Count(live, live=True, when=STEPS),
        Count(on_finish, live=False),
    )


TABLE = EngineTable(
    engine="sglang",
    detect=("sglang:",),
    path="/metrics",
    port=30000,
    flag="--enable-metrics",
    remedy="start SGLang with --enable-metrics",
    tokens={
        TokenKind.OUTPUT: _ways("sglang:generation_tokens_total", OUTPUT),
        # Of ended requests: what a retracted request computes again is no second prompt.
        TokenKind.PROMPT: _ways("sglang:prompt_tokens_total", (_realtime("prefill_compute|prefill_cache"),)),
        # Each request counts under cache_source "total" or under the sources in detail, never both.
        TokenKind.PROMPT_CACHED: _ways("sglang:cached_tokens_total", (_realtime("prefill_cache"),)),
    },
    model_label="model_name",
    role_label="engine_type",  # unified, prefill, decode; dynamic changes between them
    repeated_over=("tp_rank", "moe_ep_rank", "pp_rank"),
    live_output=(
        OUTPUT,
        # To 0.5.6: moves by tokens as they reach the tokenizer, but less than all of a first chunk.
        (Term("sglang:inter_token_latency_seconds_count"), FIRST_TOKENS),
    ),
    live_output_when=STEPS,
    running=(Term("sglang:num_running_reqs"),),
    waiting=(
        Term("sglang:num_queue_reqs"),
        Term("sglang:num_prefill_bootstrap_queue_reqs"),  # from 0.5.12
        Term("sglang:num_prefill_prealloc_queue_reqs"),  # its name to 0.5.11
        Term("sglang:num_decode_prealloc_queue_reqs"),
        Term("sglang:num_decode_transfer_queue_reqs"),
    ),
    kv_cache_usage=(Term("sglang:token_usage"),),  # the fullest pool
    preemptions=(Term("sglang:num_retracted_requests_total"),),  # from 0.5.7
    arrivals=(Term("sglang:http_requests_total", REQUESTS),),  # from 0.5.7
    heartbeat=(Term("sglang:realtime_tokens_total"),),
    idle_seconds=(Term("sglang:scheduler_idle_seconds_total"),),  # from 0.5.20
    failed=(Term("sglang:http_responses_total", {"status_code": "5.."} | REQUESTS),),  # from 0.5.7
    aborted=(Term("sglang:num_aborted_requests_total"),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("sglang:time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (HistogramTerm("sglang:inter_token_latency_seconds"),),
        Latency.END_TO_END: (HistogramTerm("sglang:e2e_request_latency_seconds"),),
        Latency.QUEUE: (
            HistogramTerm("sglang:queue_time_seconds"),
            HistogramTerm("sglang:queue_time_s"),  # in 0.5.2
        ),
    },
    gauges_stale_seconds=30.0,  # to 0.5.15; later a changed number of running requests is told at once
    notes=(
        "num_requests_total holds requests that were given up too, so successes are not told. Token series "
        "appear with the first request. --enable-metrics-for-all-schedulers repeats every figure for each "
        "tensor-parallel rank. Before 0.5.1 data-parallel ranks overwrite each other's gauges (sglang#6892). "
        "No process start is told: a restart shows by counters that fall."
    ),
)
