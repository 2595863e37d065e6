"""Hugging Face TGI (1.4 to 3.3): output is counted when a request succeeds; a live stand-in is there."""

from __future__ import annotations

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term

TABLE = EngineTable(
    engine="tgi",
    detect=("tgi_",),
    path="/metrics",
    port=3000,
    flag=None,
    remedy="ask the port that serves requests: --prometheus-port opens none",
    tokens={  # sums of histograms; no counter of TGI ends in _total
        TokenKind.OUTPUT: (Count((Term("tgi_request_generated_tokens_sum"),), live=False),),
        # At validation: with the prompts of requests that fail later.
        TokenKind.PROMPT: (Count((Term("tgi_request_input_length_sum"),), live=True),),
    },
    silent_when_fresh=True,
    model_path="/info",
    model_keys=("model_id",),
    start_time=None,
    # n - 1 is recorded for each sequence at each step, so that count and sum are the tokens sent so far.
    live_output=((Term("tgi_request_skipped_tokens_count"), Term("tgi_request_skipped_tokens_sum")),),
    running=(Term("tgi_batch_current_size"),),
    waiting=(Term("tgi_queue_size"),),
    arrivals=(Term("tgi_request_count"),),
    heartbeat=(Term("tgi_batch_inference_count", {"method": "decode"}),),
    succeeded=(Term("tgi_request_success"),),
    failed=(Term("tgi_request_failure"),),
    latencies={  # no time to the first token; the mean time of a token has the prompt's in it
        Latency.END_TO_END: (HistogramTerm("tgi_request_duration"),),
        Latency.QUEUE: (HistogramTerm("tgi_request_queue_duration"),),
    },
    notes=(
        "No KV cache: tgi_batch_current_max_tokens is what is reserved. tgi_request_skipped_tokens comes "
        "from the Python backends (v2, v3) only; without it output shows when a request ends. A populated "
        "page has about 120 KB."
    ),
)
