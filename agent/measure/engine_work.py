"""Requests of one engine as totals: arrived, ended, put off; and tokens that were guessed (T1, T2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.counters import Change
from agent.measure.engine_tokens import prefix_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import EngineReading
    from agent.measure.ledger import Ledger

OUTCOMES = ("succeeded", "failed", "aborted")
"""How a request ends."""
DRAFTED, ACCEPTED = "drafted", "accepted"
"""Tokens that speculative decoding proposed, and those of them that the model took."""
NAMES = (*OUTCOMES, "arrivals", "preemptions", DRAFTED, ACCEPTED)


class EngineWork:
    """Totals of what one instance counts beside its tokens."""

    def __init__(self, instance: str, ledger: Ledger) -> None:
        self._ledger = ledger
        self._keys = {name: f"{prefix_of(instance)}work/{name}" for name in NAMES}
        self._seen = False
        """Whether a page of the running process was taken: a counter that appears began at zero (T25)."""
        kept = {name: ledger.total(key) for name, key in self._keys.items()}
        self._totals = {name: total for name, total in kept.items() if total is not None}

    @property
    def totals(self) -> Mapping[str, float]:
        """Every total that was ever told, by name; a new mapping with each page."""
        return self._totals

    def take(self, reading: EngineReading, process: Change) -> Mapping[str, float]:
        """Book one page; return by how much each total grew that did.

        Each counter tells of a restart by itself, or the process does.
        """
        adopted = process is Change.ADOPTED
        from_zero = process is Change.RESET or (self._seen and not adopted)
        before, totals, grown = self._totals, dict(self._totals), {}
        for name, raw in _raws(reading).items():
            if raw is not None:
                step = self._ledger.observe(
                    self._keys[name], raw, reading.at, reading.epoch, from_zero=from_zero, adopted=adopted
                )
                total = totals[name] = step.counter.total
                if total and total != before.get(name, 0.0):
                    grown[name] = total - before.get(name, 0.0)
        self._totals, self._seen = totals, True
        return grown


def _raws(reading: EngineReading) -> dict[str, float | None]:
    demand = reading.demand
    return {
        "succeeded": demand.succeeded,
        "failed": demand.failed,
        "aborted": demand.aborted,
        "arrivals": demand.arrivals,
        "preemptions": demand.preemptions,
        DRAFTED: reading.drafted_tokens,
        ACCEPTED: reading.accepted_tokens,
    }
