"""The power ladder of a rack: its own meter, what each boundary draws beside its inner one, the facility."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.efficiency import sum_over, tokens_per_joule
from agent.measure.engine import TokenKind
from agent.measure.ladder import Remainder, remainder_of
from agent.measure.meter import FACILITY, LADDER, NODE, RACK
from agent.measure.rack_member import Reach
from agent.measure.rack_snapshot import EFFICIENCY, REMAINDER
from agent.measure.validity import LEAST_COVERAGE, Flag, Invalid, Validity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.measure.efficiency import Window
    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_member import MemberSums

ALL = 1.0
"""A meter of the whole rack has the joules of every node: the tokens of each must be in as well (T5)."""


class Rung(NamedTuple):
    """Energy of one boundary over one window, and whose it is."""

    boundary: str
    joules: Mapping[str, float]
    """By address of the member; of the rack's meter by nobody's."""
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]


class Ladder(NamedTuple):
    """What a rack's boundaries give over one window."""

    tokens_per_joule: dict[tuple[TokenKind, str], float]
    """At the rack's own meter, and at the facility."""
    validity: tuple[Validity, ...]
    remainders: tuple[Remainder, ...]
    coverage: dict[str, float]
    """Share of the expected nodes whose energy is known, by boundary."""


def meter_reach(meter: RackMeter | None) -> Sequence[Reach]:
    """Return how far the energy of the rack's own meter has come."""
    if meter is None or meter.figures is None:
        return ()
    return [Reach(series.newest, cadence) for series, cadence in meter.members if series is not None]


def ladder_of(
    sums: Mapping[str, MemberSums],
    ratios: Mapping[tuple[TokenKind, str], float],
    validity: Sequence[Validity],
    expected: int,
    window: Window | None,
    seconds: float,
    meter: RackMeter | None,
    pue: float | None,
) -> Ladder:
    """Set the boundaries of a rack beside each other, over the window of its ratios."""
    rungs = _rungs(sums.values(), sums, expected)
    coverage = {rung.boundary: min(1.0, len(rung.joules) / max(1, expected)) for rung in rungs}
    found: dict[tuple[TokenKind, str], float] = {}
    standing: list[Validity] = []
    if meter is not None:
        whole = _whole(meter, window)
        rungs.append(whole)
        found, told = _efficiency(sums, whole, expected, seconds)
        standing.append(told)
        coverage[RACK] = float(bool(whole.joules))
    remainders = [_remainder(inner, outer, expected, seconds) for inner, outer in pairwise(rungs)]
    if pue is not None and rungs and rungs[-1].boundary in {NODE, RACK}:
        base = rungs[-1]
        of_base = {kind: r for (kind, at), r in {**ratios, **found}.items() if at == base.boundary}
        found |= {(kind, FACILITY): ratio / pue for kind, ratio in of_base.items()}
        standing += _modelled([*validity, *standing], base.boundary)
        remainders.append(_facility(base, expected, seconds, pue))
    standing += [each.standing for each in remainders]
    return Ladder(found, tuple(standing), tuple(remainders), coverage)


def _rungs(members: Iterable[MemberSums], sums: Mapping[str, MemberSums], expected: int) -> list[Rung]:
    """Return the boundaries that members tell, from the inside out; a rack's meter is none of theirs."""
    told = {boundary for each in members for boundary in each.joule_reasons}
    rungs = []
    for boundary in (each for each in LADDER[: LADDER.index(RACK)] if each in told):
        joules = {url: each.joules[boundary] for url, each in sums.items() if boundary in each.joules}
        reasons: set[Invalid] = set()
        if len(joules) < LEAST_COVERAGE * expected:
            reasons |= {Invalid.LOW_COVERAGE}.union(
                *(each.joule_reasons.get(boundary, ()) for each in sums.values())
            )
        of_members = (each.joule_flags.get(boundary, frozenset()) for each in sums.values())
        rungs.append(Rung(boundary, joules, frozenset(reasons), frozenset().union(*of_members)))
    return rungs


