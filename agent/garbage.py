"""Python's collector of garbage, set for a daemon that makes a snapshot a second."""

from __future__ import annotations

import asyncio
import ctypes
import gc

SETTLE_SECONDS = 10.0
"""So long after the start sources, and the first scrape, have loaded what they need."""
TRIM_SECONDS = 60.0
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


async def settle() -> None:
    """Once all is loaded, keep it out of all later searches, and give back what loading took.

    Where Python may not keep its bytecode (a container, a unit that may not write) it compiles everything at
    each start, and the C library holds on to the 12 MiB that this took. It also holds on to what pages and
    answers took, here and there; to give that back, again and again, takes less than a millisecond.
    """
    await asyncio.sleep(SETTLE_SECONDS)
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    while trim is not None:
        trim(0)
        await asyncio.sleep(TRIM_SECONDS)
