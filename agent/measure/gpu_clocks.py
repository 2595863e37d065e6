"""Why the clocks of a GPU are what they are: the names of the bits of NVML's mask."""

from __future__ import annotations

from functools import lru_cache

IDLE_BIT = 0x1
REASONS = {
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}


@lru_cache(maxsize=256)
def reasons_of(mask: int) -> frozenset[str]:
    """Name the clock event reasons in a mask; idle is none, an unknown bit keeps its number."""
    bits = (number for number in range(mask.bit_length()) if mask >> number & 1 and 1 << number != IDLE_BIT)
    return frozenset(REASONS.get(1 << number, f"bit_{number}") for number in bits)
