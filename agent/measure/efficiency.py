"""Live figures over one window: rates, energy, and their ratio as a ratio of sums (T3, T5, T10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.measure.series import max_gap_seconds
from agent.measure.validity import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.series import Series

INFINITY = float("inf")
CADENCES_PER_WINDOW = 3.0
"""A window holds at least this many samples of its slowest input."""


class Member(NamedTuple):
    """One contributor to a sum: a GPU's energy or an engine's tokens."""

    series: Series | None
    """None while it does not report."""
    cadence_seconds: float


class Window(NamedTuple):
    """The interval that a figure speaks of, on the monotonic clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class Sum(NamedTuple):
    """What covered members added up to over a window, and what speaks against it."""

    amount: float | None
    """None when no member is covered."""
    uncertainty: float
    reasons: frozenset[Invalid]


def window_of(members: Sequence[Member], window_seconds: float, now: float) -> Window | None:
    """Choose common edges: the newest moment that every member still reporting has reached.

    A member whose samples stopped does not hold the window back. None when nobody reports.
    """
    end, slowest, gap_cadence, gap_seconds = INFINITY, 0.0, 0.0, max_gap_seconds(0.0)
    for series, cadence in members:
        if series is None or (last := series.last) is None:
            continue
        if cadence != gap_cadence:  # mostly it is that of the member before
            gap_cadence, gap_seconds = cadence, max_gap_seconds(cadence)
        newest = last.seconds
        if now - newest <= gap_seconds:
            end = min(newest, end)
            slowest = max(cadence, slowest)
    if end == INFINITY:
        return None
    return Window(end - max(window_seconds, CADENCES_PER_WINDOW * slowest), end)


def sum_over(
    members: Sequence[Member], window: Window | None, nobody: Invalid, *, bounded: bool = True
) -> Sum:
    """Add up what each member grew by over one window; `nobody` is the reason when there is none.

    The uncertainty takes longer to reckon than the sum, and is only told when it is to be `bounded`.
    """
    if not members:
        return Sum(None, 0.0, frozenset({nobody}))
    reasons: set[Invalid] = set()
    amounts: list[float] = []
    uncertainty = 0.0
    for series, cadence in members:
        if series is None or window is None or series.oldest > window.start:
            reasons.add(_why_not(series, window, nobody))
            continue
        grown = series.grown(window.start, window.end, max_gap_seconds(cadence), bounded=bounded)
        if grown is None or grown.below_step:
            reasons.add(Invalid.GAP if grown is None else Invalid.BELOW_RESOLUTION)
            continue
        amounts.append(grown.amount)
        uncertainty += grown.uncertainty
    return Sum(sum(amounts) if amounts else None, uncertainty, frozenset(reasons))


def tokens_per_joule(tokens: float, joules: float) -> float | None:
    """Return tokens per joule, the same number as tokens per second per watt; None at zero energy."""
    return tokens / joules if joules > 0.0 else None


def joules_per_token(tokens: float, joules: float) -> float | None:
    """Return joules per token; None at zero tokens."""
    return joules / tokens if tokens > 0.0 else None


def _why_not(series: Series | None, window: Window | None, nobody: Invalid) -> Invalid:
    """Tell why a member cannot be read over a window."""
    if series is None:
        return Invalid.MEMBER_MISSING
    if series.oldest == INFINITY:
        return nobody
    return Invalid.GAP if window is None else Invalid.WARMING_UP
