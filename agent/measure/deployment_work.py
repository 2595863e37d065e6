"""How the requests of each deployment ended: what its instances observed, each request once (T1, T13)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from agent.measure.attribution import Group
from agent.measure.deployment_books import MAX_GROUPS, OTHER
from agent.measure.engine import TokenKind
from agent.measure.engine_work import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.measure.engine_book import EngineBook
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment

REQUESTS = "deployment_requests/"
SUCCEEDED = OUTCOMES[0]


class DeploymentWork:
    """Books every request that ended to the deployment of its instance; no total falls when one leaves."""

    def __init__(self, ledger: Ledger) -> None:
        self.totals: dict[Group, dict[str, float]] = {}
        """Of every deployment that ever was, by outcome."""
        self._ledger = ledger

    def recall(self) -> None:
        """Take what the ledger keeps."""
        for key in self._ledger.keys(REQUESTS):
            _, deployment, model, outcome = key.split("/", 3)
            of_group = self.totals.setdefault(Group(unquote(deployment), unquote(model)), {})
            of_group[outcome] = self._ledger.total(key) or 0.0

    def book(self, engine: EngineBook, group: Group, at: Moment) -> None:
        """Book what ended on one page.

        Both halves of a pair see a request end well: that of the one which counts its output is told.
        """
        if not engine.counted:
            return
        halves = TokenKind.OUTPUT not in engine.counted
        group = group if group in self.totals or len(self.totals) < MAX_GROUPS else Group(OTHER, OTHER)
        totals = self.totals.setdefault(group, {})
        for outcome, requests in engine.ended.items():
            if not (halves and outcome == SUCCEEDED):
                totals[outcome] = self._ledger.add(_key(group, outcome), requests, at)

    def of(self, group: Group, told: Collection[str]) -> dict[str, float]:
        """Return the totals of one; 0 for what its instances tell of and has not happened yet."""
        return dict.fromkeys((each for each in OUTCOMES if each in told), 0.0) | self.totals.get(group, {})


@lru_cache(maxsize=len(OUTCOMES) * MAX_GROUPS)
def _key(group: Group, outcome: str) -> str:
    return f"{REQUESTS}{quote(group.deployment, safe='')}/{quote(group.model, safe='')}/{outcome}"
