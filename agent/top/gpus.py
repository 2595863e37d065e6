"""GPUs as small cells, one character or one number each; the character alone tells what the colour tells."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.measure.median import median
from agent.top.cells import UNKNOWN, Cell, Span, Tone, line, percent, whole
from agent.top.history import BLOCKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.rack_snapshot import MemberFigures, MemberGpu
    from agent.top.page import RackPage

DOWN, UNKNOWN_SIGN, FINE, HELD_DOWN = "x", "?", "o", "!"
COLD_CELSIUS, WARM_CELSIUS, HOT_CELSIUS, SCALE_CELSIUS = 20.0, 75.0, 85.0, 100.0
BEHIND, SLOW = 0.95, 0.8
QUIET_GPU = 0.7
"""A GPU that draws less than this share of the median GPU is not doing the others' work."""
NUMBERED_GPUS = 8
"""A wide terminal shows so many GPUs of a node as numbers; more become characters."""
MOST_CELLS = 72
"""A node with more GPUs than an NVLink domain shows these and says so."""


class Paint(StrEnum):
    """What the cells show."""

    HEALTH = "health"
    THROTTLE = "throttle"
    POWER = "W"
    TEMPERATURE = "°C"
    RATE = "tokens/s"
    EFFICIENCY = "tokens/J"


LEGENDS = {
    Paint.HEALTH: "o fine  ! held down by its clocks  x not up",
    Paint.THROTTLE: "o runs free  ! held down  ? not told  x not up",
    Paint.POWER: f"watts, or ▁ to █ of its limit; yellow below {QUIET_GPU:.0%} of the median GPU  x not up",
    Paint.TEMPERATURE: f"°C, or ▁ {COLD_CELSIUS:.0f} to █ {SCALE_CELSIUS:.0f}; "
    f"yellow from {WARM_CELSIUS:.0f}, red from {HOT_CELSIUS:.0f}  x not up",
    Paint.RATE: "▁ to █ of the median node; tokens are counted by node, its GPUs look alike  x not up",
    Paint.EFFICIENCY: "▁ to █ of the median node of the same models; by node, its GPUs look alike  x not up",
}
"""What the signs mean, for the line below the table."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What cells are measured against."""

    boundary: str
    highest_watts: float
    """Of any GPU: the scale of those whose limit is unknown."""
    median_tokens_per_joule: Mapping[tuple[str, ...], float]
    """By what a node serves: efficiency is never compared across models (T20)."""

    @classmethod
    def of(cls, page: RackPage, boundary: str) -> Scale:
        """Take the measure of one snapshot."""
        by_models: dict[tuple[str, ...], list[float]] = {}
        for member in page.members:
            efficiency = member.tokens_per_joule.get((TokenKind.OUTPUT, boundary))
            if efficiency is not None:
                by_models.setdefault(member.models, []).append(efficiency)
        watts = [
            gpu.power_watts for member in page.members for gpu in member.gpus if gpu.power_watts is not None
        ]
        medians = {models: median(some) for models, some in by_models.items() if len(some) > 1}
        return cls(boundary, max(watts, default=0.0), medians)


def gpu_cells(member: MemberFigures, paint: Paint, scale: Scale, *, wide: bool) -> Cell:
    """Return all GPUs of a node as one cell of the table."""
    gpus = member.gpus[:MOST_CELLS]
    numbers = wide and len(member.gpus) <= NUMBERED_GPUS and paint in (Paint.POWER, Paint.TEMPERATURE)
    spans = []
    for gpu in gpus:
        sign, tone = _sign(member, gpu, paint, scale)
        if numbers and gpu.up:
            sign = _number(gpu, paint)
        spans.append(Span(f"{sign:>5}" if numbers else sign, Tone.DIM if member.drained else tone))
    if len(member.gpus) > MOST_CELLS:
        spans.append(Span(f" +{len(member.gpus) - MOST_CELLS}", Tone.DIM))
    return tuple(spans)


def _number(gpu: MemberGpu, paint: Paint) -> str:
    value = gpu.power_watts if paint is Paint.POWER else gpu.temperature_celsius
    return UNKNOWN if value is None else f"{value:.0f}"


