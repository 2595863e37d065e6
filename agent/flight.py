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
    from agent.diagnose.rack_signs import RackSigns
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident
    from agent.measure.recorder_settings import RecorderSettings

RACK_SPACING_SECONDS = 0.9
"""A rack is reckoned up to twice a second: each second of it is enough …"""
MEMBERS_A_SECOND = 200
"""… and of a hall so many members, so that 4 MiB go back some minutes."""

SETTLE_MOMENTS = 3
"""A replay sees what is wrong up to a moment later than the rack did, and must see it for as long."""


class Flight:
    """Records, writes what is to be kept, and finds it again."""

    def __init__(self, settings: RecorderSettings, state_dir: Path, facts: Mapping[str, str]) -> None:
        """`facts` say who records: rackwatt's version, the node, its rack."""
        directory = Path(settings.directory) if settings.directory else state_dir / DIRECTORY
        self._files = IncidentFiles(directory, settings.retention_size or 0, settings.retention_time)
        self._scribe = Scribe(self._files)
        self._keeps = bool(settings.retention_size and settings.memory)
        keep = self._scribe.submit if self._keeps else lambda _cut: None
        who = {**facts, "boot_id": boot_id()}
        self._node, self._rack = (
            FlightRecorder(settings.memory or 0, {"scope": scope, **who}, keep) for scope in ("node", "rack")
        )
        self._rack_seconds = float("-inf")

    @property
    def gauges(self) -> dict[str, float]:
        """How much of what should be on disk is not; nothing where nothing is kept."""
        return {"recordings_lost_total": float(self._scribe.lost)} if self._keeps else {}

    def take(self, before: Memory, signs: NodeSigns, incidents: tuple[Incident, ...]) -> None:
        """Take a moment of the node: what was remembered, what was seen, and what is told of it."""
        self._node.take(signs, incidents, before)

    def take_rack(self, signs: RackSigns, incidents: tuple[Incident, ...]) -> None:
        """Take a moment of the rack, and what only the rack tells of it."""
        now = signs.at.monotonic_seconds
        spacing = max(RACK_SPACING_SECONDS, len(signs.members) / MEMBERS_A_SECOND)
        if now - self._rack_seconds >= spacing:
            self._rack_seconds, self._rack.settle_seconds = now, SETTLE_MOMENTS * spacing
            self._rack.take(signs, incidents)

    async def recording(self, incident: str) -> bytes | None:
        """Return the recording of an incident: from memory while that goes back to its beginning."""
        for recorder in (self._node, self._rack):
            known = recorder.known(incident)
            if known is not None and recorder.covers(known):
                return recorder.recording(known)
        kept = await asyncio.to_thread(self._files.read, incident)
        return kept or self._of_what_is_left(incident)

    def _of_what_is_left(self, incident: str) -> bytes | None:
        """Return what memory still holds of one whose beginning it has let go."""
        for recorder in (self._node, self._rack):
            known = recorder.known(incident)
            if known is not None:
                return recorder.recording(known)
        return None

    async def close(self, seconds: float) -> None:
        """Write what stands, within the time."""
        self._node.finish()
        self._rack.finish()
        await asyncio.to_thread(self._scribe.flush, seconds)
