"""What electricity emits at the place and moment, as a feed tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class CarbonReading:
    """One figure of a feed; a stale one is no reading."""

    grams_per_kwh: float
    zone: str = ""
    """Whose electricity, in the feed's words."""
    at_unix_seconds: float | None = None
    """Of when the figure is; None where the feed does not say."""

    @property
    def source(self) -> str:
        """Whose figure it is and of when, for people."""
        zone = f"feed, zone {self.zone}" if self.zone else "feed"
        if self.at_unix_seconds is None:
            return zone
        return f"{zone}, of {datetime.fromtimestamp(self.at_unix_seconds, UTC):%Y-%m-%d %H:%M} UTC"
