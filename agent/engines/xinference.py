"""Xinference (4.1): tokens are counted when a request ends, from the usage in its last chunk."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

LANGUAGE = {"model_type": "LLM"}
"""A worker serves embeddings, images and speech as well."""

TABLE = EngineTable(
    engine="xinference",
    detect=("xinference:",),
    path="/metrics",
    port=0,  # any free one, unless it is set
    flag="--metrics-exporter-port",
    remedy="start the worker with --metrics-exporter-port and read that port of each worker",
    tokens={  # generate_tokens_total is the same number once more
        TokenKind.OUTPUT: (Count((Term("xinference:output_tokens_total_counter"),), live=False),),
        TokenKind.PROMPT: (Count((Term("xinference:input_tokens_total_counter"),), live=False),),
    },
    model_label="model_name",
    start_time=None,
    running=(Term("xinference:model_serve_count", LANGUAGE),),
    failed=(Term("xinference:model_request_errors_total", LANGUAGE),),
    latencies={  # of streams only; a stream's whole duration ends with its first answer, and is not read
        Latency.FIRST_TOKEN: (HistogramTerm("xinference:time_to_first_token_seconds"),),
    },
    notes=(
        "Summed over replicas (model_uid, replica_index). Requests whose last chunk carries no usage are not "
        "counted. The supervisor's page shows no tokens: read each worker's."
    ),
)
