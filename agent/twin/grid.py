"""Time and amounts of the twin: whole steps of 100 ms, integers, so that sums are exact.

Power in milliwatts times nanoseconds is picojoules; millitokens per second times nanoseconds is
picotokens. Within a step power and rates stand still, so any moment is exact.
"""

from __future__ import annotations

STEP_NS = 100_000_000
STEP_SECONDS = 0.1
STEPS_PER_SECOND = 10
NANO = 1_000_000_000
PICO = 10**12
MILLI = 1_000

_MASK = 2**64 - 1


def steps(seconds: float) -> int:
    """Return a duration in whole steps."""
    return round(seconds * STEPS_PER_SECOND)


def chance(*seeds: int) -> float:
    """Return a number from -1 to 1 that looks random and depends on the seeds alone (splitmix64)."""
    state = 0
    for seed in seeds:
        state = (state ^ seed) * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state / 2**63 - 1.0
