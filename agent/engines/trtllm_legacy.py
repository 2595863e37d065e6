"""TensorRT-LLM's trtllm-serve before its series had a prefix: latencies, and no tokens at all."""

from __future__ import annotations

from agent.measure.engine import Latency
from agent.measure.engine_table import EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="trtllm_legacy",
    detect=(),
    detect_all=(
        "e2e_request_latency_seconds",
        "time_to_first_token_seconds",
        "request_queue_time_seconds",  # NIM 1.x, whose series have no prefix either, has none of this name
        "request_success",
    ),
    precedence=-2,  # names without a prefix: whatever else fits a page is it
    path="/prometheus/metrics",
    port=8000,
    flag="return_perf_metrics",
    remedy="set return_perf_metrics to true in the options file of trtllm-serve",
    tokens={},
    silent_when_fresh=True,
    destructive_path="/metrics",
    owner="tensorrt_llm",
    uncounted="this TensorRT-LLM counts no tokens; one from 1.3 on does",
    model_path="/v1/models",  # its label model_name is "undefined"
    start_time=None,
    succeeded=(Term("request_success_total"),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("time_to_first_token_seconds"),),
        Latency.END_TO_END: (HistogramTerm("e2e_request_latency_seconds"),),
        Latency.QUEUE: (HistogramTerm("request_queue_time_seconds"),),
    },
    notes="No tokens, no running and no waiting requests: these are unknown, not zero.",
)
