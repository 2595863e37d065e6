"""What electricity emits at the place and moment, as a feed tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CarbonReading:
    """One figure of a feed; a stale one is no reading."""

    grams_per_kwh: float
    zone: str = ""
    """Whose electricity, in the feed's words."""
    at_unix_seconds: float | None = None
    """Of when the figure is; None where the feed does not say."""
