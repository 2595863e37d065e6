"""The node's live figures: tokens per second and tokens per joule, each with its standing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.measure.efficiency import Member, Sum, Window, sum_over, tokens_per_joule, window_of
from agent.measure.engine import TokenKind
from agent.measure.node_boundaries import gpu_flags, gpu_reasons, module_reasons
from agent.measure.validity import Flag, Invalid, Validity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.engine_book import EngineBook
    from agent.measure.gpu_book import GpuBook, ModuleBook
    from agent.measure.ladder import Remainder
    from agent.measure.node_meters import BoundaryMeter

KINDS = tuple(TokenKind)
"""To walk an enumeration takes five times as long."""
RATE = "node_tokens_per_second"
EFFICIENCY = "node_tokens_per_joule"


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """What the node gives now; what cannot be said is missing."""

    tokens_per_second: dict[TokenKind, float]
    tokens_per_joule: dict[tuple[TokenKind, str], float]
    validity: tuple[Validity, ...]
    windows: dict[TokenKind, Window | None] = field(default_factory=dict)
    """The interval of each rate."""
    remainders: tuple[Remainder, ...] = ()


@dataclass(frozen=True, slots=True)
class Sums:
    """What some members gave, by window: kinds of token and boundaries ask for the same ones."""

    members: list[Member]
    nobody: Invalid
    """The reason when there is none."""
    known: dict[Window | None, Sum] = field(default_factory=dict)

    def over(self, window: Window | None) -> Sum:
        """Return the sum over a window."""
        if window not in self.known:
            self.known[window] = sum_over(self.members, window, self.nobody)
        return self.known[window]


@dataclass(frozen=True, slots=True)
class Rung:
    """One boundary's energy, and what is known against it."""

    boundary: str
    energy: Sums
    reasons: frozenset[Invalid]
    flags: frozenset[Flag]

    def doubted(self, reason: Invalid) -> Rung:
        """Return the same with one more reason against it."""
        return replace(self, reasons=self.reasons | {reason})


def figures_of(
    engines: Sequence[EngineBook],
    meters: Sequence[Rung],
    window_seconds: float,
    now: float,
    *,
    spans_nodes: bool = False,
) -> NodeFigures:
    """Reckon the node's rate and its efficiency at every boundary that is measured."""
    engines = [book for book in engines if book.counted]
    kinds = [kind for kind in KINDS if kind is TokenKind.OUTPUT or _any_counts(engines, kind)]
    if spans_nodes:
        meters = [meter.doubted(Invalid.SPANS_NODES) for meter in meters]
    rates: dict[TokenKind, float] = {}
    ratios: dict[tuple[TokenKind, str], float] = {}
    windows: dict[TokenKind, Window | None] = {}
    standing: list[Validity] = []
    for kind in kinds:
        counted = Sums(_token_members(engines, kind), Invalid.NO_ENGINES)
        windows[kind] = window = window_of(counted.members, window_seconds, now)
        tokens = counted.over(window)
        if tokens.amount is not None and window is not None:
            rates[kind] = tokens.amount / window.seconds
        if kind is TokenKind.OUTPUT:
            standing.append(_standing(RATE, window, window_seconds, tokens, _engine_flags(engines, window)))
        for meter in meters:
            over = window_of([*counted.members, *meter.energy.members], window_seconds, now)
            ratio, total = _efficiency(counted, meter, over)
            if ratio is not None:
                ratios[kind, meter.boundary] = ratio
            if kind is TokenKind.OUTPUT:
                flags = _engine_flags(engines, over) | meter.flags
                standing.append(
                    _standing(f"{EFFICIENCY}_{meter.boundary}", over, window_seconds, total, flags)
                )
    return NodeFigures(rates, ratios, tuple(standing), windows)


def rungs_of(
    gpus: Sequence[GpuBook],
    modules: Sequence[ModuleBook],
    cadence: float,
    others: Sequence[BoundaryMeter] = (),
    disagreeing: frozenset[str] = frozenset(),
    absent: int = 0,
) -> list[Rung]:
    """Return every boundary that something measures; the GPUs' even when there is none.

    So many GPUs are `absent`: they should be there, and nobody tells of them.
    """
    of_gpus = Sums([*_gpu_members(gpus, cadence), *[Member(None, cadence)] * absent], Invalid.NO_METER)
    meters = [Rung("gpu", of_gpus, gpu_reasons(gpus), gpu_flags(gpus))]
    if modules:
        told = [Member(m.energy if m.power_watts is not None else None, cadence) for m in modules]
        of_modules = Sums(told, Invalid.NO_METER)
        reasons = module_reasons(gpus, modules, absent)
        meters.append(Rung("module", of_modules, reasons, frozenset({Flag.INTEGRATED})))
    meters += [Rung(m.boundary, Sums(m.members, Invalid.NO_METER), m.reasons, m.flags) for m in others]
    return [m.doubted(Invalid.METERS_DISAGREE) if m.boundary in disagreeing else m for m in meters]


def _efficiency(counted: Sums, meter: Rung, window: Window | None) -> tuple[float | None, Sum]:
    """Divide two sums over the same window and the same node; any reason makes the ratio absent."""
    tokens, joules = counted.over(window), meter.energy.over(window)
    reasons = tokens.reasons | joules.reasons | meter.reasons
    ratio = None
    if not reasons and tokens.amount is not None and joules.amount is not None:
        ratio = tokens_per_joule(tokens.amount, joules.amount)
        if ratio is None:
            reasons = reasons | {Invalid.ZERO_ENERGY}
    return ratio, Sum(tokens.amount, tokens.uncertainty, frozenset(reasons))


def _standing(
    figure: str, window: Window | None, window_seconds: float, total: Sum, flags: frozenset[Flag]
) -> Validity:
    uncertainty = total.uncertainty / total.amount if total.amount else None
    seconds = window_seconds if window is None else window.seconds
    return Validity(figure, seconds, total.reasons, flags, uncertainty)


def _token_members(engines: Sequence[EngineBook], kind: TokenKind) -> list[Member]:
    """Every engine of which this kind counts and is shown; for output also those that did not tell yet."""
    return [
        Member(book.series.get(kind) if book.reading is not None else None, book.cadence_seconds)
        for book in engines
        if kind in book.counted and (kind is TokenKind.OUTPUT or kind in book.series)
    ]


def _any_counts(engines: Sequence[EngineBook], kind: TokenKind) -> bool:
    return True in [kind in book.series and kind in book.counted for book in engines]


def _gpu_members(gpus: Sequence[GpuBook], cadence: float) -> list[Member]:
    return [Member(book.energy if book.reports else None, cadence) for book in gpus]


def _engine_flags(engines: Sequence[EngineBook], window: Window | None) -> frozenset[Flag]:
    flags = set()
    engines = [book for book in engines if TokenKind.OUTPUT in book.counted]
    if any(book.reading is not None and not book.reading.live for book in engines):
        flags.add(Flag.ON_FINISH)
    resets = [book.reset_monotonic_seconds for book in engines]
    if window is not None and any(reset is not None and reset >= window.start for reset in resets):
        flags.add(Flag.COUNTER_RESET)
    return frozenset(flags)
