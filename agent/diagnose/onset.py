"""When the GPUs of a deployment began to do less: sharper than any counter of what has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import GpuSigns

EARLIER_SECONDS = 60.0
"""It is looked for from so long before the counter seems to have fallen."""
LEAST_FALL, LEAST_SPREADS = 0.05, 4.0
"""A fall is one by this share, and by so many times of how far it varies on either side."""
LEAST_SPREAD = 1e-9
LEAST_SAMPLES = 3


def onset(samples: Sequence[Sample], since: float) -> float | None:
    """Return since when clocks or power are lower than before, the clearest of them; None if they are not."""
    around = [each for each in samples if each.seconds >= since - EARLIER_SECONDS]
    found = [_fall(around, read) for read in (lambda gpu: gpu.clock_hertz, lambda gpu: gpu.power_watts)]
    return max((each for each in found if each is not None), default=(0.0, None))[1]


def _fall(samples: Sequence[Sample], read: Callable[[GpuSigns], float | None]) -> tuple[float, float] | None:
    """Return by how many spreads the sum of all GPUs fell at its steepest, and when."""
    told = [(each.seconds, [read(gpu) for gpu in each.gpus]) for each in samples]
    known = [(at, sum(v for v in values if v)) for at, values in told if values and None not in values]
    best: tuple[float, float] | None = None
    for place in range(LEAST_SAMPLES, len(known) - LEAST_SAMPLES + 1):
        left, right = [value for _, value in known[:place]], [value for _, value in known[place:]]
        high, low = sum(left) / len(left), sum(right) / len(right)
        spread = (sum((v - high) ** 2 for v in left) + sum((v - low) ** 2 for v in right)) / len(known)
        spreads = (high - low) / max(spread**0.5, LEAST_FALL * high / LEAST_SPREADS, LEAST_SPREAD)
        weight = spreads * (len(left) * len(right)) ** 0.5
        if spreads >= LEAST_SPREADS and (best is None or weight > best[0]):
            best = weight, known[place - 1][0]
    return best
