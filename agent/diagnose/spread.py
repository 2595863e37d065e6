"""How far one more of the same kind may be off what the others do, by how far those are from each other."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FREEDOMS = (2, 3, 4, 5, 6, 8, 10, 15, 30)
LIKELY = (4.303, 3.182, 2.776, 2.571, 2.447, 2.306, 2.228, 2.131, 2.042)
"""Student's t for so many degrees of freedom: 19 of 20 are nearer …"""
NEARLY_ALL = (22.33, 10.21, 7.173, 5.893, 5.208, 4.501, 4.144, 3.733, 3.385)
"""… and all but 1 in 1,000 are not as low."""


def reach(others: Sequence[float], quantiles: Sequence[float]) -> float | None:
    """Return how far from their mean one more may be; None of fewer than three, which show no spread."""
    count = len(others)
    if count < FREEDOMS[0] + 1:
        return None
    mean = sum(others) / count
    deviation = math.sqrt(sum((each - mean) ** 2 for each in others) / (count - 1))
    return quantiles[bisect_right(FREEDOMS, count - 1) - 1] * deviation * math.sqrt(1.0 + 1.0 / count)
