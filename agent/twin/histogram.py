"""Latency histograms of an engine: exact integer shares of what it made, in vLLM's buckets."""

from __future__ import annotations

from bisect import bisect_left

TTFT_BOUNDS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
INTER_TOKEN_BOUNDS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_BOUNDS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
)  # fmt: skip
STEP_BOUNDS = (
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0,
)  # fmt: skip
SPREAD = ((1, 0.7), (2, 1.0), (1, 1.5))
"""Quarters of what a step made, and their value over the typical one."""
QUARTERS = 4
MEAN_OVER_TYPICAL = 1.05


class Histogram:
    """Amounts by bucket, in the unit of whoever adds them."""

    __slots__ = ("amounts", "bounds", "weighted")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.amounts = [0] * (len(bounds) + 1)
        self.weighted = 0.0
        """Sum of amount times value."""

    def clone(self) -> Histogram:
        """Return a copy that can go its own way."""
        twin = Histogram.__new__(Histogram)
        twin.bounds, twin.amounts, twin.weighted = self.bounds, list(self.amounts), self.weighted
        return twin

    def add(self, amount: int, typical: float) -> None:
        """Add what one step made, spread around a typical value."""
        part, rest = divmod(amount, QUARTERS)
        amounts, bounds = self.amounts, self.bounds
        for quarters, over in SPREAD:
            amounts[bisect_left(bounds, typical * over)] += part * quarters
        amounts[bisect_left(bounds, typical)] += rest
        self.weighted += amount * typical * MEAN_OVER_TYPICAL

    def cumulated(self, unit: int) -> list[int]:
        """Return whole counts up to each bound, the last without one."""
        total = 0
        counts = []
        for amount in self.amounts:
            total += amount
            counts.append(total // unit)
        return counts
