"""The flight recorder of a running daemon: its memory, the thread that writes, and what was kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from agent.boot import boot_id
from agent.incident_files import IncidentFiles, Scribe
from agent.measure.recorder_settings import DIRECTORY
from agent.recorder.flight_recorder import FlightRecorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.diagnose.diagnosis import Memory
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident
    from agent.measure.recorder_settings import RecorderSettings


class Flight:
    """Records, writes what is to be kept, and finds it again."""

    def __init__(self, settings: RecorderSettings, state_dir: Path, facts: Mapping[str, str]) -> None:
        """`facts` say who records: rackwatt's version, the node, its rack."""
        directory = Path(settings.directory) if settings.directory else state_dir / DIRECTORY
        self._files = IncidentFiles(directory, settings.retention_size or 0, settings.retention_time)
        self._scribe = Scribe(self._files)
        keep = self._scribe.submit if settings.retention_size else lambda _cut: None
        self._recorder = FlightRecorder(settings.memory or 0, {**facts, "boot_id": boot_id()}, keep)
        self._incidents: tuple[Incident, ...] = ()
        self.take = self._take if settings.memory else lambda *_: None

    def _take(self, before: Memory, signs: NodeSigns, incidents: tuple[Incident, ...]) -> None:
        self._incidents = incidents
        self._recorder.take(before, signs, incidents)

    async def recording(self, incident: str) -> bytes | None:
        """Return the recording of an incident: from memory while that goes back to its beginning."""
        known = next((each for each in self._incidents if each.id == incident), None)
        if known is not None and self._recorder.covers(known):
            return self._recorder.recording(known)
        kept = await asyncio.to_thread(self._files.read, incident)
        return kept or (None if known is None else self._recorder.recording(known))

    async def close(self, seconds: float) -> None:
        """Write what stands, within the time."""
        self._recorder.finish(self._incidents)
        await asyncio.to_thread(self._scribe.flush, seconds)
