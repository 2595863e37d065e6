"""Rack totals: sums of the members' own totals (T1).

An account is what one node has counted since its state began anew, and it holds the most that was seen
there. So a document that comes twice, late, or by two addresses adds nothing, whoever polls agrees with
everyone else, and a member that lost its state opens a new account beside the old one: nothing falls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from agent.measure.engine import TokenKind
from agent.measure.meter import NODE
from agent.measure.rack_outside import OutsideBook

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from agent.measure.totals import NodeTotals

MOST_LEDGERS_PER_NODE = 8
"""A node that loses its state at every start opens accounts without end: the oldest are folded into one."""
MOST_ACCOUNTS = 16_384
"""… and so are those of nodes whose names come and go. One that a member still counts in is never folded:
its next document would be counted a second time."""
MOST_MODEL_SERIES = 2048
"""Models times kinds of one account; a node names about half as many. What is beyond counts as OTHER."""
MOST_BOUNDARIES = 16
"""There are five; names come from outside."""
OTHER = "other"
"""As nodes call the models that are beyond their own bound."""
FOLDED = ""
"""The ledger of accounts that were folded."""

K = TypeVar("K")
Key = tuple[str, str]
"""Name of the node, and its ledger."""


@dataclass(slots=True)
class Account:
    """What one node has counted in one ledger."""

    tokens: dict[tuple[str, TokenKind], float] = field(default_factory=dict)
    """By model and kind."""
    joules: dict[str, float] = field(default_factory=dict)
    """By boundary."""
    backfilled: dict[TokenKind, float] = field(default_factory=dict)

    def grow(self, totals: NodeTotals, *, backfilled: bool) -> None:
        """Take a member's totals; what is less than was seen is old."""
        told = totals.tokens
        if len(self.tokens) + len(told) > MOST_MODEL_SERIES:
            told = _bounded(told, self.tokens)
        for pair, total in told.items():
            known = self.tokens.get(pair, 0.0)
            if total > known or pair not in self.tokens:
                self.tokens[pair] = total
                kind = pair[1]
                more = total - known if backfilled else 0.0
                self.backfilled[kind] = self.backfilled.get(kind, 0.0) + more
        for at in totals.boundaries:
            if at.boundary in self.joules or len(self.joules) < MOST_BOUNDARIES:
                self.joules[at.boundary] = max(at.joules, self.joules.get(at.boundary, 0.0))

    def absorb(self, other: Account) -> None:
        """Add another account to this one."""
        self.tokens = sums([self.tokens, _bounded(other.tokens, self.tokens)])
        self.joules = sums([self.joules, other.joules])
        self.backfilled = sums([self.backfilled, other.backfilled])

    def of_kinds(self) -> dict[TokenKind, float]:
        """Return its tokens by kind, over all models."""
        return sums([{kind: total} for (_, kind), total in self.tokens.items()])


