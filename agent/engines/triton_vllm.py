"""Triton with its vLLM backend: a few of vLLM's series, under Triton's labels."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="triton_vllm",
    detect=(),
    detect_all=("nv_inference_", "vllm:"),
    precedence=2,  # vLLM's table fits the page, and Triton's
    path="/metrics",
    port=8002,
    flag="REPORT_CUSTOM_METRICS",
    remedy='set the parameter REPORT_CUSTOM_METRICS to "yes" in config.pbtxt, and keep vLLM\'s log stats on',
    tokens={
        TokenKind.OUTPUT: (Count((Term("vllm:generation_tokens_total"),), live=True),),
        TokenKind.PROMPT: (Count((Term("vllm:prompt_tokens_total"),), live=True),),
    },
    model_label="model",
    only_models_with_tokens=True,  # ensembles repeat each request
    start_time=None,
    waiting=(Term("nv_inference_pending_request_count"),),  # in Triton's queue; running is not told
    succeeded=(Term("nv_inference_request_success"),),
    failed=(Term("nv_inference_request_failure", {"reason": "|REJECTED|BACKEND|OTHER"}),),
    aborted=(Term("nv_inference_request_failure", {"reason": "CANCELED"}),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("vllm:time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (
            HistogramTerm("vllm:inter_token_latency_seconds"),  # not seen yet: vLLM's own name today
            HistogramTerm("vllm:time_per_output_token_seconds"),  # still so in 2026
        ),
        Latency.END_TO_END: (HistogramTerm("vllm:e2e_request_latency_seconds"),),
    },
    notes="Labels are model and version; no running requests, no KV cache.",
)
