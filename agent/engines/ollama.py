"""Ollama: it has no page of series, so that nothing of it can be read."""

from __future__ import annotations

from agent.measure.engine_table import EngineTable

TABLE = EngineTable(
    engine="ollama",
    detect=(),
    path="",
    port=11434,
    flag=None,
    remedy="serve the model with llama-server --metrics, or put a gateway that counts tokens in front",
    tokens={},
    unsupported="Ollama has no page of metrics; tokens stand only in each answer to its client",
    notes=(
        "Known by its port and by GET /api/version. GET /api/ps names loaded models, not work. Open requests "
        "16998 and 18508 would add a page behind OLLAMA_METRICS=1."
    ),
)
