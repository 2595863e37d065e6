"""What all events of a moment together do to one tray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.twin import gb300
from agent.twin.events import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.twin.events import Event


@dataclass(slots=True)
class GpuEffects:
    """What happens to one GPU."""

    degrees: float = 0.0
    limit_watts: float = gb300.LIMIT_WATTS
    brake: bool = False
    clock_share: float = 1.0
    lost: bool = False
    xids: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Effects:
    """What happens to one tray; shares are 1 while nothing happens."""

    engines: int
    gpus: list[GpuEffects]
    faults: tuple[str, ...] = ()
    """Kinds of the events that hold, for the ground truth."""
    demand: float = 1.0
    prompts: float = 1.0
    links: float = 1.0
    cache: float = 1.0
    host: float = 1.0
    down: set[int] = field(default_factory=set)
    """Engines that are not there."""
    stalled: set[int] = field(default_factory=set)
    gap: bool = False
    meter_dead: bool = False
    off: bool = False


def effects_of(events: Iterable[Event], engines: int, gpus: int) -> Effects:
    """Add up the events that hold now."""
    effects = Effects(engines, [GpuEffects() for _ in range(gpus)])
    active = tuple(events)
    for event in active:
        KINDS[event.kind].apply(event, effects)
    effects.faults = tuple(event.kind.value for event in active)
    return effects
