"""How fast each GPU runs at work with nothing to hold it down, and what its power limit usually is.

A fault may stand for long before it costs anything: then nothing changes when a drop begins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.signs import are_idle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import GpuSigns

THERMAL = frozenset({"sw_thermal_slowdown", "hw_thermal_slowdown"})
BRAKE = frozenset({"hw_power_brake_slowdown"})
CAP = frozenset({"sw_power_cap"})
LOWERED = 0.98
RENEWED_SAMPLES = 300.0
"""The clock is the mean of about so many."""
ADOPTED_SECONDS = 1800.0
"""Another limit that stands for so long is the usual one."""


@dataclass(frozen=True, slots=True)
class Free:
    """One GPU."""

    clock_hertz: float | None = None
    limit_watts: float | None = None
    other_since: float | None = None
    """Monotonic, since when the limit is another one."""


def learned(free: Mapping[int, Free], sample: Sample) -> Mapping[int, Free]:
    """Take one sample more in which nothing is missing."""
    return {gpu.gpu: _learned(free.get(gpu.gpu, Free()), gpu, sample.seconds) for gpu in sample.gpus}


def _learned(free: Free, gpu: GpuSigns, now: float) -> Free:
    if gpu.limit_watts is None or free.limit_watts in {None, gpu.limit_watts}:
        free = replace(free, limit_watts=gpu.limit_watts or free.limit_watts, other_since=None)
    elif now - (free.other_since or now) >= ADOPTED_SECONDS:
        free = replace(free, limit_watts=gpu.limit_watts, other_since=None)
    else:
        return replace(free, other_since=free.other_since or now)
    if not gpu.clock_hertz or are_idle((gpu,)) or gpu.throttle & (THERMAL | BRAKE):
        return free
    before = free.clock_hertz or gpu.clock_hertz
    return replace(free, clock_hertz=before + (gpu.clock_hertz - before) / RENEWED_SAMPLES)


def held(free: Free | None, reasons: frozenset[str], limit_watts: float | None) -> frozenset[str]:
    """Return the reasons that are no normal bound: heat, the brake, and a limit that was lowered."""
    usual = None if free is None else free.limit_watts
    lowered = usual is not None and limit_watts is not None and limit_watts < LOWERED * usual
    return reasons & (THERMAL | BRAKE | (CAP if lowered else frozenset()))
