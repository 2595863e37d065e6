"""An engine's table as a user writes it: series by name and labels, as in PromQL."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass

from agent.collectors._engines.selectors import require, terms
from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm
from agent.measure.settings import setting
from agent.wire.page import canonical_name

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
PRECEDENCE = 100  # above every table of ours: the user knows better


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedTokens:
    """Which series count tokens; they must only grow while the engine runs."""

    output: str = setting(MISSING, "Series that count output tokens.")
    prompt: str = setting("", "Series that count prompt tokens, cached ones included.")
    prompt_cached: str = setting("", "Series that count the prompt tokens that were not computed anew.")

    def __post_init__(self) -> None:
        """Refuse what is no sum of series."""
        for key in ("output", "prompt", "prompt_cached"):
            require(key, getattr(self, key), needed=key == "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedLatencies:
    """Histograms of seconds, named without `_bucket`."""

    first_token: str = setting("", "From arrival to the first output token.")
    inter_token: str = setting("", "Between two output tokens.")
    end_to_end: str = setting("", "From arrival to the last token.")
    queue: str = setting("", "From arrival to the first work on it.")

    def __post_init__(self) -> None:
        """Refuse more than one family each."""
        for latency in Latency:
            require(latency.value, getattr(self, latency.value), single=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMapping:
    """How to read an engine that is not known here."""

    tokens: MappedTokens = setting(
        MISSING,
        'Which series count tokens. Series are written as in PromQL: `name{label="value",other=~"pattern"}`; '
        "several are added with `+`.",
    )
    live: bool = setting(
        default=False,
        doc="Whether the output moves with every step; else it moves when a request ends, and a silent "
        "window says nothing.",
    )
    live_output: str = setting(
        "", "Series that grow with every step, and by as much, where the output does not."
    )
    detect: tuple[str, ...] = setting(
        (), "Beginnings of names of series, one of which tells that a page is its; none: targets name it."
    )
    path: str = setting("/metrics", "Where its page is.")
    model_label: str = setting("", "Label that names the model; without, `model` of the target does.")
    repeated_over: tuple[str, ...] = setting(
        (), "Labels of workers that each report the same: one of them counts."
    )
    running: str = setting("", "Gauges of requests being served.")
    waiting: str = setting("", "Gauges of requests in the queue.")
    arrivals: str = setting("", "Counters that move when a request starts.")
    heartbeat: str = setting("", "Counters that move with every step.")
    succeeded: str = setting("", "Counter of requests that ended well; one name.")
    failed: str = setting("", "Counter of requests that failed; one name.")
    kv_cache_usage: str = setting("", "Gauge of how full the cache is, from 0 to 1; one name.")
    latencies: MappedLatencies = setting(MappedLatencies(), "Histograms of what clients wait for.")
    gateway: bool = setting(
        default=False,
        doc="Whether it passes requests on to engines that are read as well: its tokens are theirs.",
    )

    def __post_init__(self) -> None:
        """Refuse what no page can answer."""
        for key in ("live_output", "running", "waiting", "arrivals", "heartbeat"):
            require(key, getattr(self, key))
        for key in ("succeeded", "failed", "kv_cache_usage"):
            require(key, getattr(self, key), single=True)
        if not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!a} does not begin with /")
        if "" in self.detect:
            raise ValueError("detect: an empty name begins every page")
        if self.live and self.live_output:
            raise ValueError(
                "live_output: has no use where `live` says that the output moves with every step"
            )


def table(name: str, mapping: EngineMapping) -> EngineTable:
    """Return the table that a mapping stands for."""
    counts = {kind: terms(getattr(mapping.tokens, kind.value)) for kind in TokenKind}
    live_output = terms(mapping.live_output)
    return EngineTable(
        engine=name,
        detect=tuple(_canonical_prefix(prefix) for prefix in mapping.detect),
        precedence=PRECEDENCE,
        path=mapping.path,
        port=0,
        flag=None,
        remedy=f"compare collectors.engines.mappings.{name} with the page",
        tokens={
            kind: (Count(of, live=mapping.live or kind is not TokenKind.OUTPUT),)
            for kind, of in counts.items()
            if of
        },
        gateway=mapping.gateway,
        model_label=mapping.model_label or None,
        repeated_over=mapping.repeated_over,
        live_output=(live_output,) if live_output else (),
        running=terms(mapping.running),
        waiting=terms(mapping.waiting),
        kv_cache_usage=terms(mapping.kv_cache_usage),
        arrivals=terms(mapping.arrivals),
        heartbeat=terms(mapping.heartbeat),
        succeeded=terms(mapping.succeeded),
        failed=terms(mapping.failed),
        latencies={
            latency: tuple(HistogramTerm(term.name, where=term.where) for term in found)
            for latency in Latency
            if (found := terms(getattr(mapping.latencies, latency.value)))
        },
    )


def _canonical_prefix(prefix: str) -> str:
    """Return the beginning of a name in the one spelling that is compared."""
    return canonical_name(f"{prefix}x")[:-1]
