"""What `rackwatt doctor` found, as a value that any room can make."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.reading import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.measure.ports import Source
    from agent.measure.reading import Moment, Reading


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


def problem_of(subject: str, error: SourceError) -> Finding:
    """Return why something could not be read; what stands after the first semicolon is how to mend it."""
    found, _, remedy = error.detail.partition("; ")
    return Finding(Level.PROBLEM, subject, f"{error.reason}: {found}", remedy)


async def found_once(source: Source, now: Moment, told: Callable[[Reading], str]) -> tuple[Finding, ...]:
    """Read a source once and close it: return what was read as `told`, with its notes, or why it was not."""
    try:
        reading = await source.collect(now, None)
    except SourceError as error:
        return (problem_of(source.name, error),)
    finally:
        await source.close()
    notes = (Finding(Level.NOTE, source.name, *note.partition("; ")[::2]) for note in reading.notes)
    return (Finding(Level.OK, source.name, told(reading)), *notes)
