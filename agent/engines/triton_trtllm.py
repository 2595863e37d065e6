"""Triton with its TensorRT-LLM backend: tokens are sums of histograms, from backend 0.16 on."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

REQUESTS = "nv_trt_llm_request_metrics"

TABLE = EngineTable(
    engine="triton_trtllm",
    detect=("nv_trt_llm_",),
    precedence=2,  # every Triton has nv_inference_ too
    path="/metrics",
    port=8002,
    flag=None,
    remedy="start tritonserver without --allow-metrics=false",
    tokens={
        TokenKind.OUTPUT: (
            Count(
                (Term("nv_llm_output_token_len_sum", {"response_metric_type": "total_output_tokens"}),),
                live=False,
            ),
        ),
        TokenKind.PROMPT: (
            Count(
                (Term("nv_llm_input_token_len_sum", {"response_metric_type": "total_input_tokens"}),),
                live=False,
            ),
        ),
    },
    uncounted="Triton's TensorRT-LLM backend counts tokens from 0.16 on; update it",
    model_label="model",
    only_models_with_tokens=True,  # ensemble, preprocessing and postprocessing repeat each request
    start_time=None,
    running=(Term(REQUESTS, {"request_type": "scheduled"}),),  # `active` has the waiting ones in it
    waiting=(Term(REQUESTS, {"request_type": "waiting"}),),
    kv_cache_usage=(Term("nv_trt_llm_kv_cache_block_metrics", {"kv_cache_block_type": "fraction"}),),
    heartbeat=(Term("nv_trt_llm_general_metrics", {"general_type": "iteration_counter"}),),  # a gauge
    succeeded=(Term("nv_inference_request_success"),),  # no _total on any counter of Triton
    failed=(Term("nv_inference_request_failure", {"reason": "|REJECTED|BACKEND|OTHER"}),),
    aborted=(Term("nv_inference_request_failure", {"reason": "CANCELED"}),),
    latencies={  # its durations of whole requests are counters without buckets
        Latency.FIRST_TOKEN: (HistogramTerm("nv_inference_first_response_histogram_ms", 0.001),),
    },
    notes=(
        "Labelled by Triton's name of the model, often `tensorrt_llm`: set `model` for the target. "
        "total_generation_tokens of the old engine is the last iteration's, no counter. A streaming request "
        "is counted once, when it is complete. The first response needs --metrics-config "
        "histogram_latencies=true."
    ),
)
