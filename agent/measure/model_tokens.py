"""Token totals of a node by model and kind: they outlive the engine instances that made them (T1)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from agent.measure.engine import TokenKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment

MODELS = "model/"
BEGUN = "model/begun/"
"""Kept beside the totals: tells a book without any from one of an earlier version."""
MAX_MODEL_SERIES = 1024
"""Models times kinds named for one node; the tokens of further ones are counted under OTHER."""
OTHER = "other"
INSTANCE_TOTAL_PARTS = 5
"""engine/<instance>/tokens/<kind>/<model>"""


class ModelTokens:
    """What a node has produced of each model, over all of its engines, also of those that are gone."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._totals: dict[tuple[str, TokenKind], float] = {}
        self._begun = False

    @property
    def totals(self) -> Mapping[tuple[str, TokenKind], float]:
        """Every total by model and kind."""
        return self._totals

    def begin(self, at: Moment) -> None:
        """Note in the book that it has totals of models, though all of them may be nothing so far."""
        if not self._begun:
            self._begun = True
            self._ledger.add(BEGUN, 0.0, at)

    def add(self, model: str, kind: TokenKind, tokens: float, at: Moment) -> None:
        """Book tokens of one model."""
        if (model, kind) not in self._totals and len(self._totals) >= MAX_MODEL_SERIES:
            model = OTHER
        self._totals[model, kind] = self._ledger.add(_key(model, kind), tokens, at)

    def recall(self) -> None:
        """Take what the book keeps; a book of an earlier version has only totals of instances."""
        keys = self._ledger.keys(MODELS)
        if not keys:
            self._begin()
        for key in keys:
            _, kind, model = key.split("/", 2)
            if kind in set(TokenKind):
                self._totals[unquote(model), TokenKind(kind)] = self._ledger.total(key) or 0.0

    def _begin(self) -> None:
        newest = self._ledger.newest()
        for key in self._ledger.keys("engine/"):
            parts = key.split("/")
            if len(parts) == INSTANCE_TOTAL_PARTS and parts[2] == "tokens" and parts[3] in set(TokenKind):
                self.add(unquote(parts[4]), TokenKind(parts[3]), self._ledger.total(key) or 0.0, newest)


@functools.lru_cache(maxsize=MAX_MODEL_SERIES)
def _key(model: str, kind: TokenKind) -> str:
    return f"{MODELS}{kind}/{quote(model, safe='')}"
