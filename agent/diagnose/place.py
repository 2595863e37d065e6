"""What a rack remembers of one member: since when something is so."""

from __future__ import annotations

from dataclasses import dataclass

MOMENTS = ("missing_since", "behind_since", "ahead_since", "wasteful_since", "thrifty_since")


@dataclass(frozen=True, slots=True)
class Place:
    """What is remembered of one member."""

    missing_since: float | None = None
    behind_since: float | None = None
    ahead_since: float | None = None
    reported: bool = False
    wasteful_since: float | None = None
    """Since when it takes more joules for its tokens than its like …"""
    thrifty_since: float | None = None
    """… and, after that, since when it does not."""
