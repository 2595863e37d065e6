"""How well models are served: latency, what was promised of it, what caches and guesses save."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.efficiency import Member, sum_over, window_of
from agent.measure.engine import Latency, TokenKind
from agent.measure.latency import mean_seconds, merged, quantile, share_within
from agent.measure.latency_book import MAX_GAP_SECONDS, WINDOW_SECONDS
from agent.measure.validity import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.measure.attribution import Group
    from agent.measure.engine import Histogram
    from agent.measure.engine_book import EngineBook
    from agent.measure.latency_book import LatencyBook
    from agent.measure.series import Series
    from agent.measure.slo import Slo

QUANTILES = (0.5, 0.9, 0.99)
PER_REQUEST = frozenset({Latency.FIRST_TOKEN, Latency.END_TO_END, Latency.QUEUE})
"""Latencies that each request has one of; it has as many gaps between tokens as it has tokens."""


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """One latency of one model over the window."""

    latency: Latency
    count: float
    mean_seconds: float | None
    quantiles: Mapping[float, float]
    """By share; without those that nobody can tell."""
    attained_ratio: float | None
    """Share within the limit; None without a limit."""


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """One model over the window, and its histograms since rackwatt started."""

    model: str
    window_seconds: float
    latencies: tuple[LatencyFigures, ...] = ()
    goodput_ratio: tuple[float, float] | None = None
    """Least and most of the requests that can have met every limit that each of them has."""
    goodput_requests_per_second: tuple[float, float] | None = None
    """The same as a rate; known to be 0 where no request came."""
    cached_prompt_ratio: float | None = None
    speculative_accepted_ratio: float | None = None
    histograms: Mapping[Latency, Histogram] = field(default_factory=dict)


Told = tuple[tuple["LatencyBook", float], ...]
"""The engines that tell of one latency of one model, and when each was last read."""


class ServiceBook:
    """Reckons how well each model is served; histograms that no page has moved since are not gone through."""

    def __init__(self, slo: Slo) -> None:
        self._slo = slo
        self._known: dict[tuple[str, Latency], tuple[Told, LatencyFigures | None]] = {}
        """What was reckoned last, and of what."""
        self._served: dict[str, frozenset[str]] = {}
        """Models of each engine that answers, as they were when models were reckoned last."""
        self._parts: dict[Group, ServiceBook] = {}
        """The same of deployments that are a part of their model."""

    def figures(
        self, books: Sequence[EngineBook], wholes: Mapping[tuple[str, Latency], Histogram], now: float
    ) -> tuple[ServiceFigures, ...]:
        """Return every model that an engine serves alone, or whose latency was ever told, by name.

        A request that a gateway and an engine tell of, or both halves of a pair, is one (T13): it is told by
        the one whose output counts.
        """
        up = [book for book in books if book.reading is not None]
        alone: dict[str, list[EngineBook]] = {}
        self._served = {book.instance: models_in(book) for book in up}
        for book in up:
            models = self._served[book.instance]
            if len(models) == 1:
                alone.setdefault(next(iter(models)), []).append(book)
        names = sorted({model for model, _ in wholes} | alone.keys())
        ends = [book for book in up if TokenKind.OUTPUT in book.counted]
        told = {
            (model, latency): told_of(ends, model, latency, now) for model in names for latency in Latency
        }
        self._known = {key: self._reckoned(key, each) for key, each in told.items() if each}
        return tuple(self._of_model(name, alone.get(name, ()), wholes, now) for name in names)

    def of_deployments(
        self, members: Mapping[Group, Sequence[EngineBook]], models: Sequence[ServiceFigures], now: float
    ) -> dict[Group, ServiceFigures]:
        """Return each deployment of one model; one that alone serves it is served as the model is."""
        if not members:
            self._parts = {}
            return {}
        by_name = {each.model: each for each in models}
        served = self._served
        times = Counter(
            model for books in members.values() for book in books for model in served.get(book.instance, ())
        )
        found: dict[Group, ServiceFigures] = {}
        parts: dict[Group, ServiceBook] = {}
        for group, books in members.items():
            up = [book for book in books if book.instance in served]
            if not up or any(served[book.instance] != {group.model} for book in up):
                continue
            if len(up) == times[group.model] and group.model in by_name:
                found[group] = by_name[group.model]
            else:
                parts[group] = self._parts.get(group) or ServiceBook(self._slo)
                found[group] = parts[group].figures(up, {}, now)[0]
        self._parts = parts
        return found

    def _reckoned(self, key: tuple[str, Latency], told: Told) -> tuple[Told, LatencyFigures | None]:
        known = self._known.get(key)
        if known is not None and known[0] == told:
            return known
        window, (model, latency) = latency_over(told, key), key
        limit = self._slo.limits_of(model).get(latency)
        return told, None if window is None else _figures(latency, window, limit)

    def _of_model(
        self,
        model: str,
        alone: Sequence[EngineBook],
        wholes: Mapping[tuple[str, Latency], Histogram],
        now: float,
    ) -> ServiceFigures:
        """Put one model together; `alone` serve nothing else: their tokens are this model's."""
        known = [self._known.get((model, latency)) for latency in Latency]
        latencies = tuple(each[1] for each in known if each is not None and each[1] is not None)
        promised = [each for each in self._slo.limits_of(model) if each in PER_REQUEST]
        told = {each.latency: each for each in latencies}
        kept = [told[each] for each in promised if each in told]
        ratio = goodput_ratio([each.attained_ratio for each in kept]) if len(kept) == len(promised) else None
        return ServiceFigures(
            model=model,
            window_seconds=WINDOW_SECONDS,
            latencies=latencies,
            goodput_ratio=ratio,
            goodput_requests_per_second=goodput_rate(kept, ratio) if len(kept) == len(promised) else None,
            cached_prompt_ratio=cached_prompt_ratio(alone, now),
            speculative_accepted_ratio=speculative_accepted_ratio(alone, now),
            histograms={latency: wholes[model, latency] for latency in Latency if (model, latency) in wholes},
        )


