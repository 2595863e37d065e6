"""The flight recorder: what diagnosis was given, and which of it is kept when something goes wrong."""

from __future__ import annotations

import gzip
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agent.diagnose.diagnosis import baselines_of
from agent.measure.incident import Severity
from agent.recorder.lines import FIELDS, line_of_signs
from agent.recorder.ring import Ring
from agent.wire.incident_codec import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.diagnose.diagnosis import Memory
    from agent.diagnose.rack_signs import RackSigns
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident
    from agent.measure.reading import Moment

    Keep = Callable[["Cut"], None]

log = logging.getLogger("rackwatt.recorder")

FORMAT = "rackwatt recording"
VERSION = 1
LEAD_SECONDS = 240.0
"""Before an incident: diagnosis looks back for 150 s, and is judged from the minute before the incident."""
TAIL_SECONDS = 10.0
"""After it: that it is over was clear only some seconds later."""
FIRST_AGAIN_SECONDS, AGAIN_SECONDS = 60.0, 600.0
"""What stands is kept again after a minute, when its cause is clear, and then each ten: the node may die.
When memory holds its beginning no more, only its end is still to be added."""
MOST_OPEN = 16
"""So many at once are kept; of a storm of incidents the rest says nothing new."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The recording of one incident, ready to be written."""

    incident: str
    """Its id."""
    started: float
    """Unix seconds."""
    body: bytes
    """A gzip file."""
    goes_on: bool
    """The beginning is in the file that there is already: this follows it."""


@dataclass(slots=True)
class _Open:
    """An incident that is being followed."""

    started_monotonic: float
    again_at: float
    """Monotonic, when it is to be written again."""
    begins: float | None = None
    """Monotonic, of the first line in its file; None before there is one."""
    written: float = 0.0
    """Monotonic, of the last."""


class FlightRecorder:
    """Takes what the diagnosis of a node or a rack is given; cuts the time around an incident out of it."""

    def __init__(self, memory_bytes: int, facts: Mapping[str, str], keep: Keep) -> None:
        """`facts` say who records what; `keep` takes what is to be written and must not wait."""
        self._ring = Ring(memory_bytes)
        self._facts, self._keep = facts, keep
        self._open: dict[str, _Open] = {}
        self._told: tuple[Incident, ...] = ()
        self._at: Moment | None = None
        self._broken = False
        self.settle_seconds = 0.0
        """What is told is written so long after: where not every moment is recorded, a replay is later."""

    def take(
        self, signs: NodeSigns | RackSigns, incidents: tuple[Incident, ...], before: Memory | None = None
    ) -> None:
        """Take one moment: what was seen, what is told of it, and of a node what was remembered before it."""
        self._told = incidents
        try:
            line = line_of_signs(signs)
        except TypeError as error:  # text that is no Unicode, a number beyond 64 bits
            if not self._broken:
                log.warning("a moment cannot be recorded", extra={"detail": str(error)})
            self._broken = True
            return
        self._at = signs.at
        usual = None if before is None else lambda: _usual_line(before)
        self._ring.take(signs.at.monotonic_seconds, line, usual)
        self._follow(signs.at, incidents)

    def known(self, incident: str) -> Incident | None:
        """Return the incident of this id as it was told last."""
        return next((each for each in self._told if each.id == incident), None)

    def covers(self, incident: Incident) -> bool:
        """Whether memory still holds the beginning of an incident."""
        return self._ring.oldest is not None and self._ring.oldest <= self._monotonic(incident.started)

    def recording(self, incident: Incident) -> bytes | None:
        """Return what memory holds of an incident, as a file; None when that is nothing."""
        oldest, ended = self._ring.oldest, incident.ended
        if oldest is None or (ended is not None and self._monotonic(ended) < oldest):
            return None
        return self._cut(incident, self._monotonic(incident.started))

    def finish(self) -> None:
        """Keep what stands: the daemon ends."""
        for each in self._told:
            if each.id in self._open:
                self._write(each, self._open[each.id])

    def _follow(self, at: Moment, incidents: Iterable[Incident]) -> None:
        now = at.monotonic_seconds
        for each in incidents:
            known = self._open.get(each.id)
            if known is None:
                if each.ended is None and each.severity is not Severity.INFO:
                    self._begin(at, each)
            elif each.ended is not None and at.unix_seconds - each.ended >= TAIL_SECONDS:
                self._write(each, self._open.pop(each.id))
            elif each.ended is None and now >= known.again_at:
                known.again_at = now + (FIRST_AGAIN_SECONDS if known.begins is None else AGAIN_SECONDS)
                if self._goes_on(known):
                    known.again_at = float("inf")
                else:
                    self._write(each, known)

    def _begin(self, at: Moment, incident: Incident) -> None:
        if len(self._open) >= MOST_OPEN:
            return
        first, now = self._monotonic(incident.started), at.monotonic_seconds
        wait = self.settle_seconds
        self._open[incident.id] = opened = _Open(first, now + (wait or FIRST_AGAIN_SECONDS))
        if self._ring.oldest is not None and self._ring.oldest > first:
            # It stood before we were started: its beginning is in the file of that run, if anywhere.
            opened.begins, opened.again_at = first, float("inf")
        elif not wait:
            self._write(incident, opened)

    def _monotonic(self, unix_seconds: float) -> float:
        """Return a moment on the clock of the lines."""
        at = self._at
        return 0.0 if at is None else at.monotonic_seconds - (at.unix_seconds - unix_seconds)

    def _goes_on(self, opened: _Open) -> bool:
        """Whether memory has let go of the beginning, and the file has it."""
        oldest = self._ring.oldest
        return opened.begins is not None and oldest is not None and oldest > opened.begins

    def _write(self, incident: Incident, opened: _Open) -> None:
        oldest, at = self._ring.oldest, self._at
        if oldest is None or at is None:
            return
        goes_on = self._goes_on(opened)
        since = opened.started_monotonic
        if goes_on:
            since = max(opened.written + LEAD_SECONDS, at.monotonic_seconds - TAIL_SECONDS)
        elif opened.begins is None:
            opened.begins = max(oldest, since - LEAD_SECONDS)
        opened.written = at.monotonic_seconds
        self._keep(Cut(incident.id, incident.started, self._cut(incident, since), goes_on))

    def _cut(self, incident: Incident, first: float) -> bytes:
        head = gzip.compress(self._head(incident) + b"\n", mtime=0)
        return head + self._ring.since(first - LEAD_SECONDS)

    def _head(self, incident: Incident) -> bytes:
        at = self._at
        plain: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            **self._facts,
            "written": None if at is None else [at.monotonic_seconds, at.unix_seconds],
            "incident": to_plain(incident),
            "columns": FIELDS,
        }
        return orjson.dumps(plain)


def _usual_line(memory: Memory) -> bytes:
    return orjson.dumps({"usual": baselines_of(memory)})
