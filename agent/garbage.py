"""Python's collector of garbage, set for a daemon that makes a snapshot a second."""

from __future__ import annotations

import gc

LEAST_OBJECTS = 5000
"""Some four snapshots of a node; by Python's own threshold (700) each would be looked through …"""
OBJECTS_PER_MEMBER = 200
"""… and for each member four times what one document and its figures are made of."""


def make_room(members: int) -> None:
    """Have garbage collected only when there is some: documents come and go by tens of thousands a second.

    By default it would be looked for in all of them each second, for 0.2 s in which nothing else happens.
    """
    least = LEAST_OBJECTS + OBJECTS_PER_MEMBER * members
    if gc.get_threshold()[0] != least:
        gc.set_threshold(least, *gc.get_threshold()[1:])
