"""TensorRT-LLM's trtllm-serve (from 1.3): tokens are counted when a request ends."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="trtllm",
    detect=("trtllm:",),
    path="/prometheus/metrics",
    port=8000,
    flag="return_perf_metrics",
    remedy="set return_perf_metrics and enable_iter_perf_stats to true in the options file of trtllm-serve",
    tokens={
        # A request for several answers (n > 1) is left out of the output: the total is then too low.
        TokenKind.OUTPUT: (Count((Term("trtllm:generation_tokens_total"),), live=False),),
        TokenKind.PROMPT: (Count((Term("trtllm:prompt_tokens_total"),), live=False),),
        TokenKind.PROMPT_CACHED: (Count((Term("trtllm:prompt_cached_tokens_total"),), live=False),),
    },
    silent_when_fresh=True,  # series appear with the first request, gauges with the first iteration
    destructive_path="/metrics",  # a queue of JSON statistics, emptied by whoever reads it
    owner="tensorrt_llm",
    uncounted="TensorRT-LLM counts tokens from 1.3 on (pull request 12545); update it",
    model_label="model_name",
    model_path="/v1/models",  # until series with the label appear
    start_time=None,  # a page of several processes
    running=(Term("trtllm:num_requests_running"),),  # with enable_iter_perf_stats, like all gauges
    waiting=(Term("trtllm:num_requests_waiting"),),
    kv_cache_usage=(Term("trtllm:kv_cache_utilization"),),
    heartbeat=(Term("trtllm:kv_cache_gen_alloc_blocks_total"),),  # blocks given to running requests
    succeeded=(Term("trtllm:request_success_total"),),
    failed=(Term("trtllm:request_error_total"),),
    drafted=(Term("trtllm:spec_decode_num_draft_tokens_total"),),
    accepted=(Term("trtllm:spec_decode_num_accepted_tokens_total"),),
    latencies={  # no time between tokens: time_per_output_token_seconds is one mean for each request
        Latency.FIRST_TOKEN: (HistogramTerm("trtllm:time_to_first_token_seconds"),),
        Latency.END_TO_END: (HistogramTerm("trtllm:e2e_request_latency_seconds"),),
        Latency.QUEUE: (HistogramTerm("trtllm:request_queue_time_seconds"),),
    },
    notes=(
        "Output of requests with n > 1 is not counted. Gauges are those of the last iteration, so that an "
        "idle server may still show running requests. kv_cache_gen_alloc_blocks_total moves with every "
        "block, not with every step. The JSON page /metrics is never read."
    ),
)
