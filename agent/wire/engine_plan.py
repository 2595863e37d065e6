"""Finds the series that an engine's table asks for among those of a page; good while the layout stays."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from agent.measure.engine import Latency, TokenKind
from agent.measure.engine_table import Term
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.measure.engine_table import Count, EngineTable, HistogramTerm
    from agent.wire.page import Series

CACHED_PART = "as prompt"
"""Cached tokens that the engine leaves out of its prompts count as prompt under this addition."""
SUMMED = ("running", "waiting", "preemptions", "arrivals", "heartbeat", "idle_seconds")
"""Lists of terms that are summed over all that are present …"""
CHOSEN = ("kv_cache_usage", "succeeded", "failed", "aborted", "drafted", "accepted")
"""… and those of which the first that is present counts."""


@dataclass(frozen=True, slots=True)
class Share:
    """One series of a page that counts tokens of one kind."""

    index: int
    """Where it is in the page's series."""
    identity: str
    kind: TokenKind
    model: str | None
    """What its label says, if it has one."""
    significant_digits: int | None


@dataclass(frozen=True, slots=True)
class HistogramShare:
    """One histogram of a page, over all series that it is summed from."""

    latency: Latency
    model: str | None
    bounds: tuple[float, ...]
    """In seconds."""
    buckets: tuple[tuple[int, ...], ...]
    """Places of the series of each bound."""
    sums: tuple[int, ...]
    seconds_per_unit: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Which of a page's series a table asks for, by their places."""

    series: tuple[Series, ...]
    identified: bool
    """Whether the page is of the table's engine at all."""
    live: bool
    """Whether the counter of output tokens moves with every step."""
    live_output_from_zero: bool
    """Whether the live counter that stands in for it is 0 as long as none of its series are there."""
    shares: tuple[Share, ...]
    histograms: tuple[HistogramShare, ...]
    model: str | None
    """The first that a label names, be it one of a token series or not."""
    found: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By the name of the table's field."""

    def places(self, name: str) -> tuple[int, ...]:
        """Return where the series of one field of the table are."""
        return self.found.get(name, ())


def plan(table: EngineTable, series: tuple[Series, ...]) -> Plan:
    """Find the table's series among a page's."""
    once = _Once(table, series)
    counts = {kind: _standing(choices, series) for kind, choices in table.tokens.items()}
    shares = [share for kind, count in counts.items() if count for share in _shares(table, kind, count, once)]
    if table.cached_outside_prompt:
        shares += [_as_prompt(share) for share in shares if share.kind is TokenKind.PROMPT_CACHED]
    if table.only_models_with_tokens:
        models = {share.model for share in shares} or _working(table, once)
        once = once.of_models(models) if models else once
    found = {name: once.places(getattr(table, name)) for name in SUMMED}
    found |= {name: once.first_present(getattr(table, name)) for name in CHOSEN}
    found["awake"] = once.places([table.awake] if table.awake else [])
    found["start_time"] = once.places([Term(table.start_time)] if table.start_time else [])
    output = counts.get(TokenKind.OUTPUT)
    stands_in = not table.late and not (output and output.live)
    first_stands = stands_in and _has(table.live_output_when, series)
    found["live_output"] = _live_output(table, once, first_stands=first_stands) if stands_in else ()
    return Plan(
        series=series,
        identified=_identified(table, series),
        live=_is_live(table, output),
        live_output_from_zero=first_stands,
        shares=tuple(shares),
        histograms=tuple(_histograms(table, once)),
        model=next((name for name in (*_models(shares), *_labelled(table, once.kept())) if name), None),
        found=found,
    )


def _is_live(table: EngineTable, output: Count | None) -> bool:
    """Tell whether output moves with every step; before its series appear, whether it always would (T25)."""
    choices = (output,) if output is not None else table.tokens.get(TokenKind.OUTPUT, ())
    return bool(choices) and all(count.live for count in choices) and not table.late


def _identified(table: EngineTable, series: Sequence[Series]) -> bool:
    """Tell whether the series are of the engine; a container is looked at anew until its engine shows."""
    if table.delegates:
        return False
    if table.detect:
        return _has(table.detect, series)
    return any(one.name != table.start_time for one in series)


class _Once:
    """The series of a page, without those that repeat what another worker says."""

    def __init__(
        self, table: EngineTable, series: Sequence[Series], but: frozenset[int] | None = None
    ) -> None:
        self._table, self.series = table, series
        self._left_out = _repeated(table.repeated_over, series) if but is None else but

    def of_models(self, models: set[str | None]) -> _Once:
        """Leave out the series of other models; those without a model stay."""
        label = self._table.model_label or ""
        others = {
            index
            for index, one in enumerate(self.series)
            if label in one.labels and one.labels[label] not in models
        }
        return _Once(self._table, self.series, self._left_out | others)

    def kept(self) -> Iterable[Series]:
        """Yield the series that are not left out."""
        return (one for index, one in enumerate(self.series) if index not in self._left_out)

    def places(self, terms: Iterable[Term]) -> tuple[int, ...]:
        """Return where the series of any of the terms are."""
        names = {one.name for one in self.series}
        wanted = tuple(term for term in terms if term.unless not in names)
        return tuple(
            index
            for index, one in enumerate(self.series)
            if index not in self._left_out and any(_matches(term, one) for term in wanted)
        )

    def first_present(self, terms: Iterable[Term]) -> tuple[int, ...]:
        """Return where the series of the first term are that has any."""
        return next((places for term in terms if (places := self.places([term]))), ())


