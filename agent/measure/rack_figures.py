"""A rack's live figures: sums over covered members and ratios of sums, each with its standing (T5, T10)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from agent.measure.efficiency import CADENCES_PER_WINDOW, Window, tokens_per_joule
from agent.measure.engine import TokenKind
from agent.measure.rack_deployments import deployments_of
from agent.measure.rack_ladder import ladder_of, meter_reach
from agent.measure.rack_snapshot import EFFICIENCY, RATE
from agent.measure.series import max_gap_seconds
from agent.measure.validity import LEAST_COVERAGE, Flag, Invalid, Validity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from agent.measure.ladder import Remainder
    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_ladder import Ladder
    from agent.measure.rack_member import MemberSums, RackMember, Reach
    from agent.measure.rack_snapshot import DeploymentFigures

MEMBERS_PER_STEP = 50
"""Reckoned without a pause: 1,000 members in one piece would keep whoever reckons from all else for long."""
GPU = "gpu"


@dataclass(slots=True)
class RackFigures:
    """What a rack gives over one window."""

    window_seconds: float
    window_end_seconds: float | None = None
    """Of the rates."""
    tokens_per_second: dict[TokenKind, float] = field(default_factory=dict)
    tokens_per_joule: dict[tuple[TokenKind, str], float] = field(default_factory=dict)
    by_model: dict[tuple[str, TokenKind], float] = field(default_factory=dict)
    """Tokens per second."""
    model_ratios: dict[tuple[str, TokenKind, str], float] = field(default_factory=dict)
    deployments: tuple[DeploymentFigures, ...] = ()
    coverage: float | None = None
    validity: tuple[Validity, ...] = ()
    rates: dict[str, MemberSums] = field(default_factory=dict)
    """By address of the member: what it gave over the window of the rates."""
    remainders: tuple[Remainder, ...] = ()
    power_coverage: dict[str, float] = field(default_factory=dict)
    """By boundary."""
    ratios: dict[str, MemberSums] = field(default_factory=dict)
    """The same over the window of the ratios, which also waits for meters."""


def figures_in_steps(
    members: Sequence[RackMember],
    expected: int,
    window_seconds: float,
    now: float,
    meter: RackMeter | None = None,
    pue: float | None = None,
) -> Generator[None, None, RackFigures]:
    """Reckon all members in duty over common edges; members must stand still between the steps."""
    reaches = [member.reach() for member in members]
    rate_window = rack_window((tokens for tokens, _ in reaches), window_seconds, now)
    reached = [part for both in reaches for part in both]
    all_window = rack_window([*reached, meter_reach(meter)], window_seconds, now)
    if all_window is not None and rate_window is not None and all_window.seconds <= rate_window.seconds:
        rate_window = all_window  # no meter is slower than the engines: one pass serves both
    figures = RackFigures(window_seconds)
    if rate_window is not None:
        figures.window_seconds, figures.window_end_seconds = rate_window.seconds, rate_window.end
    yield
    figures.rates = yield from _sums(members, rate_window)
    figures.ratios = figures.rates if all_window == rate_window else (yield from _sums(members, all_window))
    standing = [_rate(figures, expected)]
    boundaries = {GPU, *(b for sums in figures.ratios.values() for b in sums.joule_reasons)}
    ratio_seconds = window_seconds if all_window is None else all_window.seconds
    for boundary in sorted(boundaries):
        yield
        standing.append(_efficiency(figures, boundary, expected, ratio_seconds))
        yield
        _model_ratios(figures, members, boundary)
    yield
    ratios, sums = figures.tokens_per_joule, figures.ratios
    ladder = ladder_of(sums, ratios, standing, expected, all_window, ratio_seconds, meter, pue)
    _climb(figures, ladder)
    yield
    figures.deployments = deployments_of(members, figures.rates, figures.ratios, figures.window_seconds)
    yield
    figures.validity = (*standing, *ladder.validity)
    _model_rates(figures, members)
    return figures


def _climb(figures: RackFigures, ladder: Ladder) -> None:
    """Take what the boundaries give beside each other."""
    figures.tokens_per_joule |= ladder.tokens_per_joule
    figures.remainders, figures.power_coverage = ladder.remainders, ladder.coverage


def rack_window(reaches: Iterable[Iterable[Reach]], window_seconds: float, now: float) -> Window | None:
    """Choose common edges: the newest moment that every series still fresh has reached (T3)."""
    end, slowest = float("inf"), 0.0
    for reach in reaches:
        for last, cadence in reach:
            if now - last <= max_gap_seconds(cadence):
                end, slowest = min(end, last), max(slowest, cadence)
    if end == float("inf"):
        return None
    return Window(end - max(window_seconds, CADENCES_PER_WINDOW * slowest), end)


def _sums(
    members: Sequence[RackMember], window: Window | None
) -> Generator[None, None, dict[str, MemberSums]]:
    found = {}
    for place, member in enumerate(members):
        if place % MEMBERS_PER_STEP == 0:
            yield
        found[member.url] = member.sums(window)
    return found


def _rate(figures: RackFigures, expected: int) -> Validity:
    """Add up the rate of every kind; the standing is that of output tokens."""
    members, seconds = figures.rates.values(), figures.window_seconds
    totals: dict[TokenKind, float] = {}
    for sums in members:
        for kind, tokens in sums.tokens.items():
            totals[kind] = totals.get(kind, 0.0) + tokens
        if TokenKind.OUTPUT in sums.zeros:
            totals.setdefault(TokenKind.OUTPUT, 0.0)
    figures.tokens_per_second = {kind: tokens / seconds for kind, tokens in totals.items()}
    covered = sum(sums.valid_ratio for sums in members)
    figures.coverage = None if expected <= 0 else min(1.0, covered / expected)
    why = [sums.reasons.get(TokenKind.OUTPUT, set()) for sums in members]
    reasons = _reasons(figures.coverage, why, expected - len(figures.rates))
    output = totals.get(TokenKind.OUTPUT)
    uncertainty = sum(sums.uncertainty for sums in members) / output if output else None
    return Validity(RATE, seconds, reasons, _flags(members), uncertainty)


def _efficiency(figures: RackFigures, boundary: str, expected: int, seconds: float) -> Validity:
    """Divide sums over the members that are valid on both sides; a ratio with a reason is absent."""
    standing = frozenset[Invalid]()
    flags = frozenset[Flag]()
    kinds = {TokenKind.OUTPUT, *(kind for sums in figures.ratios.values() for kind in sums.tokens)}
    for kind in kinds:
        both = [sums for sums in figures.ratios.values() if boundary in sums.joules and sums.whole(kind)]
        counting = [sums for sums in figures.ratios.values() if _counts(sums, kind)]
        of = expected if kind is TokenKind.OUTPUT else len(counting)
        coverage = None if of <= 0 else min(1.0, len(both) / of)
        why = [_why_not(sums, kind, boundary) for sums in counting]
        reasons = _reasons(coverage, why, of - len(counting))
        tokens = sum(sums.tokens.get(kind, 0.0) for sums in both)
        ratio = tokens_per_joule(tokens, sum(sums.joules[boundary] for sums in both))
        if not reasons and ratio is None:
            reasons = frozenset({Invalid.ZERO_ENERGY})
        if not reasons and ratio is not None:
            figures.tokens_per_joule[kind, boundary] = ratio
        if kind is TokenKind.OUTPUT:
            standing, flags = reasons, _flags(both, boundary)
    return Validity(f"{EFFICIENCY}_{boundary}", seconds, standing, flags)


def _counts(sums: MemberSums, kind: TokenKind) -> bool:
    """Whether a member counts a kind at all; every member is asked for output."""
    return kind is TokenKind.OUTPUT or kind in sums.tokens or kind in sums.reasons or kind in sums.zeros


def _why_not(sums: MemberSums, kind: TokenKind, boundary: str) -> set[Invalid]:
    no_meter = frozenset({Invalid.NO_METER})
    return sums.reasons.get(kind, set()) | sums.joule_reasons.get(boundary, no_meter)


def _reasons(coverage: float | None, why: Iterable[set[Invalid]], untold: int) -> frozenset[Invalid]:
    """Tell why a figure is invalid: too few members are in it, and what keeps the others out."""
    if coverage is None:
        return frozenset({Invalid.NO_ENGINES})
    if coverage >= LEAST_COVERAGE:
        return frozenset()
    missing = {Invalid.MEMBER_MISSING} if untold > 0 else set()
    return frozenset({Invalid.LOW_COVERAGE} | missing.union(*why))


def _flags(members: Iterable[MemberSums], boundary: str | None = None) -> frozenset[Flag]:
    flags: set[Flag] = set()
    for sums in members:
        flags |= sums.flags
        if boundary is not None:
            flags |= sums.joule_flags.get(boundary, frozenset())
    return frozenset(flags)


def _model_rates(figures: RackFigures, members: Sequence[RackMember]) -> None:
    """Add up each model; one that shares an engine with another anywhere has no rate of its own."""
    shared = {
        model
        for member in members
        for engine in (member.totals.engines if member.totals is not None else ())
        if len(engine.models) > 1
        for model in engine.models
    }
    for sums in figures.rates.values():
        for (model, kind), tokens in sums.by_model.items():
            if model not in shared:
                rate = tokens / figures.window_seconds
                figures.by_model[model, kind] = figures.by_model.get((model, kind), 0.0) + rate


def _model_ratios(figures: RackFigures, members: Sequence[RackMember], boundary: str) -> None:
    """Divide each model's sums over the members that work for nothing else: their joules are its own.

    As with the rack's own ratio, it is absent when too few of these members are in it (T10).
    """
    owners = _owners(members)
    tokens: dict[tuple[str, TokenKind], float] = {}
    joules: dict[tuple[str, TokenKind], float] = {}
    inside: Counter[tuple[str, TokenKind]] = Counter()
    expected: Counter[tuple[str, TokenKind]] = Counter()
    for member in members:
        model, sums = owners.get(member.url), figures.ratios.get(member.url)
        if model is None or sums is None:
            continue
        for kind in filter(partial(_counts, sums), TokenKind):
            pair = (model, kind)
            expected[pair] += 1
            if boundary in sums.joules and sums.whole(kind):
                inside[pair] += 1
                if kind in sums.tokens:
                    tokens[pair] = tokens.get(pair, 0.0) + sums.tokens[kind]
                joules[pair] = joules.get(pair, 0.0) + sums.joules[boundary]
    for pair, amount in tokens.items():
        ratio = tokens_per_joule(amount, joules[pair])
        if ratio is not None and inside[pair] >= LEAST_COVERAGE * expected[pair]:
            figures.model_ratios[*pair, boundary] = ratio


def _owners(members: Sequence[RackMember]) -> dict[str, str]:
    """Return, by address, the one model that each member works for.

    Workers without an engine of their own belong to the one model whose engines span nodes. Where several
    do, nobody knows whose they are, and none of these models has joules (T24).
    """
    owners = {member.url: model for member in members if (model := only_model(member)) is not None}
    spanning = [member for member in members if member.totals is not None and member.totals.spans_nodes]
    workers = [member.url for member in spanning if member.totals is not None and not member.totals.engines]
    models = {owners[member.url] for member in spanning if member.url in owners}
    if not workers:
        return owners
    if len(models) == 1:
        return owners | dict.fromkeys(workers, models.pop())
    return {url: model for url, model in owners.items() if model not in models}


def only_model(member: RackMember) -> str | None:
    """Return the one model that a member serves; None when there is none, or another beside it."""
    engines = member.totals.engines if member.totals is not None else ()
    served = {model for engine in engines for model in engine.models}
    whole = all(len(engine.models) == 1 for engine in engines)
    return next(iter(served)) if whole and len(served) == 1 else None
