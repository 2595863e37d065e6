"""How much the NVLinks of a GPU carry, by its product: no driver says it."""

from __future__ import annotations

import re

GIGA = 1e9
THIRD, FIFTH = 25 * GIGA, 50 * GIGA
BYTES_PER_SECOND_OF_LINK = {
    "A100": THIRD,
    "A800": THIRD,
    "H100": THIRD,
    "H200": THIRD,
    "H800": THIRD,
    "H20": THIRD,
    "GH200": THIRD,
    "B100": FIFTH,
    "B200": FIFTH,
    "B300": FIFTH,
    "GB200": FIFTH,
    "GB300": FIFTH,
}
"""Payload of one link in one direction: 25 GB/s from Ampere to Hopper (12 links are 300 GB/s each way, 18
are 450), 50 GB/s with Blackwell (18 are 900), by the product's data sheets."""


def capacity_of(product: str, links: int | None) -> float | None:
    """Return the bytes per second that so many active links carry one way; None of an unknown product.

    Products match by exact token (T16): GH200 contains H200.
    """
    if not links:
        return None
    for token in re.split(r"[^A-Z0-9]+", product.upper()):
        if token in BYTES_PER_SECOND_OF_LINK:
            return BYTES_PER_SECOND_OF_LINK[token] * links
    return None
