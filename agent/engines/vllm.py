"""vLLM (V1, 0.8 to 0.33): counters move with every engine step."""

from __future__ import annotations

from agent.measure.engine import EngineTable, Term, TokenKind, TokenSource

TABLE = EngineTable(
    engine="vllm",
    detect=("vllm:",),
    path="/metrics",
    port=8000,
    flag=None,
    remedy="start vLLM without --disable-log-stats",
    tokens={
        TokenKind.OUTPUT: TokenSource(((Term("vllm:generation_tokens_total"),),), live=True),
        # The whole prompt, cached included, at the first output token.
        TokenKind.PROMPT: TokenSource(((Term("vllm:prompt_tokens_total"),),), live=True),
        TokenKind.PROMPT_CACHED: TokenSource(
            (
                (Term("vllm:prompt_tokens_cached_total"),),  # from 0.16, at the first token
                (Term("vllm:prefix_cache_hits_total"),),  # from 0.9.2: at admission
                (Term("vllm:gpu_prefix_cache_hits_total"),),  # to 0.11
            ),
            live=True,
        ),
    },
    model_label="model_name",
    running=(Term("vllm:num_requests_running"),),
    waiting=(Term("vllm:num_requests_waiting"),),
    kv_cache_usage=(
        Term("vllm:kv_cache_usage_perc"),  # from 0.9.2; a ratio despite its name
        Term("vllm:gpu_cache_usage_perc"),  # to 0.11
    ),
    preemptions=(Term("vllm:num_preemptions_total"),),
    heartbeat=(Term("vllm:iteration_tokens_total_count"),),  # a histogram despite its name
    awake=Term("vllm:engine_sleep_state", {"sleep_state": "awake"}),  # from 0.11.1
    notes=(
        "Summed over `engine` (data-parallel ranks); a head node with internal load balancing shows ranks "
        "whose GPUs are on other nodes. Gauges move only with an engine step and may keep their value after "
        "a mass abort (vllm#22545, #29928). Several API servers leave out process_start_time_seconds."
    ),
)
