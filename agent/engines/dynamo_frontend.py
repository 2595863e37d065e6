"""NVIDIA Dynamo's frontend (names from 1.6.1): a gateway, whose tokens are those of its workers."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

ENDED = "dynamo_frontend_requests_total"
GIVEN_UP = "cancelled"
THE_CLIENTS = f"{GIVEN_UP}|validation|not_found"
"""Errors that the client made; before there was `error_type` all were one."""

TABLE = EngineTable(
    engine="dynamo_frontend",
    detect=("dynamo_frontend_",),
    precedence=40,  # a router inside it has dynamo_component_ series, like a worker
    path="/metrics",
    port=8000,
    flag=None,
    remedy="read the port of Dynamo's frontend, started without DYN_METRICS_PREFIX",
    gateway=True,
    tokens={
        # Told when a request ends, and exact. The live counter leaves out streamed chunks without text.
        TokenKind.OUTPUT: (
            Count(
                (Term("dynamo_frontend_output_sequence_tokens_sum"),),
                live=False,
                when=("dynamo_frontend_output_tokens_total", "dynamo_frontend_output_sequence_tokens"),
            ),
        ),
        # Sums of histograms: the whole prompt, at its first output token, and its cached part.
        TokenKind.PROMPT: (Count((Term("dynamo_frontend_input_sequence_tokens_sum"),), live=True),),
        TokenKind.PROMPT_CACHED: (
            Count((Term("dynamo_frontend_cached_tokens_sum"),), live=False),
            Count((Term("dynamo_frontend_cached_sequence_length_sum"),), live=False),  # its older name
        ),
    },
    live_output=((Term("dynamo_frontend_output_tokens_total"),),),
    model_label="model",  # in lower case on most series
    running=(
        Term("dynamo_frontend_active_requests"),
        Term("dynamo_frontend_inflight_requests", unless="dynamo_frontend_active_requests"),
    ),
    waiting=(Term("dynamo_frontend_queued_requests"),),
    arrivals=(Term("dynamo_frontend_requests_started_total"),),
    succeeded=(Term(ENDED, {"status": "success"}),),
    failed=(Term(ENDED, {"status": "error", "error_type": rf"(?!(?:{THE_CLIENTS})$).*"}),),
    aborted=(Term(ENDED, {"status": "error", "error_type": GIVEN_UP}),),
    latencies={
        Latency.FIRST_TOKEN: (HistogramTerm("dynamo_frontend_time_to_first_token_seconds"),),
        Latency.INTER_TOKEN: (HistogramTerm("dynamo_frontend_inter_token_latency_seconds"),),
        Latency.END_TO_END: (HistogramTerm("dynamo_frontend_request_duration_seconds"),),
    },
    notes=(
        "Running requests hold the waiting ones, which are all that have no first token yet: their prefill "
        "is waiting too. Inter-token latency is told once in 64 tokens of a request. DYN_METRICS_PREFIX "
        "changes all names. Token series appear with the first request. The live counter leaves out streamed "
        "tokens that decode to no text, so that a live rate of many such is too low; totals have them all."
    ),
)
