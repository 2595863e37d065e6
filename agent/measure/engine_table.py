"""The table of a serving engine: names of its series in each version, how they are summed, its traps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import Latency, TokenKind


@dataclass(frozen=True, slots=True)
class Term:
    """One family on an engine's page, with the labels its series must carry."""

    name: str
    where: Mapping[str, str] = field(default_factory=dict)
    """Patterns that labels match whole, like `=~` of PromQL."""
    unless: str = ""
    """A family that says the same: where it is on the page, this one counts nothing."""


@dataclass(frozen=True, slots=True)
class Count:
    """One way to count tokens: the series of all its terms are summed."""

    terms: tuple[Term, ...]
    live: bool
    """True: moves with every engine step. False: jumps when a request ends (T21)."""
    significant_digits: int | None = None
    """Digits the engine prints; None is all of them (T22)."""
    when: tuple[str, ...] = ()
    """Prefixes of names: the count stands where the page has one of them, even before its own series appear.

    Without them it stands where one of its terms is on the page.
    """
    needs: tuple[Term, ...] = ()
    """Series that must all be on the page besides."""


@dataclass(frozen=True, slots=True)
class HistogramTerm:
    """A histogram of durations: `name` without _bucket, _sum and _count."""

    name: str
    seconds_per_unit: float = 1.0
    where: Mapping[str, str] = field(default_factory=dict)
    """Patterns that labels match whole."""


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
    """Prefixes of sample names, one of which identifies it; none: it is never found out from a page."""
    path: str
    port: int
    flag: str | None
    """What an operator must set for the page to exist; None is on by default."""
    remedy: str
    """What to do when the page, or its series, are missing: one phrase."""
    tokens: Mapping[TokenKind, tuple[Count, ...]]
    """Ways to count each kind: the first that stands wins."""
    detect_all: tuple[str, ...] = ()
    """Prefixes that must all be there besides."""
    detect_raw: tuple[str, ...] = ()
    """Prefixes of names as printed, one of which identifies it: before names are made canonical."""
    precedence: int = 0
    """A page that fits several tables is of the highest: a container before the engine inside it."""
    delegates: tuple[str, ...] = ()
    """Engines whose series the page passes through: what this table does not say is taken from theirs."""
    until_delegate: tuple[str, ...] = ()
    """Fields that say less than the engine's own: they stand as long as its series are not on the page."""
    silent_when_fresh: bool = False
    """Its page is empty until the first request: where it alone has that path, it is known even so (T25)."""
    destructive_path: str = ""
    """A page of the same server that must never be asked for: what it hands out is gone for everyone else."""
    owner: str = ""
    """Whom /v1/models of such a server names as the owner of its models, even when its page is off."""
    uncounted: str = ""
    """What to do when it counts no output tokens, or not in this version: one phrase."""
    unsupported: str = ""
    """Why it cannot be read at all; such a table only gives a name to what was found."""
    late: bool = False
    """Its counters come in steps of seconds, though the engine's own are live."""
    gateway: bool = False
    """It passes requests on to engines, whose tokens it counts once more (T13)."""
    model_label: str | None = None
    model_path: str | None = None
    """JSON page that names the model when no label does."""
    model_keys: tuple[str, ...] = ("data", "id")
    """Keys to the name on that page (OpenAI's form: data[0].id)."""
    role_label: str | None = None
    """Label that tells a prefill instance from a decode instance by the values of Role."""
    repeated_over: tuple[str, ...] = ()
    """Labels of workers that each report the same: of series that differ in nothing else, one counts."""
    only_models_with_tokens: bool = False
    """Series of models without token series repeat those with them (an ensemble and its members)."""
    start_time: str | None = "process_start_time_seconds"
    """Series with the process's start in Unix seconds, if the page has it (T2)."""
    start_header: str | None = None
    """Response header that changes when the process restarts."""
    cached_outside_prompt: bool = False
    """True when the prompt counter leaves cached tokens out; ours includes them."""
    counters_from_start: bool = False
    """Its counters are there at 0 from the start: one that is not on the page is never counted."""
    live_output: tuple[tuple[Term, ...], ...] = ()
    """Live counters that stand in for an output counter that moves on finish (T21): the first alternative
    of which all terms are on the page is summed."""
    live_output_when: tuple[str, ...] = ()
    """Prefixes of names: where the page has one, the first alternative stands, what is absent is 0."""
    live_substitute: LiveSubstitute | None = None
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
    idle_seconds: tuple[Term, ...] = ()
    """Counters of time in which it had nothing to do: the positive proof of idleness."""
    succeeded: tuple[Term, ...] = ()
    """Counters of requests that ended well; first present wins, like the two below."""
    failed: tuple[Term, ...] = ()
    aborted: tuple[Term, ...] = ()
    """Counters of requests that their clients gave up."""
    drafted: tuple[Term, ...] = ()
    """Counters of tokens that speculative decoding proposed …"""
    accepted: tuple[Term, ...] = ()
    """… and of those that the model took."""
    latencies: Mapping[Latency, tuple[HistogramTerm, ...]] = field(default_factory=dict)
    """First present wins."""
    awake: Term | None = None
    """Gauge that is 0 while the engine sleeps on purpose."""
    gauges_stale_seconds: float = 0.0
    """How long a gauge may keep an old value."""
    notes: str = ""
