"""The work that is offered to a rack over time, as a share of what its trays can do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.measure.settings import Seconds, setting
from agent.twin.grid import STEPS_PER_SECOND, chance, steps

LARGEST_LEVEL = 10.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """One item of `load.stretches`."""

    lasts: Seconds = setting(Seconds(60.0), "How long.")
    level: float = setting(1.0, "Offered work at its start; 1 is exactly what a healthy tray can do.")
    to: float | None = setting(None, "Offered work at its end, reached in a straight line.")

    def __post_init__(self) -> None:
        """Refuse levels that mean nothing."""
        for key in ("level", "to"):
            value = getattr(self, key)
            if value is not None and not 0 <= value <= LARGEST_LEVEL:
                raise ValueError(f"{key}: must be from 0 to {LARGEST_LEVEL:g}")


@dataclass(frozen=True, slots=True)
class Wave:
    """`load.wave`: swells and ebbs around the level."""

    share: float = setting(0.0, "Height of the wave as a share of the level.")
    period: Seconds = setting(Seconds(300.0), "Length of one wave; 24h is a day.")

    def __post_init__(self) -> None:
        """Refuse a wave that would offer less than nothing."""
        if not 0 <= self.share <= 1:
            raise ValueError("share: must be from 0 to 1")


@dataclass(frozen=True, slots=True)
class Load:
    """`load`: the offered work."""

    level: float = setting(1.0, "Offered work while there are no stretches.")
    stretches: tuple[Stretch, ...] = setting((), "One after the other; after the last its end level stays.")
    repeat: bool = setting(default=False, doc="Whether the stretches begin again after the last.")
    wave: Wave = setting(Wave(), "A sine on top.")
    noise: float = setting(0.0, "Seeded noise, new each second: a share of the level.")

    def __post_init__(self) -> None:
        """Refuse levels and shares that mean nothing."""
        if not 0 <= self.level <= LARGEST_LEVEL:
            raise ValueError(f"level: must be from 0 to {LARGEST_LEVEL:g}")
        if not 0 <= self.noise <= 1:
            raise ValueError("noise: must be from 0 to 1")


def level_at(load: Load, seed: int, tray: int, step: int) -> float:
    """Return what is offered to a tray in a step."""
    level = _planned(load, step)
    if load.wave.share:
        turns = step / STEPS_PER_SECOND / load.wave.period
        level *= 1.0 + load.wave.share * math.sin(2.0 * math.pi * turns)
    if load.noise:
        level *= 1.0 + load.noise * chance(seed, 7, tray, step // STEPS_PER_SECOND)
    return level


def _planned(load: Load, step: int) -> float:
    if not load.stretches:
        return load.level
    left = step
    if load.repeat:
        left %= sum(_length(stretch) for stretch in load.stretches)
    for stretch in load.stretches:
        length = _length(stretch)
        if left < length:
            end = stretch.level if stretch.to is None else stretch.to
            return stretch.level + (end - stretch.level) * left / length
        left -= length
    last = load.stretches[-1]
    return last.level if last.to is None else last.to


def _length(stretch: Stretch) -> int:
    return max(1, steps(stretch.lasts))
