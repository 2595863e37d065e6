"""The table of models, each over all nodes that serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.top.cells import Cell, Span, Tone, clipped, line, rate, ratio, whole
from agent.top.nodes import Table

if TYPE_CHECKING:
    from agent.measure.rack_snapshot import ModelFigures
    from agent.top.page import RackPage

NAME_COLUMNS, LIMIT_COLUMNS = 40, 24
NUMERIC = frozenset({1, 2, 3, 4, 5, 6})


def model_table(page: RackPage, boundary: str) -> Table:
    """Return the models, the busiest first. Their tokens/J are their own: never to be ranked (T20)."""
    head = ("MODEL", "NODES", "OUTPUT/S", "PROMPT/S", f"TOK/J {boundary}", "RUNNING", "WAITING", "BOUND BY")
    models = sorted(page.models, key=lambda model: (-_output(model), model.model))
    rows = tuple(
        (f"{number} {model.model}", _row(model, boundary, page.limiters.get(model.model, ())))
        for number, model in enumerate(models)
    )
    return Table(head, NUMERIC, rows)


def _output(model: ModelFigures) -> float:
    return model.tokens_per_second.get(TokenKind.OUTPUT, 0.0)


def _row(model: ModelFigures, boundary: str, limits: tuple[str, ...]) -> tuple[Cell, ...]:
    waiting = Tone.WARN if model.waiting else Tone.PLAIN
    return (
        line(Span(clipped(model.model or "(no name)", NAME_COLUMNS), Tone.STRONG)),
        line(str(model.nodes)),
        line(rate(model.tokens_per_second.get(TokenKind.OUTPUT))),
        line(rate(model.tokens_per_second.get(TokenKind.PROMPT))),
        line(ratio(model.tokens_per_joule.get((TokenKind.OUTPUT, boundary)))),
        line(whole(model.running)),
        line(Span(whole(model.waiting), waiting)),
        line(clipped(", ".join(limits).replace("_", " ") or "-", LIMIT_COLUMNS)),
    )
