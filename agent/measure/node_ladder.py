"""The power ladder of a node: what each boundary draws beside its inner one, and the modelled facility."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from agent.measure.efficiency import window_of
from agent.measure.ladder import Remainder, remainder_of
from agent.measure.meter import FACILITY, LADDER, NODE
from agent.measure.node_figures import EFFICIENCY
from agent.measure.validity import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.engine import TokenKind
    from agent.measure.node_figures import NodeFigures, Rung
    from agent.measure.validity import Validity

REMAINDER = "node_power_remainder"


def with_ladder(
    figures: NodeFigures, rungs: Sequence[Rung], window_seconds: float, now: float, pue: float | None
) -> NodeFigures:
    """Return the node's figures with remainders, and with the facility where the node is metered."""
    ratios, standing = _with_facility(dict(figures.tokens_per_joule), list(figures.validity), pue)
    remainders = remainders_of(rungs, window_seconds, now, pue)
    validity = (*standing, *(each.standing for each in remainders))
    return replace(figures, tokens_per_joule=ratios, validity=validity, remainders=tuple(remainders))


def _with_facility(
    ratios: dict[tuple[TokenKind, str], float], standing: list[Validity], pue: float | None
) -> tuple[dict[tuple[TokenKind, str], float], list[Validity]]:
    """Model the efficiency at the facility from that of the node, where the node is metered."""
    node = next((each for each in standing if each.figure == f"{EFFICIENCY}_{NODE}"), None)
    if pue is None or node is None:
        return ratios, standing
    modelled = {
        (kind, FACILITY): ratio / pue for (kind, boundary), ratio in ratios.items() if boundary == NODE
    }
    facility = replace(node, figure=f"{EFFICIENCY}_{FACILITY}", flags=node.flags | {Flag.MODELLED})
    return ratios | modelled, [*standing, facility]


def remainders_of(
    meters: Sequence[Rung], window_seconds: float, now: float, pue: float | None
) -> list[Remainder]:
    """Set every boundary against the one inside it, over one window of both."""
    rungs = sorted((m for m in meters if m.energy.members), key=lambda m: LADDER.index(m.boundary))
    found = []
    for inner, outer in pairwise(rungs):
        window = window_of([*inner.energy.members, *outer.energy.members], window_seconds, now)
        sums = inner.energy.over(window), outer.energy.over(window)
        reasons = sums[0].reasons | sums[1].reasons | inner.reasons | outer.reasons
        flags = inner.flags | outer.flags
        seconds = window_seconds if window is None else window.seconds
        figure = f"{REMAINDER}_{outer.boundary}"
        joules = (sums[0].amount, sums[1].amount)
        found.append(remainder_of(figure, (inner.boundary, outer.boundary), joules, seconds, reasons, flags))
    if pue is not None and rungs and rungs[-1].boundary == NODE:
        found.append(_facility_remainder(rungs[-1], window_seconds, now, pue))
    return found


def _facility_remainder(node: Rung, window_seconds: float, now: float, pue: float) -> Remainder:
    window = window_of(node.energy.members, window_seconds, now)
    joules, seconds = node.energy.over(window), window_seconds if window is None else window.seconds
    more = None if joules.amount is None else joules.amount * pue
    flags = node.flags | {Flag.MODELLED}
    figure, reasons = f"{REMAINDER}_{FACILITY}", joules.reasons | node.reasons
    return remainder_of(figure, (NODE, FACILITY), (joules.amount, more), seconds, reasons, flags)
