"""Which fields a host engine is asked to measure, and how often."""

from __future__ import annotations

from agent.measure.dcgm_fields import FIELDS, PROFILING, RECOVERY_ACTION, XID

SLOWLY = {164, 202, 206, 207, *range(310, 500), *range(1204, 1220), RECOVERY_ACTION}
"""Limits, errors and video engines: what changes seldom, or costs the driver much."""
LINK_FIELDS = {409, 419, 429, 439, 497, 498, 499, 1201, 1203, *range(1204, 1220)}
"""Counters of NVLinks, which `nvlinks: false` leaves out."""

FABRIC_STATE, CLUSTER, CLIQUE, HEALTH_MASK, HEALTH_SUMMARY = 170, 172, 173, 174, 175
CHASSIS, SLOT, TRAY, HOST, MODULE = 572, 573, 574, 575, 577
PLACE = (
    FABRIC_STATE, CLUSTER, CLIQUE, HEALTH_MASK, HEALTH_SUMMARY, CHASSIS, SLOT, TRAY, HOST, MODULE
)  # fmt: skip

_ALL = tuple(field.number for field in FIELDS)
FAST = tuple(number for number in _ALL if number not in SLOWLY | set(PROFILING) | {XID})
SLOW = (*(number for number in _ALL if number in SLOWLY), *PLACE)
COUNTED = tuple(number for number in _ALL if number in PROFILING)
"""Of hardware counters."""
