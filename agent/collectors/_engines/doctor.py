"""What `rackwatt doctor` finds of serving engines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from agent.collectors._engines import advice
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.reading import Moment, SourceError

if TYPE_CHECKING:
    from agent.collectors._engines.process_source import ProcessSource
    from agent.measure.ports import Source
    from agent.measure.snapshot import Snapshot

ROUNDS, PAUSE_SECONDS = 12, 1.0
"""So often the doctor asks what was found whether it is an engine."""


async def found_by(finder: Source) -> Finding:
    """Read one list of targets."""
    try:
        reading = await finder.collect(_now(), None)
    except SourceError as error:
        return problem_of(finder.name, error)
    return Finding(Level.OK, finder.name, "; ".join(reading.notes) or "engines were found")


async def looked_for(processes: ProcessSource, seen: Snapshot) -> list[Finding]:
    """Look for engines until it is known of every socket whether it is one's."""
    notes: tuple[str, ...] = ()
    for _ in range(ROUNDS):
        notes = (await processes.collect(_now(), seen)).notes
        if not processes.undecided:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    parts = [note.partition("; ") for note in notes]
    told = [Finding(Level.NOTE, processes.name, text, remedy) for text, _, remedy in parts]
    held = sum(len(family.members) for family in processes.sight.families)
    if not held:
        told.append(Finding(Level.OK, processes.name, "no process that can be seen holds a GPU"))
    return told


async def examined(source: Source) -> Finding:
    """Read one engine."""
    try:
        reading = await source.collect(_now(), None)
    except SourceError as error:
        return problem_of(source.name, error)
    engine = reading.engines[0]
    milliseconds = 1000 * (engine.at.monotonic_seconds - engine.asked_monotonic_seconds)
    text = (
        f"{engine.engine} serves {engine.model}; page of {engine.page_bytes} bytes, "
        f"first byte after {milliseconds:.1f} ms; output tokens {advice.how_counted(engine)}"
    )
    level = Level.NOTE if reading.notes else Level.OK
    return Finding(level, source.name, text, "; ".join(reading.notes))


def _now() -> Moment:
    return Moment(time.monotonic(), time.time())
