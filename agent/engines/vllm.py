"""vLLM (0.6 to 0.33): counters move with every engine step."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="vllm",
    detect=("vllm:",),
    path="/metrics",
    port=8000,
    flag=None,
    remedy="start vLLM without --disable-log-stats",
    tokens={
        TokenKind.OUTPUT: (Count((Term("vllm:generation_tokens_total"),), live=True),),
        # The whole prompt, cached included, at the first output token.
        TokenKind.PROMPT: (Count((Term("vllm:prompt_tokens_total"),), live=True),),
        TokenKind.PROMPT_CACHED: (
            Count((Term("vllm:prompt_tokens_cached_total"),), live=True),  # from 0.16, at the first token
            # From 0.9.2, at admission. gpu_prefix_cache_hits before it: blocks in 0.8.5, tokens in 0.9.1.
            Count((Term("vllm:prefix_cache_hits_total"),), live=True),
        ),
    },
    counters_from_start=True,
    model_label="model_name",
    running=(Term("vllm:num_requests_running"),),
    # num_requests_waiting_by_reason (from 0.20) says the same once more.
    waiting=(
        Term("vllm:num_requests_waiting"),
        Term("vllm:num_requests_swapped"),  # V0, to 0.9.0: out of memory, and in neither of the others
    ),
    kv_cache_usage=(
        Term("vllm:kv_cache_usage_perc"),  # from 0.9.2; a ratio despite its name
        Term("vllm:gpu_cache_usage_perc"),  # to 0.11
    ),
    preemptions=(Term("vllm:num_preemptions_total"),),
    heartbeat=(Term("vllm:iteration_tokens_total_count"),),  # a histogram despite its name
    succeeded=(Term("vllm:request_success_total", {"finished_reason": "stop|length|repetition"}),),
    failed=(Term("vllm:request_success_total", {"finished_reason": "error"}),),  # from 0.14
    aborted=(Term("vllm:request_success_total", {"finished_reason": "abort"}),),  # not those of clients
    drafted=(Term("vllm:spec_decode_num_draft_tokens_total"),),
    accepted=(Term("vllm:spec_decode_num_accepted_tokens_total"),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("vllm:time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (
            HistogramTerm("vllm:inter_token_latency_seconds"),  # from 0.10.2
            HistogramTerm("vllm:time_per_output_token_seconds"),  # to 0.14
        ),
        Latency.END_TO_END: (HistogramTerm("vllm:e2e_request_latency_seconds"),),
        Latency.QUEUE: (HistogramTerm("vllm:request_queue_time_seconds"),),
    },
    awake=Term("vllm:engine_sleep_state", {"sleep_state": "awake"}),  # from 0.11.1
    notes=(
        "Summed over `engine` (data-parallel ranks); a head node with internal load balancing shows ranks "
        "whose GPUs are on other nodes. Gauges move only with an engine step and may keep their value after "
        "a mass abort (vllm#22545, #29928). Several API servers leave out process_start_time_seconds, and "
        "their counters outlive a restart if PROMETHEUS_MULTIPROC_DIR is set and not emptied. Elastic expert "
        "parallelism starts all counters anew without a restart. A request that its client gives up ends in "
        "no counter (vllm#31503), but its tokens count. A prompt counts once for each of its n completions. "
        "A prefill instance is not told from others: its prompts count again where they decode."
    ),
)