class RackLedger:
    """All accounts that ever were; a member that is no longer configured keeps its own."""

    def __init__(self) -> None:
        self.outside = OutsideBook()
        """Energy of nodes that do not tell it, as the rack's daemon read it."""
        self._accounts: dict[Key, Account] = {}

    def knows(self, key: Key) -> bool:
        """Tell whether there is such an account."""
        return key in self._accounts

    def book(
        self,
        key: Key,
        totals: NodeTotals,
        *,
        backfilled: bool,
        in_use: Callable[[], Collection[Key]] = frozenset,
    ) -> None:
        """Take what a node says of one ledger; `backfilled` when it was away before.

        `in_use` tells, when accounts have to be folded, which ones members count in now.
        """
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account()
            self._fold(key, in_use)
        told = NODE in account.joules
        account.grow(totals, backfilled=backfilled)
        if not told and NODE in account.joules:
            self.outside.hand_over(key[0], account.joules[NODE])

    def accounts_of(self, ledger: str) -> list[Key]:
        """Return the accounts of one ledger, under whatever name its node had."""
        return [key for key in self._accounts if key[1] == ledger]

    def rename(self, old: Key, new: Key) -> None:
        """Give an account to the new name of its node."""
        if old in self._accounts and new not in self._accounts:
            self._accounts[new] = self._accounts.pop(old)

    def tokens(self) -> dict[TokenKind, float]:
        """Return the tokens of all accounts by kind."""
        return sums(account.of_kinds() for account in self._accounts.values())

    def tokens_by_model(self) -> dict[tuple[str, TokenKind], float]:
        """Return the tokens of all accounts by model and kind."""
        return sums(account.tokens for account in self._accounts.values())

    def joules(self) -> dict[str, float]:
        """Return the energy of all accounts by boundary, and of what was read here."""
        return sums([*(account.joules for account in self._accounts.values()), self.outside.joules])

    def tells(self, key: Key, boundary: str) -> bool:
        """Whether a node has ever told its energy at a boundary in this account."""
        account = self._accounts.get(key)
        return account is not None and boundary in account.joules

    def backfilled(self) -> dict[TokenKind, float]:
        """Return what members had made while they were away."""
        return sums(account.backfilled for account in self._accounts.values())

    def tokens_by_node(self) -> dict[str, dict[TokenKind, float]]:
        """Return the tokens of each node by kind, over all of its ledgers."""
        nodes: dict[str, list[dict[TokenKind, float]]] = {}
        for (node, _), account in self._accounts.items():
            nodes.setdefault(node, []).append(account.of_kinds())
        return {node: sums(parts) for node, parts in nodes.items()}

    def tokens_of(self, key: Key) -> dict[TokenKind, float]:
        """Return the tokens of one account by kind."""
        account = self._accounts.get(key)
        return {} if account is None else account.of_kinds()

    def dump(self) -> list[Any]:
        """Return all accounts as plain values."""
        return [
            [
                node,
                ledger,
                [[model, kind, total] for (model, kind), total in account.tokens.items()],
                dict(account.joules),
                dict(account.backfilled),
            ]
            for (node, ledger), account in self._accounts.items()
        ]

    def load(self, kept: Any) -> None:
        """Take what `dump` gave. Raises ValueError or TypeError when it is something else."""
        accounts = {}
        for node, ledger, tokens, joules, backfilled in kept:
            accounts[str(node), str(ledger)] = Account(
                {(str(model), TokenKind(kind)): _total(total) for model, kind, total in tokens},
                {str(boundary): _total(total) for boundary, total in dict(joules).items()},
                {TokenKind(kind): _total(total) for kind, total in dict(backfilled).items()},
            )
        self._accounts = accounts

    def _fold(self, newest: Key, in_use: Callable[[], Collection[Key]]) -> None:
        """Fold the oldest accounts where there are too many."""
        own = [key for key in self._accounts if key[0] == newest[0] and key[1] != FOLDED]
        if len(own) > MOST_LEDGERS_PER_NODE:
            self._absorb_first(own, newest, in_use(), (newest[0], FOLDED))
        if len(self._accounts) > MOST_ACCOUNTS:
            self._absorb_first(list(self._accounts), newest, in_use(), (FOLDED, FOLDED))

    def _absorb_first(self, keys: Iterable[Key], newest: Key, in_use: Collection[Key], into: Key) -> None:
        free = (key for key in keys if key not in (newest, into) and key not in in_use)
        oldest = next(free, None)
        if oldest is not None:
            self._absorb(oldest, into)

    def _absorb(self, key: Key, into: Key) -> None:
        folded = self._accounts.setdefault(into, Account())
        folded.absorb(self._accounts.pop(key))


def _bounded(
    told: Mapping[tuple[str, TokenKind], float], known: Mapping[tuple[str, TokenKind], float]
) -> dict[tuple[str, TokenKind], float]:
    """Name only as many models as there is room for beside those known; the tokens stay."""
    room = MOST_MODEL_SERIES - len(known)
    found: dict[tuple[str, TokenKind], float] = {}
    for (model, kind), total in told.items():
        pair = (model, kind)
        if pair not in known and model != OTHER:
            room -= 1
            pair = pair if room >= 0 else (OTHER, kind)
        found[pair] = found.get(pair, 0.0) + total
    return found


def sums(parts: Iterable[Mapping[K, float]]) -> dict[K, float]:
    """Add mappings up key by key, rounded once: the order of the parts makes no difference."""
    columns: dict[K, list[float]] = {}
    for part in parts:
        for key, amount in part.items():
            columns.setdefault(key, []).append(amount)
    return {key: math.fsum(amounts) for key, amounts in columns.items()}


def _total(value: Any) -> float:
    number = float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"not a total: {value!r}")
    return number
