"""Triton with any other backend: requests, and no tokens."""

from __future__ import annotations

from agent.measure.engine import Latency
from agent.measure.engine_table import EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="triton",
    detect=("nv_inference_",),
    precedence=1,
    delegates=("triton_trtllm", "triton_vllm"),  # whose series may come later: looked at anew each time
    path="/metrics",
    port=8002,
    flag=None,
    remedy="start tritonserver without --allow-metrics=false",
    tokens={},
    uncounted=(
        "Triton itself counts no tokens, its TensorRT-LLM backend does from 0.16 on, its vLLM backend with "
        "REPORT_CUSTOM_METRICS; or write a mapping for the series of yours"
    ),
    model_label="model",
    start_time=None,
    waiting=(Term("nv_inference_pending_request_count"),),
    heartbeat=(Term("nv_inference_exec_count"),),  # batches that were executed
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("nv_inference_first_response_histogram_ms", 0.001),),
    },
    notes=(
        "Requests that ended are not read: an ensemble and its members count each of them. Its own power and "
        "energy (nv_gpu_power_usage, nv_energy_consumption) are the GPU's, which NVML tells us."
    ),
)
