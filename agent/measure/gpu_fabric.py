"""What the NVLink fabric of a GPU is in: state, cluster, clique and health are judged together.

A state that is complete does not make a cluster of a UUID that is all zero: such a GPU is in no fabric of
several nodes.
"""

from __future__ import annotations

from typing import Any

STATES = ("unsupported", "not_started", "in_progress", "completed")
COMPLETED = 3
HEALTHY = {1: True, 2: False, 3: False}
"""The summary of health: healthy, unhealthy, limited capacity; 0 is not supported."""
DEGRADED = 1
RIGHT_CONFIGURATIONS = {0, 1}
"""Of the mask's 4-bit field incorrect_configuration: not supported, none."""
HEALTH_MASK_FIELDS = (0, 2, 4, 6)
"""Shifts of its 2-bit fields (1 true, 2 false): bandwidth, recovery, unhealthy route, access timeout."""


def fabric_of(
    uuid: bytes, clique: int | None, state: int, *, well: bool, summary: int = 0, mask: int = 0
) -> dict[str, Any]:
    """Return fields of Placement; `well` says that the state was reached without an error."""
    many_nodes = state == COMPLETED and well and any(uuid) and uuid != b"\xff" * 16
    return {
        "cluster_uuid": _dashed(uuid.hex()) if many_nodes else None,
        "clique": clique if many_nodes else None,
        "fabric_state": STATES[state] if state < len(STATES) else f"state_{state}",
        "fabric_healthy": HEALTHY.get(summary, _healthy(mask)),
    }


def _healthy(mask: int) -> bool | None:
    """Judge the health mask; None when no field of it says anything."""
    fields = [mask >> shift & 0b11 for shift in HEALTH_MASK_FIELDS]
    configuration = mask >> 8 & 0b1111
    if not any(fields) and not configuration:
        return None
    return DEGRADED not in fields and configuration in RIGHT_CONFIGURATIONS


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