def _repeated(labels: tuple[str, ...], series: Sequence[Series]) -> frozenset[int]:
    """Return the series that differ from another only in labels of workers which all report the same."""
    if not labels:
        return frozenset()
    first: dict[tuple[object, ...], tuple[tuple[tuple[int, int, str], ...], int]] = {}
    left_out = set()
    for index, one in enumerate(series):
        rest = (one.name, *((name, text) for name, text in one.labels.items() if name not in labels))
        worker = tuple(_rank(one.labels.get(label, "")) for label in labels)
        known = first.get(rest)
        if known is None or worker < known[0]:
            first[rest] = (worker, index)
        if known is not None:
            left_out.add(index if worker >= known[0] else known[1])
    return frozenset(left_out)


def _rank(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdecimal() and text.isascii() else (1, 0, text)


def _standing(choices: tuple[Count, ...], series: Sequence[Series]) -> Count | None:
    """Return the first way to count that stands on this page."""
    for count in choices:
        there = _has(count.when, series) if count.when else _any_matches(count.terms, series)
        if there and all(_any_matches([term], series) for term in count.needs):
            return count
    return None


def _has(prefixes: tuple[str, ...], series: Sequence[Series]) -> bool:
    return any(one.name.startswith(prefixes) for one in series)


def _any_matches(terms: Iterable[Term], series: Sequence[Series]) -> bool:
    return any(_matches(term, one) for term in terms for one in series)


def _shares(table: EngineTable, kind: TokenKind, count: Count, once: _Once) -> list[Share]:
    found = []
    for index in once.places(count.terms):
        series = once.series[index]
        found.append(Share(index, series.key, kind, _model(table, series), count.significant_digits))
    return found


def _working(table: EngineTable, once: _Once) -> set[str | None]:
    """Return the models that tell of running requests: where no tokens are counted, they are the engine's."""
    return {_model(table, once.series[index]) for index in once.places(table.running)}


def _model(table: EngineTable, series: Series) -> str | None:
    label = table.model_label
    return printable(series.labels.get(label, "")) or None if label else None


def _models(shares: Iterable[Share]) -> Iterable[str | None]:
    return (share.model for share in shares)


def _labelled(table: EngineTable, series: Iterable[Series]) -> Iterable[str | None]:
    return (_model(table, one) for one in series)


def _as_prompt(share: Share) -> Share:
    """Count cached tokens as prompt as well, under an identity of their own."""
    identity = f"{share.identity} {CACHED_PART}"
    return Share(share.index, identity, TokenKind.PROMPT, share.model, share.significant_digits)


def _live_output(table: EngineTable, once: _Once, *, first_stands: bool) -> tuple[int, ...]:
    if first_stands:
        return once.places(table.live_output[0])
    for terms in table.live_output:
        places = [once.places([term]) for term in terms]
        if all(places):
            return tuple(index for each in places for index in each)
    return ()


def _histograms(table: EngineTable, once: _Once) -> list[HistogramShare]:
    found = []
    for latency, choices in table.latencies.items():
        for term in choices:
            shares = _of_term(table, latency, term, once)
            if shares:
                found += shares
                break
    return found


def _of_term(table: EngineTable, latency: Latency, term: HistogramTerm, once: _Once) -> list[HistogramShare]:
    """Return the histograms of one family, one for each model."""
    by_model: dict[str | None, dict[tuple[object, ...], list[tuple[float, int]]]] = {}
    for index in once.places([Term(f"{term.name}_bucket", term.where)]):
        series = once.series[index]
        rest = tuple(pair for pair in series.labels.items() if pair[0] != "le")
        bound = _bound(series.labels.get("le", ""))
        if bound is not None:
            by_model.setdefault(_model(table, series), {}).setdefault(rest, []).append((bound, index))
    sums = once.places([Term(f"{term.name}_sum", term.where)])
    found = []
    for model, parts in by_model.items():
        buckets = _merged([sorted(part) for part in parts.values()])
        if buckets is not None:
            bounds, places = buckets
            mine = tuple(index for index in sums if _model(table, once.series[index]) == model)
            scaled = tuple(bound * term.seconds_per_unit for bound in bounds)
            found.append(HistogramShare(latency, model, scaled, places, mine, term.seconds_per_unit))
    return found


def _merged(
    parts: list[list[tuple[float, int]]],
) -> tuple[tuple[float, ...], tuple[tuple[int, ...], ...]] | None:
    """Put the buckets of several series together; None when their bounds differ or do not reach infinity."""
    bounds = tuple(bound for bound, _ in parts[0])
    if bounds[-1] != math.inf or len(set(bounds)) != len(bounds):
        return None
    if any(tuple(bound for bound, _ in part) != bounds for part in parts[1:]):
        return None
    return bounds, tuple(tuple(part[place][1] for part in parts) for place in range(len(bounds)))


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def _matches(term: Term, series: Series) -> bool:
    return series.name == term.name and all(
        _pattern(pattern).fullmatch(series.labels.get(label, "")) for label, pattern in term.where.items()
    )


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