def _sign(member: MemberFigures, gpu: MemberGpu, paint: Paint, scale: Scale) -> tuple[str, Tone]:
    """Return the character and the tone of one GPU."""
    if not gpu.up:
        return DOWN, Tone.BAD
    match paint:
        case Paint.HEALTH:
            return (HELD_DOWN, Tone.WARN) if gpu.throttled else (FINE, Tone.GOOD)
        case Paint.THROTTLE:
            return _throttle_sign(gpu)
        case Paint.POWER:
            return _power_sign(gpu, scale)
        case Paint.TEMPERATURE:
            return _temperature_sign(gpu)
        case Paint.RATE:
            return _share_sign(member.rate_to_median_ratio)
        case Paint.EFFICIENCY:
            return _share_sign(efficiency_to_median(member, scale))


def _throttle_sign(gpu: MemberGpu) -> tuple[str, Tone]:
    if gpu.throttled is None:
        return UNKNOWN_SIGN, Tone.DIM
    return (HELD_DOWN, Tone.WARN) if gpu.throttled else (FINE, Tone.GOOD)


def _power_sign(gpu: MemberGpu, scale: Scale) -> tuple[str, Tone]:
    full = gpu.power_limit_watts or scale.highest_watts
    if gpu.power_watts is None or full <= 0.0:
        return UNKNOWN_SIGN, Tone.DIM
    share = gpu.power_to_median_ratio
    return block(gpu.power_watts / full), Tone.WARN if share is not None and share < QUIET_GPU else Tone.GOOD


def _temperature_sign(gpu: MemberGpu) -> tuple[str, Tone]:
    celsius = gpu.temperature_celsius
    if celsius is None:
        return UNKNOWN_SIGN, Tone.DIM
    tone = Tone.BAD if celsius >= HOT_CELSIUS else Tone.WARN if celsius >= WARM_CELSIUS else Tone.GOOD
    return block((celsius - COLD_CELSIUS) / (SCALE_CELSIUS - COLD_CELSIUS)), tone


def _share_sign(share: float | None) -> tuple[str, Tone]:
    if share is None:
        return UNKNOWN_SIGN, Tone.DIM
    tone = Tone.BAD if share < SLOW else Tone.WARN if share < BEHIND else Tone.GOOD
    return block(share), tone


def efficiency_to_median(member: MemberFigures, scale: Scale) -> float | None:
    """Return a node's tokens per joule over the median of the nodes that serve the same; None when alone."""
    efficiency = member.tokens_per_joule.get((TokenKind.OUTPUT, scale.boundary))
    median = scale.median_tokens_per_joule.get(member.models)
    return None if efficiency is None or not median else efficiency / median


def block(share: float) -> str:
    """Return the block that stands for a share of one; what is above one is full."""
    return BLOCKS[max(0, min(len(BLOCKS) - 1, int(share * len(BLOCKS))))]


GPU_HEAD = ("GPU", "STATE", "W", "LIMIT", "MEDIAN", "°C", "BUSY", "MHz", "THROTTLED", "UUID")
GPU_NUMERIC = frozenset({0, 2, 3, 4, 5, 6, 7})


def gpu_row(gpu: MemberGpu) -> tuple[Cell, ...]:
    """Return one GPU of one node, every figure as a number."""
    clock = None if gpu.clock_hertz is None else gpu.clock_hertz / 1e6
    held = "not told" if gpu.throttled is None else ", ".join(gpu.throttled) or "no"
    tone = Tone.WARN if gpu.throttled else Tone.DIM if gpu.throttled is None else Tone.GOOD
    return (
        line(Span(str(gpu.gpu), Tone.STRONG)),
        line(Span("up", Tone.GOOD) if gpu.up else Span("NOT UP", Tone.BAD)),
        line(whole(gpu.power_watts)),
        line(whole(gpu.power_limit_watts)),
        line(percent(gpu.power_to_median_ratio)),
        line(Span(whole(gpu.temperature_celsius), _temperature_sign(gpu)[1])),
        line(percent(gpu.utilization_ratio)),
        line(whole(clock)),
        line(Span(held, tone) if gpu.up else Span("-", Tone.DIM)),
        line(Span(gpu.uuid, Tone.DIM)),
    )
