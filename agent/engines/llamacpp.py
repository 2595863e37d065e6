"""llama.cpp's server: output tokens are counted when a request ends, six digits are printed."""

from __future__ import annotations

from agent.measure.engine import TokenKind
from agent.measure.engine_table import Count, EngineTable, LiveSubstitute, Term

PRINTED_DIGITS = 6  # its stringstream prints 1234567 as 1.23457e+06

TABLE = EngineTable(
    engine="llamacpp",
    detect=("llamacpp:",),
    path="/metrics",
    port=8080,
    flag="--metrics",
    remedy="start llama-server with --metrics",
    tokens={
        TokenKind.OUTPUT: (
            Count((Term("llamacpp:tokens_predicted_total"),), live=False, significant_digits=PRINTED_DIGITS),
        ),
        # Processed tokens, without the cached ones; moves with each batch (in 2025 at a prompt's end).
        TokenKind.PROMPT: (
            Count((Term("llamacpp:prompt_tokens_total"),), live=True, significant_digits=PRINTED_DIGITS),
        ),
        TokenKind.PROMPT_CACHED: (
            Count(
                (Term("llamacpp:prompt_tokens_cached_total"),), live=True, significant_digits=PRINTED_DIGITS
            ),
        ),
    },
    model_path="/v1/models",
    start_time=None,
    start_header="Process-Start-Time-Unix",  # not Unix time, but it changes with the process
    cached_outside_prompt=True,
    running=(Term("llamacpp:requests_processing"),),
    waiting=(Term("llamacpp:requests_deferred"),),
    kv_cache_usage=(Term("llamacpp:kv_cache_usage_ratio"),),  # gone since 2025
    heartbeat=(Term("llamacpp:n_decode_total"),),
    drafted=(Term("llamacpp:spec_decode_num_draft_tokens_total"),),
    accepted=(Term("llamacpp:spec_decode_num_accepted_tokens_total"),),
    live_substitute=LiveSubstitute(
        path="/slots",
        busy=("is_processing",),
        count=("next_token", "n_decoded"),
        remedy="start llama-server without --no-slots",
    ),
    notes=(
        "prompt_tokens_seconds and predicted_tokens_seconds are averages since the last scrape by anyone: "
        "never read. A sleeping server answers cached values. --api-key guards /metrics and /slots too. A "
        "router wants the model: give the URL with /metrics?model=NAME. n_tokens_max is a peak, no count."
    ),
)