def _whole(meter: RackMeter, window: Window | None) -> Rung:
    """Return what the rack's own meter gave over the window."""
    total = sum_over(meter.members, window, Invalid.NO_METER, bounded=False)
    told = meter.figures
    reasons = total.reasons | (frozenset({Invalid.NO_METER}) if told is None else told.reasons)
    joules = (
        {}
        if total.amount is None or total.reasons | (reasons & {Invalid.MEMBER_MISSING})
        else {RACK: total.amount}
    )
    return Rung(RACK, joules, reasons, frozenset() if told is None else told.flags)


def _efficiency(
    sums: Mapping[str, MemberSums], whole: Rung, expected: int, seconds: float
) -> tuple[dict[tuple[TokenKind, str], float], Validity]:
    """Divide the tokens of every node by the energy of the rack; without one of them there is no ratio."""
    found: dict[tuple[TokenKind, str], float] = {}
    standing = frozenset[Invalid]()
    kinds = {TokenKind.OUTPUT, *(kind for each in sums.values() for kind in each.tokens)}
    for kind in kinds:
        untold = [each for each in sums.values() if not each.whole(kind)]
        if kind is not TokenKind.OUTPUT:  # a node that does not count this kind at all makes none
            untold = [each for each in untold if each.reasons.get(kind)]
        reasons = set(whole.reasons).union(*(each.reasons.get(kind, ()) for each in untold))
        if untold or len(sums) < expected:
            reasons |= {Invalid.LOW_COVERAGE}
        if len(sums) < expected:
            reasons |= {Invalid.MEMBER_MISSING}
        tokens = sum(each.tokens.get(kind, 0.0) for each in sums.values())
        ratio = tokens_per_joule(tokens, sum(whole.joules.values()))
        if not reasons and ratio is None:
            reasons |= {Invalid.ZERO_ENERGY}
        if not reasons and ratio is not None:
            found[kind, RACK] = ratio
        if kind is TokenKind.OUTPUT:
            standing = frozenset(reasons)
    return found, Validity(f"{EFFICIENCY}_{RACK}", seconds, standing, whole.flags)


def _remainder(inner: Rung, outer: Rung, expected: int, seconds: float) -> Remainder:
    """Set two boundaries against each other: of the members that tell both, or of the whole rack."""
    reasons = inner.reasons | outer.reasons
    both: tuple[float | None, float | None]
    if outer.boundary == RACK:
        least, share = ALL, len(inner.joules)
        both = (sum(inner.joules.values()), outer.joules.get(RACK))
    else:
        urls = inner.joules.keys() & outer.joules.keys()
        least, share = LEAST_COVERAGE, len(urls)
        both = (sum(inner.joules[url] for url in urls), sum(outer.joules[url] for url in urls))
    if share < least * expected or share == 0:
        reasons |= {Invalid.LOW_COVERAGE}
    figure = f"{REMAINDER}_{outer.boundary}"
    names = (inner.boundary, outer.boundary)
    return remainder_of(figure, names, both, seconds, reasons, inner.flags | outer.flags)


def _facility(base: Rung, expected: int, seconds: float, pue: float) -> Remainder:
    known = sum(base.joules.values()) if base.joules else None
    more = None if known is None else known * pue
    reasons = set(base.reasons)
    if base.boundary != RACK and len(base.joules) < LEAST_COVERAGE * expected:
        reasons.add(Invalid.LOW_COVERAGE)
    flags = base.flags | {Flag.MODELLED}
    figure = f"{REMAINDER}_{FACILITY}"
    return remainder_of(figure, (base.boundary, FACILITY), (known, more), seconds, reasons, flags)


def _modelled(validity: Iterable[Validity], boundary: str) -> list[Validity]:
    """Give the facility's efficiency the standing of what it is modelled from."""
    return [
        Validity(
            f"{EFFICIENCY}_{FACILITY}",
            each.window_seconds,
            each.reasons,
            each.flags | {Flag.MODELLED},
            each.uncertainty_ratio,
        )
        for each in validity
        if each.figure == f"{EFFICIENCY}_{boundary}"
    ]
