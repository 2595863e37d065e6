"""What kinds of Xid there are: which are an application's, and which speak of hardware.

Source: NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors).
"""

from __future__ import annotations

from enum import StrEnum


class Family(StrEnum):
    """What an Xid speaks of."""

    APPLICATION = "application"  # a program's fault: a bad kernel, an illegal address
    ECC = "ecc"
    NVLINK = "nvlink"
    LOST = "lost"  # it fell off the bus
    HARDWARE = "hardware"


APPLICATION = frozenset({13, 31, 43, 45, 68, 69, 70, 71, 72})
"""Of the program that ran; 45 follows when its work is torn down."""
ECC = frozenset({48, 63, 64, 92, 94, 95, 171, 172})
LOST = frozenset({79})
NVLINK = frozenset({74, 136, 137, 144, 145, 146, 147, 148, 149, 150, 155})


def family_of(xid: int) -> Family:
    """Return what an Xid speaks of; one that is not listed is taken for hardware's."""
    if xid in APPLICATION:
        return Family.APPLICATION
    if xid in ECC:
        return Family.ECC
    if xid in LOST:
        return Family.LOST
    return Family.NVLINK if xid in NVLINK else Family.HARDWARE
