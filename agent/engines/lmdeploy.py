"""LMDeploy (0.9.2 to 0.18): counters move with every chunk of output, gauges every ten seconds."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="lmdeploy",
    detect=("lmdeploy:",),
    path="/metrics",
    port=23333,
    flag="--enable-metrics (before 0.11)",
    remedy="start LMDeploy without --disable-metrics, before 0.11 with --enable-metrics",
    tokens={
        TokenKind.OUTPUT: (Count((Term("lmdeploy:generation_tokens_total"),), live=True),),
        # The whole prompt, at its first output token.
        TokenKind.PROMPT: (Count((Term("lmdeploy:prompt_tokens_total"),), live=True),),
        TokenKind.PROMPT_CACHED: (Count((Term("lmdeploy:cached_tokens_total"),), live=False),),  # from 0.14
    },
    counters_from_start=True,
    model_label="model_name",
    running=(Term("lmdeploy:num_requests_running"),),
    # In the engine, and before it where all its handles are taken (from 0.12): no request is in both.
    waiting=(Term("lmdeploy:num_requests_waiting"), Term("lmdeploy:num_api_requests_waiting")),
    kv_cache_usage=(Term("lmdeploy:gpu_cache_usage_perc"),),  # a ratio despite its name
    heartbeat=(Term("lmdeploy:iteration_tokens_total_count"),),  # a histogram of each request's chunks
    # Both are counts of all time, though told as gauges.
    succeeded=(Term("lmdeploy:num_requests_succeeded"), Term("lmdeploy:num_requests_finished")),
    drafted=(Term("lmdeploy:spec_decode_num_draft_tokens_total"),),  # from 0.14, like the next
    accepted=(Term("lmdeploy:spec_decode_num_accepted_tokens_total"),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("lmdeploy:time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (HistogramTerm("lmdeploy:iter_token_latency"),),  # seconds, though unnamed
        Latency.END_TO_END: (HistogramTerm("lmdeploy:e2e_request_latency_seconds"),),
        Latency.QUEUE: (HistogramTerm("lmdeploy:request_queue_time_seconds"),),
    },
    gauges_stale_seconds=10.0,
    notes=(
        "Each data-parallel rank has a server of its own: read every port. num_requests_failed holds those "
        "given up by their clients too, so failures are not told; nor are preemptions."
    ),
)
