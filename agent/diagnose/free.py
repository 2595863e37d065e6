"""How fast each GPU runs at work with nothing to hold it down, its usual power limit, since when it is lost.

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
EARLIER = 0.7
"""How sure a fault is that stood before the drop: it cost nothing then, so something else is new."""
RENEWED_SAMPLES = 300.0
"""The clock is the mean of about so many."""
ADOPTED_SECONDS = 1800.0
"""Another limit that stands for so long is the usual one; a GPU lost for so long is missed no more."""


@dataclass(frozen=True, slots=True)
class Free:
    """One GPU."""

    clock_hertz: float | None = None
    limit_watts: float | None = None
    other_since: float | None = None
    """Monotonic, since when the limit is another one."""
    lost_since: float | None = None
    """Monotonic, since when it was seen to be lost though nothing was missing."""


def learned(free: Mapping[int, Free], sample: Sample) -> Mapping[int, Free]:
    """Take one sample more in which nothing is missing."""
    return {gpu.gpu: _learned(free.get(gpu.gpu, Free()), gpu, sample.seconds) for gpu in sample.gpus}


def is_missed(free: Free | None, now: float) -> bool:
    """Whether a GPU that is lost was there lately: later on, what a deployment gives without it is usual."""
    since = None if free is None else free.lost_since
    return since is not None and now - since < ADOPTED_SECONDS


def _learned(free: Free, gpu: GpuSigns, now: float) -> Free:
    if gpu.is_lost:
        known = free.clock_hertz is not None or free.limit_watts is not None
        return replace(free, lost_since=free.lost_since or (now if known else None))
    free = free if free.lost_since is None else replace(free, lost_since=None)
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
