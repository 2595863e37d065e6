"""Applies an engine's table to a page: its tokens, its demand, its cache, what its clients wait for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.measure.counters import START_PREFIX
from agent.measure.engine import Demand, Histogram, Role, TokenCounter, TokenKind
from agent.wire.engine_plan import CACHED_PART, Plan, plan
from agent.wire.page import Page, PageLimits, PageReader, printed_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.measure.engine import Latency
    from agent.measure.engine_table import EngineTable, Term

__all__ = ["CACHED_PART", "Plan", "plan"]

START_CHARACTERS = 64  # of a process's start as printed: it is kept with every total
_ROLES = {role.value: role for role in Role}


def reader(table: EngineTable, limits: PageLimits, *, latencies: bool = False) -> PageReader:
    """Return a reader that keeps what the table asks for; histograms, most of a page, only on demand."""
    ways = [count for counts in table.tokens.values() for count in counts]
    counters = [
        *table.preemptions,
        *table.arrivals,
        *table.heartbeat,
        *table.idle_seconds,
        *table.succeeded,
        *table.aborted,
        *table.failed,
        *table.drafted,
        *table.accepted,
        *(term for terms in table.live_output for term in terms),
        *(term for count in ways for term in count.terms),
    ]
    needed = [term for count in ways for term in count.needs]
    gauges = [
        *needed,
        *table.running,
        *table.waiting,
        *table.kv_cache_usage,
        *([table.awake] if table.awake else []),
    ]
    names = _names(gauges) | ({table.start_time} if table.start_time else set())
    parts = _histogram_names(table) if latencies else frozenset()
    return PageReader(names | parts, _names(counters), limits)


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


def demand(plan: Plan, page: Page, stale_seconds: float = 0.0) -> Demand:
    """Return what the page says about the work before the engine."""
    awake = total(page, plan.places("awake"))
    told = dict(zip(DEMANDS, totals(page, [plan.found.get(name, ()) for name in DEMANDS]), strict=True))
    idle, workers = told["idle_seconds"], len(plan.places("idle_seconds"))
    if idle is not None:  # the mean of its workers: only when all are idle it goes with the clock
        told["idle_seconds"] = idle / workers
    return Demand(**told, asleep=None if awake is None else awake == 0, stale_seconds=stale_seconds)


DEMANDS = (
    "running",
    "waiting",
    "arrivals",
    "heartbeat",
    "preemptions",
    "idle_seconds",
    "succeeded",
    "failed",
    "aborted",
)
"""Fields of Demand and of the table alike."""


def counts_output(plan: Plan, page: Page, table: EngineTable) -> bool:
    """Tell whether output tokens are counted: one that ended requests without a counter does not (T25)."""
    if any(share.kind is TokenKind.OUTPUT for share in plan.shares):
        return True
    if table.counters_from_start and not table.late:
        return False
    return TokenKind.OUTPUT in table.tokens and not total(page, plan.places("succeeded"))


def live_output(plan: Plan, page: Page) -> float | None:
    """Return the counter that stands in for one which moves on finish."""
    places = plan.places("live_output")
    return 0.0 if plan.live_output_from_zero and not places else total(page, places)


def latencies(
    plan: Plan, page: Page, told_model: str, *, override: bool
) -> Mapping[tuple[str, Latency], Histogram]:
    """Return the histograms; those of several ranks are summed, for their bounds agree."""
    found: dict[tuple[str, Latency], Histogram] = {}
    for share in plan.histograms:
        counts = totals(page, share.buckets)
        whole = [count for count in counts if count is not None]
        if len(whole) != len(counts):
            continue
        units = total(page, share.sums)
        seconds = None if units is None else units * share.seconds_per_unit
        model = told_model if override or share.model is None else share.model
        found.setdefault((model, share.latency), Histogram(share.bounds, tuple(whole), seconds))
    return found


def kv_cache_usage_ratio(plan: Plan, page: Page) -> float | None:
    """Return how full the fullest KV cache is."""
    values = [page.values[index] for index in plan.places("kv_cache_usage")]
    return max((value for value in values if value is not None), default=None)


def role(plan: Plan, table: EngineTable) -> Role:
    """Return what the instance says that it does."""
    if table.gateway:
        return Role.GATEWAY
    label = table.role_label
    told = {series.labels[label] for series in plan.series if label in series.labels} if label else set()
    return _ROLES.get(told.pop(), Role.UNIFIED) if len(told) == 1 else Role.UNIFIED


def start_time(plan: Plan, page: Page) -> str | None:
    """Return the process's start as printed, marked as Unix time so that it can be checked (T2)."""
    for index in plan.places("start_time"):
        printed = printed_number(page.texts[index])
        if page.values[index] is not None and len(printed) <= START_CHARACTERS:
            return START_PREFIX + printed.decode("ascii")
    return None


def totals(page: Page, each: Iterable[tuple[int, ...]]) -> list[float | None]:
    """Return the total of each: mostly there is one series to it, or none."""
    values = page.values
    return [
        (values[places[0]] if len(places) == 1 else total(page, places)) if places else None
        for places in each
    ]


def total(page: Page, places: tuple[int, ...]) -> float | None:
    """Return the sum, or None when there is nothing to sum, a part is unknown or the sum no number."""
    if not places:
        return None
    if len(places) == 1:
        return page.values[places[0]]
    values = [page.values[index] for index in places]
    known = [value for value in values if value is not None]
    found = sum(known) if len(known) == len(values) else math.inf
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
    return frozenset(name for term in terms for name in (term.name, term.unless) if name)


def _histogram_names(table: EngineTable) -> frozenset[str]:
    terms = [term.name for choices in table.latencies.values() for term in choices]
    return frozenset(f"{name}_{part}" for name in terms for part in ("bucket", "sum"))
