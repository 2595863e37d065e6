"""Each model over all engines of one node: rates of what is served now, totals of all that ever was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.efficiency import Member, sum_over
from agent.measure.rack_snapshot import ModelFigures
from agent.measure.validity import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.measure.engine import TokenKind
    from agent.measure.engine_book import EngineBook
    from agent.measure.node_figures import NodeFigures
    from agent.measure.snapshot import EngineFigures


def models_of(
    books: Sequence[EngineBook],
    engines: Sequence[EngineFigures],
    node: NodeFigures,
    totals: Mapping[tuple[str, TokenKind], float],
    ratios: Mapping[str, Mapping[tuple[TokenKind, str], float]],
) -> tuple[ModelFigures, ...]:
    """Return every model by name. One that shares an engine with another has no rate of its own.

    Beside other models it has the `ratios` of its deployment, whose GPUs are its own.
    """
    books = [book for book in books if book.counted]  # what a gateway shows is shown by its engines
    engines = [engine for engine in engines if engine.counted]
    served = [served_by(engine) for engine in engines]
    names = sorted({model for model, _ in totals}.union(*served))
    return tuple(
        _figures(name, list(zip(books, served, strict=True)), engines, node, totals, ratios.get(name, {}))
        for name in names
    )


def served_by(engine: EngineFigures) -> frozenset[str]:
    """Return the models that one engine tells of; empty while it does not answer."""
    if not engine.up:
        return frozenset()
    return frozenset(tokens.model for tokens in engine.tokens) or frozenset({engine.model})


def _figures(
    name: str,
    books: Sequence[tuple[EngineBook, frozenset[str]]],
    engines: Sequence[EngineFigures],
    node: NodeFigures,
    totals: Mapping[tuple[str, TokenKind], float],
    own_ratios: Mapping[tuple[TokenKind, str], float],
) -> ModelFigures:
    mine = [(book, served) for book, served in books if name in served]
    apart = bool(mine) and all(len(served) == 1 for _, served in mine)
    alone = apart and len(mine) == len(books)
    if alone:  # the node is this model
        rates = dict(node.tokens_per_second)
    elif apart:
        rates = rates_of([book for book, _ in mine], node)
    else:
        rates = {}
    told = [
        engine.reading.demand
        for engine, (_, served) in zip(engines, books, strict=True)
        if name in served and len(served) == 1 and engine.reading is not None
    ]
    return ModelFigures(
        model=name,
        tokens_per_second=rates,
        tokens_total={kind: total for (model, kind), total in totals.items() if model == name},
        tokens_per_joule=dict(node.tokens_per_joule if alone else own_ratios if apart else {}),
        nodes=1 if mine else 0,
        running=sum_known([demand.running for demand in told]),
        waiting=sum_known([demand.waiting for demand in told]),
    )


def rates_of(books: Sequence[EngineBook], node: NodeFigures) -> dict[TokenKind, float]:
    """Reckon the rate of some engines over the node's own window."""
    rates = {}
    for kind, window in node.windows.items():
        members = [
            Member(book.series[kind], book.cadence_seconds)
            for book in books
            if kind in book.series and kind in book.counted
        ]
        summed = sum_over(members, window, Invalid.NO_ENGINES, bounded=False) if members else None
        amount = None if summed is None else summed.amount
        if amount is not None and window is not None:
            rates[kind] = amount / window.seconds
    return rates


def sum_known(values: Sequence[float | None]) -> float | None:
    """Add up what is known; None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
