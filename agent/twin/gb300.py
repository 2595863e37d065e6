"""What a GB300 tray is made of: values of real idle trays, and what is assumed of busy ones."""

from __future__ import annotations

DRIVER = "580.173.02"
PRODUCT = "NVIDIA GB300"
PCI = ("00000008:06:00.0", "00000009:06:00.0", "00000018:06:00.0", "00000019:06:00.0")
MODULE_IDS = (2, 1, 4, 3)
"""Printed on the board, in the order of the GPUs: not the index."""
MEMORY_BYTES = 284_208 * 2**20
MEMORY_CLOCK_HERTZ = 3_996e6
FULL_CLOCK_MEGAHERTZ = 2_070
IDLE_CLOCK_MEGAHERTZ = 120
LIMIT_WATTS = 1_400.0
LEAST_LIMIT_WATTS = 200.0
MODULE_LIMIT_WATTS = 2_900.0
CLIQUE = 32_766
GPUS_PER_MODULE = 2
IDLE_WATTS = 178.0
IDLE_SPREAD = 0.012
"""Idle GPUs of one tray draw 175.9 to 180.4 W."""
MODULE_REST_WATTS = 130.0
"""An idle superchip draws about so much beside its two GPUs: Grace, its memory, regulators."""
MEMORY_IDLE_WATTS = 38.0
SLOWDOWN_CELSIUS = 87.0
"""38 to 39 degrees at a margin of 48 to 49."""

# Assumed: nobody has published how a GB300 behaves under load. docs/twin.md says the same.
BUSY_WATTS = 1_250.0
BUSY_SPREAD = 0.015
BUSY_REST_WATTS = 210.0
NODE_REST_WATTS, NODE_BUSY_REST_WATTS = 330.0, 520.0
"""What a tray draws beside its superchips: network cards, DPU, drives, fans, losses of its supplies."""
SWITCH_TRAY_WATTS = 400.0
SWITCH_TRAYS = 9
SHELF_LOSS_SHARE_PERCENT = 3
"""Of what the trays draw, lost in power shelves and busbar; the rack's meter is before them."""
MEMORY_BUSY_WATTS = 190.0
CLOCK_EXPONENT = 2.4
"""Power above idle goes with this power of the clock."""
SPEED_FLOOR = 0.2
"""The share of an engine's speed that does not depend on the clock (memory bandwidth)."""
COOLANT_CELSIUS = 34.0
COOLANT_SPREAD_CELSIUS = 0.4
CELSIUS_PER_WATT = 0.025
RESISTANCE_SPREAD = 0.03
THERMAL_LAG_SECONDS = 12.0
SOFT_CELSIUS = 83.0
SOFT_SHARE_PER_CELSIUS = 0.08
"""From SOFT_CELSIUS on the driver takes this share of the clock for each degree …"""
LEAST_CLOCK_SHARE = 0.3
HARD_CLOCK_SHARE = 0.5
"""… and at SLOWDOWN_CELSIUS the hardware halves it, until HARD_RELEASE_CELSIUS."""
HARD_RELEASE_CELSIUS = 84.0
BRAKE_CLOCK_SHARE = 0.4
STALL_ACTIVITY = 0.25
"""What GPUs draw, above idle, that wait in a collective for ever."""
