"""Token totals of one engine instance, by model and kind, and what is forgotten of them (T1, T2, T25)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from agent.measure.counting import ALL, NONE
from agent.measure.engine import TokenKind
from agent.measure.reading import Moment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from agent.measure.counting import Kinds
    from agent.measure.engine import TokenCounter
    from agent.measure.ledger import Ledger
    from agent.measure.model_tokens import ModelTokens

MAX_SERIES_PER_INSTANCE = 4096
"""Raw series remembered of one instance. The kept file takes 200 to 400 bytes for each, so that a node of
eight instances stays below its 16 MiB; an engine of 8 ranks with 100 LoRA adapters has 2,400."""
MAX_MODELS = 256
"""Models named for one instance: each is a dozen rows on every page, and names come from outside. The
tokens of further ones are counted under OTHER."""
OTHER = "other"
FORGET_SECONDS = 7 * 86400.0
"""A raw series that its engine has not shown for so long is forgotten: an adapter that is used once a week
keeps its place, and one that was unloaded does not hold it for ever."""
FORGET_TOTAL_SECONDS = 30 * 86400.0
"""Totals of an instance that nobody expects are kept for so long: a month covers a repair, and names of
instances (ports, pods) come and go without end."""
ENGINES = "engine/"
PROCESS = "process"
NEVER = Moment(0.0, 0.0)
FORGOTTEN = "forgotten"
"""Key of the number of series that were forgotten though their process may live on."""


def prefix_of(instance: str) -> str:
    """Return what all keys of one instance begin with."""
    return f"{ENGINES}{quote(instance, safe='')}/"


def forget_unexpected(ledger: Ledger, expected: Collection[str]) -> set[str]:
    """Forget what is too old of instances that nobody expects; return those of which anything is left."""
    by_instance: dict[str, list[str]] = {}
    well_known = tuple(prefix_of(instance) for instance in expected)
    for key in ledger.keys(ENGINES):
        if not key.startswith(well_known):
            by_instance.setdefault(unquote(key.split("/", 2)[1]), []).append(key)
    newest = ledger.newest() if by_instance else NEVER
    for instance, keys in list(by_instance.items()):
        prefix = prefix_of(instance)
        told = [key for key in keys if key != f"{prefix}{FORGOTTEN}"]
        unseen = min((ledger.unseen_seconds(key, newest) for key in told), default=float("inf"))
        raws = [key for key in keys if key.startswith(f"{prefix}raw/")]
        if unseen >= FORGET_TOTAL_SECONDS:
            ledger.drop(by_instance.pop(instance))
        elif unseen >= FORGET_SECONDS and raws:
            ledger.drop([*raws, f"{prefix}{PROCESS}"])
            ledger.add(f"{prefix}{FORGOTTEN}", float(len(raws)), newest)
    return {*by_instance, *expected}


class EngineTokens:
    """What one instance has produced, made of the raw series on its pages."""

    def __init__(self, instance: str, ledger: Ledger, models: ModelTokens | None = None) -> None:
        self._ledger = ledger
        self._models = models
        self._prefix = prefix_of(instance)
        self._raws: dict[tuple[str, str], str] = {}
        """Keys of the raw series in the ledger, by kind and series."""
        self._totals: dict[tuple[str, TokenKind], float] = {}
        """By label and kind."""
        self._total_keys: dict[tuple[str, TokenKind], str] = {}
        """Keys of these totals in the ledger."""
        self._labels: set[str] = set()
        """Models that have a name of their own."""
        self._seen: Moment | None = None
        """When a page was last counted in this run."""
        self.counted = ALL
        """Kinds that enter the totals of models (T13)."""
        self._counted: Kinds | None = None
        """Kinds that entered the totals of models with the last page."""
        self._recall()

    def __getitem__(self, pair: tuple[str, TokenKind]) -> float:
        """Return one total by label and kind."""
        return self._totals[pair]

    def of_kind(self, kind: TokenKind) -> float:
        """Return the exact total of one kind over all models."""
        return sum([total for (_, of), total in self._totals.items() if of is kind])

    def label(self, model: str) -> str:
        """Return the name under which a model is counted: its own, or OTHER for one too many."""
        return model if model in self._labels else OTHER

    def fell(self, counters: Sequence[TokenCounter]) -> bool:
        """Tell whether any raw series shows less than it did."""
        for counter in counters:
            known = self._ledger.get(self._key(counter))
            if known is not None and counter.value < known.raw:
                return True
        return False

    def count(
        self,
        counters: Sequence[TokenCounter],
        at: Moment,
        epoch: str | None,
        *,
        from_zero: bool,
        restarted: bool,
        adopted: bool,
    ) -> None:
        """Book every token series; one that is new began at zero if `from_zero` (T25).

        Raw counters are told apart by series alone: a model whose name was learned late, or lost for a
        moment, does not make its tokens new. One that is new to us may also be one that was forgotten: of
        a model that was counted before, it is taken as it stands, for its past is in the total.
        """
        forgotten = self._ledger.get(f"{self._prefix}{FORGOTTEN}") is not None
        self._make_room(counters, at)
        self._seen = at
        added: dict[tuple[str, TokenKind], float] = {}
        for counter in counters:
            pair = (self._name(counter.model), counter.kind)
            raw_key = self._key(counter)
            step = self._ledger.observe(
                raw_key,
                counter.value,
                at,
                epoch,
                from_zero=from_zero and not (forgotten and pair in self._totals),
                restarted=restarted,
                adopted=adopted,
            )
            self._raws[counter.kind, counter.series] = raw_key
            added[pair] = added.get(pair, 0.0) + step.delta
        self._book(added, at)

    @property
    def begins(self) -> bool:
        """Whether it counts for models from the next page on only."""
        return self._counted is not None and not self._counted

    def begin_counting(self) -> None:
        """Leave what is new on the next page out of the totals of models."""
        self._counted = NONE

    def restart(self) -> None:
        """Note that the process is a new one: no series of it was forgotten yet."""
        self._ledger.drop([f"{self._prefix}{FORGOTTEN}"])

    def prune(self) -> None:
        """Forget raw series that the engine no longer shows; while it is silent nothing is forgotten."""
        seen = self._seen
        if seen is not None:
            self._forget(
                [
                    identity
                    for identity, key in self._raws.items()
                    if self._ledger.unseen_seconds(key, seen) >= FORGET_SECONDS
                ],
                seen,
            )

    def _book(self, added: Mapping[tuple[str, TokenKind], float], at: Moment) -> None:
        """Grow the totals; those of models by kinds that count now and did when the last page was read."""
        both = self.counted if self._counted is None else self.counted & self._counted
        self._counted = self.counted
        if self._models is not None:
            self._models.begin(at)
        for pair, tokens in added.items():
            self._totals[pair] = self._ledger.add(self._total_key(pair), tokens, at)
            if self._models is not None and pair[1] in both:
                self._models.add(*pair, tokens, at)

    def _name(self, model: str) -> str:
        if model != OTHER and len(self._labels) < MAX_MODELS:
            self._labels.add(model)
        return self.label(model)

    def _key(self, counter: TokenCounter) -> str:
        key = self._raws.get((counter.kind, counter.series))
        return key or f"{self._prefix}raw/{counter.kind}/{quote(counter.series, safe='')}"

    def _total_key(self, pair: tuple[str, TokenKind]) -> str:
        key = self._total_keys.get(pair)
        if key is None:
            label, kind = pair
            key = self._total_keys[pair] = f"{self._prefix}tokens/{kind}/{quote(label, safe='')}"
        return key

    def _make_room(self, counters: Sequence[TokenCounter], at: Moment) -> None:
        """Forget those that were not shown for longest, when a page brings more series than are kept."""
        if len(self._raws) + len(counters) <= MAX_SERIES_PER_INSTANCE:
            return
        shown = {(str(counter.kind), counter.series) for counter in counters}
        excess = len(self._raws.keys() | shown) - MAX_SERIES_PER_INSTANCE
        if excess > 0:
            hidden = self._raws.keys() - shown
            oldest = sorted(hidden, key=lambda one: -self._ledger.unseen_seconds(self._raws[one], at))
            self._forget(oldest[:excess], at)

    def _forget(self, identities: Sequence[tuple[str, str]], at: Moment) -> None:
        if identities:
            self._ledger.drop(self._raws.pop(identity) for identity in identities)
            self._ledger.add(f"{self._prefix}{FORGOTTEN}", float(len(identities)), at)

    def _recall(self) -> None:
        """Take what is kept of this instance; what a newer version wrote and we do not know is left alone."""
        for key in self._ledger.keys(self._prefix):
            what, _, rest = key.removeprefix(self._prefix).partition("/")
            kind, _, name = rest.partition("/")
            if what == "raw":
                self._raws[kind, unquote(name)] = key
            elif what == "tokens" and kind in set(TokenKind):
                self._totals[unquote(name), TokenKind(kind)] = self._ledger.total(key) or 0.0
        self._labels = {label for label, _ in self._totals} - {OTHER}
