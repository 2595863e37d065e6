"""The power ladder: what each boundary draws beside the one inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.validity import Flag, Invalid, Validity

if TYPE_CHECKING:
    from collections.abc import Iterable

HOLES = frozenset(
    {
        Invalid.MEMBER_MISSING,
        Invalid.NO_METER,
        Invalid.WARMING_UP,
        Invalid.GAP,
        Invalid.BELOW_RESOLUTION,
        Invalid.LOW_COVERAGE,
    }
)
"""With one of these there is no difference to speak of; with another one it is shown, and doubted."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a boundary draws beside the next one inside it that is measured, over one window."""

    boundary: str
    inner: str
    power_watts: float | None
    """Less than nothing is a finding, and is shown: one of the meters is wrong."""
    standing: Validity


def remainder_of(
    figure: str,
    names: tuple[str, str],
    joules: tuple[float | None, float | None],
    seconds: float,
    reasons: Iterable[Invalid],
    flags: frozenset[Flag],
) -> Remainder:
    """Set the energy of two boundaries, inner and outer, against each other over the same seconds."""
    against, (inner, outer) = frozenset(reasons), joules
    watts = None
    if inner is not None and outer is not None and not against & HOLES:
        watts = (outer - inner) / seconds
    if watts is not None and watts < 0.0:
        against |= {Invalid.INNER_EXCEEDS_OUTER}
    return Remainder(names[1], names[0], watts, Validity(figure, seconds, against, flags))
