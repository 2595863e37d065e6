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
FAILED = "registration_failed"
"""It came to its end with an error: whatever the summary says, the GPU is in no fabric."""
HOLDS = 1
TROUBLES = {
    0: "degraded_bandwidth",
    2: "route_recovery",
    4: "route_unhealthy",
    6: "access_timeout_recovery",
}
"""The mask's 2-bit fields by their shift: 1 true, 2 false, 0 not told."""
CONFIGURATION_SHIFT = 8
WRONG_CONFIGURATIONS = {
    2: "wrong_system_guid",
    3: "wrong_chassis_serial",
    4: "no_partition",
    5: "insufficient_nvlinks",
    6: "incompatible_firmware",
    7: "invalid_location",
    8: "invalid_gpu_state",
}
"""Its 4-bit field incorrect_configuration; 0 is not told, 1 none."""


def fabric_of(
    uuid: bytes, clique: int | None, state: int, *, well: bool, summary: int = 0, mask: int = 0
) -> dict[str, Any]:
    """Return fields of Placement; `well` says that the state was reached without an error."""
    failed = state == COMPLETED and not well
    many_nodes = state == COMPLETED and well and any(uuid) and uuid != b"\xff" * 16
    return {
        "cluster_uuid": _dashed(uuid.hex()) if many_nodes else None,
        "clique": clique if many_nodes else None,
        "fabric_state": STATES[state] if state < len(STATES) else f"state_{state}",
        "fabric_healthy": False if failed else HEALTHY.get(summary, _healthy(mask)),
        "fabric_troubles": _troubles(mask) | ({FAILED} if failed else frozenset()),
    }


def _healthy(mask: int) -> bool | None:
    """Judge the health mask; None when no field of it says anything."""
    if not any(mask >> shift & 0b11 for shift in TROUBLES) and not mask >> CONFIGURATION_SHIFT & 0b1111:
        return None
    return not _troubles(mask)


def _troubles(mask: int) -> frozenset[str]:
    """Name what a health mask says is wrong; a kind that is newer than this table keeps its number."""
    configuration = mask >> CONFIGURATION_SHIFT & 0b1111
    wrong = {name for shift, name in TROUBLES.items() if mask >> shift & 0b11 == HOLDS}
    if configuration > 1:
        wrong.add(WRONG_CONFIGURATIONS.get(configuration, f"configuration_{configuration}"))
    return frozenset(wrong)


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
