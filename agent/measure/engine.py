"""Serving engines: the table that says how to read one, and what one instance said."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.reading import Moment


class TokenKind(StrEnum):
    """Kinds of token; never summed (T6). prompt_cached is a part of prompt."""

    OUTPUT = "output"
    PROMPT = "prompt"
    PROMPT_CACHED = "prompt_cached"


@dataclass(frozen=True, slots=True)
class Term:
    """One family on an engine's page, with the labels its series must carry."""

    name: str
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a kind of token is counted: the first alternative present wins, its terms are summed."""

    alternatives: tuple[tuple[Term, ...], ...]
    live: bool
    """True: moves with every engine step. False: jumps when a request ends (T21)."""
    significant_digits: int | None = None
    """Digits the engine prints; None is all of them (T22)."""


@dataclass(frozen=True, slots=True)
class LiveSubstitute:
    """A JSON page that tells the tokens of unfinished requests: what an on-finish counter hides."""

    path: str
    busy: tuple[str, ...]
    """Keys to the flag that says an item is working."""
    count: tuple[str, ...]
    """Keys to the number of output tokens that the item has produced."""
    remedy: str = ""
    """What an operator must set for the page to answer."""


@dataclass(frozen=True, slots=True)
class EngineTable:
    """How to read one kind of serving engine; names are canonical (`:` after the prefix)."""

    engine: str
    detect: tuple[str, ...]
    """Prefixes of sample names that identify it."""
    path: str
    port: int
    flag: str | None
    """What an operator must set for the page to exist; None is on by default."""
    remedy: str
    """What to do when the page, or its series, are missing: one phrase."""
    tokens: Mapping[TokenKind, TokenSource]
    model_label: str | None = None
    model_path: str | None = None
    """JSON page that names the model when no label does (OpenAI form: data[0].id)."""
    start_time: str | None = "process_start_time_seconds"
    """Series with the process's start in Unix seconds, if the page has it (T2)."""
    start_header: str | None = None
    """Response header that changes when the process restarts."""
    cached_outside_prompt: bool = False
    """True when the prompt counter leaves cached tokens out; ours includes them."""
    running: tuple[Term, ...] = ()
    """Requests being served; like the terms below, summed over those present."""
    waiting: tuple[Term, ...] = ()
    kv_cache_usage: tuple[Term, ...] = ()
    """First present wins; the fullest of its series is the instance's."""
    preemptions: tuple[Term, ...] = ()
    arrivals: tuple[Term, ...] = ()
    """Counters that move when a request *starts*."""
    heartbeat: tuple[Term, ...] = ()
    """Counters that move with every engine step."""
    awake: Term | None = None
    """Gauge that is 0 while the engine sleeps on purpose."""
    live_substitute: LiveSubstitute | None = None
    gauges_stale_seconds: float = 0.0
    """How long a gauge may keep an old value (facts per engine)."""
    notes: str = ""

    def terms(self) -> tuple[Term, ...]:
        """Every family that a reader must keep."""
        token_terms = tuple(
            term
            for source in self.tokens.values()
            for alternative in source.alternatives
            for term in alternative
        )
        single = tuple(term for term in (self.awake,) if term is not None)
        start = (Term(self.start_time),) if self.start_time else ()
        demand = (*self.running, *self.waiting, *self.preemptions, *self.arrivals, *self.heartbeat)
        return (*token_terms, *demand, *self.kv_cache_usage, *single, *start)


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
    asleep: bool | None = None
    """True while it sleeps on purpose."""


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
    live: bool = True
    """Whether the output rate can be live: the counter is, or a substitute answered."""
    page_bytes: int = 0
