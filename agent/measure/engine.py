"""Serving engines: what one instance said at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.quick import quick

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment


UNKNOWN_MODEL = "unknown"
"""Name of a model until its engine tells it."""


class TokenKind(StrEnum):
    """Kinds of token; never summed (T6). prompt_cached is a part of prompt."""

    OUTPUT = "output"
    PROMPT = "prompt"
    PROMPT_CACHED = "prompt_cached"


class Role(StrEnum):
    """What an instance does for its deployment (T13)."""

    UNIFIED = "unified"  # prompts and output
    PREFILL = "prefill"  # its output is one token for each request, which the decoder counts again
    DECODE = "decode"  # its prompts came from the prefill instance, which counts them
    GATEWAY = "gateway"  # passes requests on: every token of it is an engine's


class Latency(StrEnum):
    """What a client waits for."""

    FIRST_TOKEN = "first_token"  # noqa: S105 - no secret: from arrival to the first output token
    INTER_TOKEN = "inter_token"  # noqa: S105 - no secret: between two output tokens
    END_TO_END = "end_to_end"  # from arrival to the last
    QUEUE = "queue"  # from arrival to the first work on it


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations counted since the engine's process started."""

    bounds: tuple[float, ...]
    """Upper bounds in seconds, rising; the last is infinite."""
    counts: tuple[float, ...]
    """How many were at most each bound: cumulative, as on the wire."""
    sum_seconds: float | None
    """Of all of them; None is unknown."""


@quick
@dataclass(frozen=True, slots=True)
class TokenCounter:
    """One raw token series of an instance, as printed on its page."""

    series: str
    """Identity inside the instance: name and labels."""
    model: str
    kind: TokenKind
    value: float
    resolution: float = 0.0
    """The counter may be off by this much, because of printed precision (T22)."""


@quick
@dataclass(frozen=True, slots=True)
class Demand:
    """What the engine says about the work before it; None is unknown (never 0)."""

    running: float | None = None
    waiting: float | None = None
    arrivals: float | None = None
    """Raw counter of started requests."""
    heartbeat: float | None = None
    """Raw counter of engine steps."""
    preemptions: float | None = None
    """Raw counter, like those below."""
    idle_seconds: float | None = None
    """Time in which it had nothing to do: the positive proof of idleness."""
    succeeded: float | None = None
    """Requests that ended well; a client that gave up is in none of the three with some engines."""
    failed: float | None = None
    aborted: float | None = None
    asleep: bool | None = None
    """True while it sleeps on purpose."""
    stale_seconds: float = 0.0
    """Running and waiting may be this old though they were just read."""


@quick
@dataclass(frozen=True, slots=True)
class EngineReading:
    """One engine instance at one moment."""

    engine: str
    instance: str
    """host:port, stable over restarts."""
    model: str
    """The first served model; 'unknown' until the engine tells."""
    at: Moment
    """First byte of the page (T3)."""
    asked_monotonic_seconds: float
    """When the request was sent: the values are from between this and `at`."""
    epoch: str | None
    """Identity of the process: changes when it restarts; None when the engine does not tell."""
    counters: tuple[TokenCounter, ...]
    demand: Demand
    kv_cache_usage_ratio: float | None = None
    pending_output_tokens: float | None = None
    """Output tokens of unfinished requests that the counter does not show yet (T21)."""
    live_output_tokens: float | None = None
    """Raw live counter that stands in for an output counter which moves on finish (T21)."""
    live: bool = True
    """Whether the output rate can be live: the counter is, or a substitute answered."""
    counts_output: bool = True
    """False: it ends requests and shows no counter of output tokens, so that their number is unknown."""
    page_bytes: int = 0
    role: Role = Role.UNIFIED
    drafted_tokens: float | None = None
    """Raw counter of tokens that speculative decoding proposed …"""
    accepted_tokens: float | None = None
    """… and of those that the model took."""
    latencies: Mapping[tuple[str, Latency], Histogram] | None = None
    """By model, where the page tells, and what was waited for; None when they were not read this time."""
    deployment: str = ""
    """As configured; empty: that of its model."""
    gpus: tuple[str, ...] | None = None
    """UUIDs of the GPUs that its processes hold here; None is unknown."""
    spans_nodes: bool | None = None
    """Whether it has GPUs on other nodes too (T24); None is unknown."""
    counted: bool | None = None
    """Whether its tokens enter the figures of node, model and rack, as configured; None: by rule (T13)."""
