"""NVIDIA Dynamo's worker (names from 1.6.1): its own series, and those of the engine inside."""

from __future__ import annotations

from agent.measure.engine_table import EngineTable, Term

GENERATE = {"dynamo_endpoint": "generate"}
"""A worker has endpoints for its own use as well."""

TABLE = EngineTable(
    engine="dynamo_worker",
    detect=("dynamo_component_",),
    precedence=30,
    delegates=("vllm", "sglang", "trtllm"),
    path="/metrics",
    port=8081,
    flag="DYN_SYSTEM_PORT",
    remedy="start the worker with DYN_SYSTEM_PORT=8081, and SGLang in it with --enable-metrics",
    tokens={},
    # The engine tells running and waiting apart, and its cache by rank.
    until_delegate=("running", "kv_cache_usage", "role_label"),
    role_label="dynamo_component",  # prefill; backend may be all or decode
    running=(Term("dynamo_component_inflight_requests", GENERATE),),
    kv_cache_usage=(
        Term("dynamo_component_gpu_cache_usage_percent"),  # a ratio despite its name
        Term("dynamo_component_kvstats_gpu_cache_usage_percent"),  # its older name
    ),
    arrivals=(Term("dynamo_component_requests_total", GENERATE),),
    failed=(Term("dynamo_component_errors_total", GENERATE),),
    aborted=(Term("dynamo_component_cancellation_total", GENERATE),),
    notes=(
        "Tokens, and all that is not told here, are those of vLLM, SGLang or TensorRT-LLM on the same page, "
        "which may appear with the first request. The frontend's tokens are the same ones. SGLang in it "
        "counts by steps."
    ),
)
