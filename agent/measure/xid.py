"""What an Xid speaks of: a program's own fault, or hardware.

Source: NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors).
"""

from __future__ import annotations

from agent.measure.incident import Cause

APPLICATION = frozenset({13, 31, 43, 45, 68, 69, 70, 71, 72})
"""Of the program that ran; 45 follows when its work is torn down."""
ECC = frozenset({48, 63, 64, 92, 94, 95, 171, 172})
LOST = frozenset({79})
NVLINK = frozenset({74, 136, 137, 144, 145, 146, 147, 148, 149, 150, 155})


def cause_of(xid: int) -> Cause | None:
    """Return the hardware trouble that an Xid tells: any that is not listed; None for a program's."""
    if xid in APPLICATION:
        return None
    if xid in ECC:
        return Cause.ECC
    if xid in LOST:
        return Cause.GPU_LOST
    return Cause.NVLINK if xid in NVLINK else Cause.GPU_FAULT