def told_of(books: Sequence[EngineBook], model: str, latency: Latency, now: float) -> Told:
    """Return the engines that told of a latency lately."""
    newest = [(book.latencies, book.latencies.newest((model, latency))) for book in books]
    return tuple([each for each in newest if now - each[1] <= MAX_GAP_SECONDS])


def latency_over(told: Told, key: tuple[str, Latency]) -> Histogram | None:
    """Return what was counted in the window over the engines that tell, at the bounds that all have."""
    end = min(newest for _, newest in told)
    windows = [book.window(key, end - WINDOW_SECONDS, end) for book, _ in told]
    return merged([window for window in windows if window is not None])


def goodput_ratio(attained: Sequence[float | None]) -> tuple[float, float] | None:
    """Bound the share of requests that met every limit, from the share that met each.

    Histograms do not tell which request it was. At least all that are left when each limit is missed by
    requests of its own; at most those that met the limit which most missed (Fréchet). None without limits.
    """
    known = [share for share in attained if share is not None]
    if not known or len(known) != len(attained):
        return None
    return max(0.0, 1.0 - sum(1.0 - share for share in known)), min(known)


def goodput_rate(
    kept: Sequence[LatencyFigures], ratio: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Bound how many requests a second met every limit: of those for which the last of them was counted.

    The fewest of any limit are taken: a request whose first token came is not yet one that ended.
    """
    fewest = min((each.count for each in kept), default=None)
    if fewest is None or (ratio is None and fewest):
        return None
    least, most = ratio or (0.0, 0.0)
    return least * fewest / WINDOW_SECONDS, most * fewest / WINDOW_SECONDS


def cached_prompt_ratio(books: Sequence[EngineBook], now: float) -> float | None:
    """Return the share of prompt tokens that came from a cache; over engines that count both."""
    pairs = [
        (book.series[TokenKind.PROMPT_CACHED], book.series[TokenKind.PROMPT], book.cadence_seconds)
        for book in books
        if TokenKind.PROMPT_CACHED in book.series
        and TokenKind.PROMPT in book.series
        and TokenKind.PROMPT in book.counted
    ]
    return _ratio(pairs, now)


def speculative_accepted_ratio(books: Sequence[EngineBook], now: float) -> float | None:
    """Return the share of guessed tokens that the model took; over engines that count both."""
    pairs = [(*book.speculation, book.cadence_seconds) for book in books if book.speculation is not None]
    return _ratio(pairs, now)


def models_in(book: EngineBook) -> frozenset[str]:
    """Return the models of which an engine told tokens, else the one that it names."""
    if book.reading is None:
        return frozenset()
    return frozenset([counter.model for counter in book.reading.counters]) or frozenset({book.model})


def _figures(latency: Latency, window: Histogram, limit: float | None) -> LatencyFigures:
    quantiles = {share: quantile(window, share) for share in QUANTILES}
    return LatencyFigures(
        latency=latency,
        count=window.counts[-1],
        mean_seconds=mean_seconds(window),
        quantiles={share: value for share, value in quantiles.items() if value is not None},
        attained_ratio=None if limit is None else share_within(window, limit),
    )


def _ratio(pairs: Sequence[tuple[Series, Series, float]], now: float) -> float | None:
    """Divide two sums over the same members and the same window (T5); None at zero below."""
    parts = [Member(part, cadence) for part, _, cadence in pairs]
    wholes = [Member(whole, cadence) for _, whole, cadence in pairs]
    window = window_of([*parts, *wholes], WINDOW_SECONDS, now)
    above, below = (
        sum_over(members, window, Invalid.NO_ENGINES, bounded=False) for members in (parts, wholes)
    )
    if above.reasons or below.reasons or above.amount is None or not below.amount:
        return None
    return min(1.0, above.amount / below.amount)
