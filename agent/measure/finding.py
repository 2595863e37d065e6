"""What `rackwatt doctor` found, as a value that any room can make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"  # works, with less than there could be
    PROBLEM = "problem"  # does not work; `remedy` says what to do


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it stands, and how to mend it."""

    level: Level
    subject: str
    text: str
    remedy: str = ""
