"""Ray Serve LLM (2.60): each node's Ray agent shows the series of the vLLM or SGLang replicas on it."""

from __future__ import annotations

from agent.measure.engine_table import EngineTable

TABLE = EngineTable(
    engine="ray_serve_llm",
    detect=(),
    detect_raw=("ray_vllm_", "ray_vllm:", "ray_sglang_", "ray_sglang:"),
    precedence=20,
    delegates=("vllm", "sglang"),
    path="/metrics",
    port=8080,  # Ray chooses one by itself; this one is KubeRay's
    flag="--metrics-export-port",
    remedy="start Ray with --metrics-export-port, and the deployment without log_engine_metrics: false",
    tokens={},
    # Counters grow in the agent, by what its workers report: they begin with its process. A replica that
    # starts anew goes on with its series or has new ones.
    start_time="process_start_time_seconds",
    late=True,
    gauges_stale_seconds=20.0,  # kept for two report intervals, of 10 s by default
    notes=(
        "All is that of the engine, summed over WorkerId and ReplicaId, and late by a report interval. A "
        "counter appears with its first step, a gauge that is not reported anew disappears. Older Rays show "
        "each counter once more as a gauge without _total, which is never read. Hundreds of kilobytes of "
        "Ray's own series are passed over. If replicas of both engines are on a node, vLLM's are read."
    ),
)
