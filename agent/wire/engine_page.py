"""Applies an engine's table to a page: which series are its tokens, its demand, its cache."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.counters import START_PREFIX
from agent.measure.engine import Demand, EngineTable, Term, TokenCounter, TokenKind, TokenSource
from agent.wire.page import Page, PageLimits, PageReader, Series, printed_number
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN_MODEL = "unknown"
START_CHARACTERS = 64  # of a process's start as printed: it is kept with every total


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
class Plan:
    """Which of a page's series a table asks for, by their places; good for as long as the layout stays."""

    series: tuple[Series, ...]
    identified: bool
    """Whether the page is of the table's engine at all."""
    shares: tuple[Share, ...]
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    arrivals: tuple[int, ...]
    heartbeat: tuple[int, ...]
    preemptions: tuple[int, ...]
    awake: tuple[int, ...]
    kv_cache_usage: tuple[int, ...]
    start_time: tuple[int, ...]


def reader(table: EngineTable, limits: PageLimits) -> PageReader:
    """Return a reader that keeps what the table asks for."""
    counters = [*table.preemptions, *table.arrivals, *table.heartbeat]
    for source in table.tokens.values():
        counters += [term for alternative in source.alternatives for term in alternative]
    return PageReader(_names(table.terms()), _names(counters), limits)


def plan(table: EngineTable, series: tuple[Series, ...]) -> Plan:
    """Find the table's series among a page's."""
    shares = [
        share for kind, source in table.tokens.items() for share in _shares(table, kind, source, series)
    ]
    if table.cached_outside_prompt:
        shares += [_as_prompt(share) for share in shares if share.kind is TokenKind.PROMPT_CACHED]
    return Plan(
        series=series,
        identified=any(one.name.startswith(table.detect) for one in series),
        shares=tuple(shares),
        running=_places(table.running, series),
        waiting=_places(table.waiting, series),
        arrivals=_places(table.arrivals, series),
        heartbeat=_places(table.heartbeat, series),
        preemptions=_places(table.preemptions, series),
        awake=_places([table.awake] if table.awake else [], series),
        kv_cache_usage=_first_present(table.kv_cache_usage, series),
        start_time=_places([Term(table.start_time)] if table.start_time else [], series),
    )


def counters(plan: Plan, page: Page, told_model: str, *, override: bool) -> tuple[TokenCounter, ...]:
    """Return the raw token counters; `told_model` is for series without a label, or for all."""
    found = []
    for share in plan.shares:
        value = page.values[share.index]
        if value is None:
            continue
        model = told_model if override or share.model is None else share.model
        digits = share.significant_digits
        resolution = 0.0 if digits is None else printed_resolution(page.texts[share.index], digits)
        found.append(TokenCounter(share.identity, model, share.kind, value, resolution))
    return tuple(found)


def demand(plan: Plan, page: Page) -> Demand:
    """Return what the page says about the work before the engine."""
    awake = total(page, plan.awake)
    return Demand(
        running=total(page, plan.running),
        waiting=total(page, plan.waiting),
        arrivals=total(page, plan.arrivals),
        heartbeat=total(page, plan.heartbeat),
        preemptions=total(page, plan.preemptions),
        asleep=None if awake is None else awake == 0,
    )


def kv_cache_usage_ratio(plan: Plan, page: Page) -> float | None:
    """Return how full the fullest KV cache is."""
    values = [page.values[index] for index in plan.kv_cache_usage]
    return max((value for value in values if value is not None), default=None)


def start_time(plan: Plan, page: Page) -> str | None:
    """Return the process's start as printed, marked as Unix time so that it can be checked (T2)."""
    for index in plan.start_time:
        printed = printed_number(page.texts[index])
        if page.values[index] is not None and len(printed) <= START_CHARACTERS:
            return START_PREFIX + printed.decode("ascii")
    return None


def total(page: Page, places: tuple[int, ...]) -> float | None:
    """Return the sum, or None when there is nothing to sum, a part is unknown or the sum no number."""
    values = [page.values[index] for index in places]
    known = [value for value in values if value is not None]
    found = sum(known) if known and len(known) == len(values) else math.inf
    return found if math.isfinite(found) else None


def printed_resolution(text: bytes, digits: int) -> float:
    """Return the step between values that an engine printing `digits` significant digits can show."""
    number = printed_number(text)
    value = float(number)
    mantissa = number.lower().partition(b"e")[0]
    printed = len(mantissa.replace(b".", b"").lstrip(b"+-0"))
    if value < 10.0**digits or printed > digits:
        return 0.0
    return 10.0 ** (math.floor(math.log10(value)) - digits + 1)


def _names(terms: Iterable[Term]) -> frozenset[str]:
    return frozenset(term.name for term in terms)


def _shares(
    table: EngineTable, kind: TokenKind, source: TokenSource, series: tuple[Series, ...]
) -> list[Share]:
    for alternative in source.alternatives:
        places = _places(alternative, series)
        if places:
            return [_share(table, kind, source, series[index], index) for index in places]
    return []


def _share(table: EngineTable, kind: TokenKind, source: TokenSource, series: Series, index: int) -> Share:
    model = printable(series.labels.get(table.model_label, "")) if table.model_label else ""
    return Share(index, series.key, kind, model or None, source.significant_digits)


def _as_prompt(share: Share) -> Share:
    """Count cached tokens as prompt as well, under an identity of their own."""
    identity = f"{share.identity} as prompt"
    return Share(share.index, identity, TokenKind.PROMPT, share.model, share.significant_digits)


def _places(terms: Iterable[Term], series: tuple[Series, ...]) -> tuple[int, ...]:
    wanted = tuple(terms)
    return tuple(index for index, one in enumerate(series) if any(_matches(term, one) for term in wanted))


def _first_present(terms: tuple[Term, ...], series: tuple[Series, ...]) -> tuple[int, ...]:
    return next((places for term in terms if (places := _places([term], series))), ())


def _matches(term: Term, series: Series) -> bool:
    return series.name == term.name and all(
        series.labels.get(label) == value for label, value in term.where.items()
    )
