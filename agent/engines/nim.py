"""NVIDIA NIM 1.x: vLLM's older names without a prefix. NIM 2.x shows the page of vLLM or SGLang as it is."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="nim",
    detect=(),
    detect_all=("num_request_max", "gpu_cache_usage_perc"),  # bare names: ScaleLLM's are alike but for these
    precedence=-1,
    path="/v1/metrics",
    port=8000,
    flag=None,
    remedy="read NIM at /v1/metrics, in its first versions at /metrics",
    tokens={
        TokenKind.OUTPUT: (Count((Term("generation_tokens_total"),), live=True),),
        TokenKind.PROMPT: (Count((Term("prompt_tokens_total"),), live=True),),
    },
    model_label="model_name",
    running=(Term("num_requests_running"),),
    waiting=(Term("num_requests_waiting"),),
    kv_cache_usage=(Term("gpu_cache_usage_perc"),),  # a ratio despite its name
    succeeded=(Term("request_success_total"),),
    failed=(Term("request_failure_total"),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (
            HistogramTerm("time_per_output_token_seconds"),
        ),  # one for each token but the first
        Latency.END_TO_END: (HistogramTerm("e2e_request_latency_seconds"),),
    },
    notes=(
        "Closed source: that output moves with every step is what its documents say. NIM 2.x is named vllm "
        "or sglang here; only its path is NIM's, so give the URL with /v1/metrics."
    ),
)
