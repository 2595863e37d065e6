"""A counter of energy in steps too large for a window of seconds, such as the kilowatt hours of a PDU.

It is the total. What a window of seconds has used is integrated from power, and over some twenty steps both
are held against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.counters import Change
from agent.measure.energy import CHECK_RATIO, CHECK_WINDOWS

if TYPE_CHECKING:
    from agent.measure.ledger import Ledger
    from agent.measure.reading import Moment

LARGEST_STEP_JOULES = 3.6e6
"""One kilowatt hour: a counter that moves in larger steps is not believed."""
STUCK_JOULES = 3.0 * LARGEST_STEP_JOULES
"""A counter that does not move while so much has flowed counts nothing: it is a figure that stands there."""
CHECK_STEPS = 20.0
"""A window of the check is so many of its smallest steps: each edge is known to within one of them."""


class CoarseCounter:
    """One such counter, its total, and whether it agrees with integrated power."""

    def __init__(self, key: str, ledger: Ledger, max_watts: float) -> None:
        self.verified = self.mismatch = False
        self.stuck = False
        """It stands still while power flows: the total is integrated meanwhile."""
        self._key, self._ledger, self._max_watts = key, ledger, max_watts
        self._left = False
        """It was there, and then it was not: what it counted meanwhile is integrated already."""
        self._still = 0.0
        """Joules that have flowed since it last moved."""
        self._smallest = float("inf")
        self._counted: float | None = None
        """Since the step that a window of the check begins with; None before that."""
        self._integrated = 0.0
        self._misses = 0

    def take(self, raw_joules: float, at: Moment, integrated_joules: float | None) -> float:
        """Book what it has grown by; `integrated_joules` of the same time, None where nobody knows them."""
        elapsed = self._ledger.unseen_seconds(self._key, at)
        fastest = self._max_watts + LARGEST_STEP_JOULES / max(1.0, elapsed)
        step = self._ledger.observe(
            self._key, raw_joules, at, adopted=self._left or self._moves_again(raw_joules), max_rate=fastest
        )
        self._left = False
        added = self._while_still(step.delta, integrated_joules or 0.0)
        if self.stuck:
            return added
        if integrated_joules is None or step.change is not Change.GREW:
            self._counted = None
        else:
            self._check(step.delta, integrated_joules)
        return step.delta

    def _moves_again(self, raw_joules: float) -> bool:
        """Whether a counter that stood still goes on: what it counts now was integrated already."""
        known = self._ledger.get(self._key)
        moves = self.stuck and known is not None and raw_joules != known.raw
        self.stuck = self.stuck and not moves
        return moves

    def _while_still(self, counted: float, integrated: float) -> float:
        """Return what the total grows by while it is stuck; with the first time what it had not counted."""
        if self.stuck:
            return integrated
        self._still = 0.0 if counted > 0.0 else self._still + integrated
        if self._still < STUCK_JOULES:
            return counted
        missed, self._still = self._still, 0.0
        self.stuck, self.verified, self._counted = True, False, None
        return missed

    def leave(self) -> None:
        """Note that it is not told any more."""
        self._left, self._counted = self._ledger.get(self._key) is not None, None

    def _check(self, counted: float, integrated: float) -> None:
        """Compare both from one step of the counter to another."""
        self._integrated += integrated
        if counted <= 0.0:
            return
        self._smallest = min(self._smallest, counted)
        if self._counted is not None:
            self._counted += counted
        if self._counted is None:
            self._counted, self._integrated = 0.0, 0.0
        elif self._counted >= CHECK_STEPS * self._smallest:
            self._judge(self._counted)

    def _judge(self, counted: float) -> None:
        apart = abs(counted - self._integrated) > CHECK_RATIO * counted + self._smallest
        self._misses = self._misses + 1 if apart else 0
        self.mismatch = self._misses >= CHECK_WINDOWS or (self.mismatch and apart)
        self.verified = not apart
        self._counted, self._integrated = 0.0, 0.0
