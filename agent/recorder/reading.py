"""Reads a recording back, believing nothing: sizes are bounded, and what is wrong is said in a sentence."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from agent.diagnose.replay import Usual, usual_of
from agent.recorder.flight_recorder import FORMAT, VERSION
from agent.recorder.lines import LineError, rack_signs_of_line, signs_of_line
from agent.wire.incident_codec import of_plain
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.rack_signs import RackSigns
    from agent.diagnose.signs import NodeSigns
    from agent.measure.incident import Incident

    Step = NodeSigns | RackSigns | Usual

MOST_PACKED_BYTES = 64 * 1024 * 1024
MOST_INFLATED_BYTES = 256 * 1024 * 1024
"""Half an hour of a large node is 10 MB: what is larger than this is no recording, or means harm."""
MOST_LINE_BYTES = 4 * 1024 * 1024
MOST_MOMENTS = 50_000
PIECE_BYTES = 64 * 1024
GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31
"""How zlib is told to expect gzip."""


class RecordingError(Exception):
    """What was given is no recording that can be read; the text says why, and follows a name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded around one incident."""

    scope: str
    node: str
    rack: str
    boot_id: str
    version: str
    """Of the rackwatt that recorded it."""
    incident: Incident | None
    """As that one told it when it was written."""
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    """What a reader should know of the recording itself."""


@dataclass(slots=True)
class _Reader:
    """What has been read so far."""

    head: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    last: float = float("-inf")
    notes: list[str] = field(default_factory=list)

    def take(self, number: int, line: bytes) -> None:
        """Take a line. Raises RecordingError."""
        try:
            plain = orjson.loads(line)
        except ValueError as error:
            if not self.head:
                raise RecordingError("is no recording of rackwatt") from error
            raise RecordingError(f"line {number}: is not JSON, the file is damaged") from error
        kind = next(iter(plain), "") if isinstance(plain, dict) else ""
        if kind == "format":
            self.head = _head(plain)
        elif not self.head:
            raise RecordingError("is no recording of rackwatt")
        elif kind in {"signs", "usual", "rack"}:
            self._step(number, kind, plain[kind])

    def _step(self, number: int, kind: str, plain: Any) -> None:
        columns = self.head["columns"]
        try:
            step: Step = (
                usual_of(plain)
                if kind == "usual"
                else signs_of_line(plain, columns)
                if kind == "signs"
                else rack_signs_of_line(plain, columns)
            )
        except (LineError, ValueError, TypeError, KeyError) as error:
            raise RecordingError(f"line {number}: {printable(str(error))}; the file is damaged") from error
        if isinstance(step, Usual):
            self.steps.append(step)
            return
        if step.at.monotonic_seconds <= self.last:
            return  # what was written before, and once more with what followed
        if len(self.steps) >= MOST_MOMENTS:
            raise RecordingError(f"has more than {MOST_MOMENTS} moments, which no recording has")
        self.last = step.at.monotonic_seconds
        self.steps.append(step)


def read(body: bytes) -> Recording:
    """Read a recording, gzip'ed or not. Raises RecordingError."""
    if len(body) > MOST_PACKED_BYTES:
        raise RecordingError(f"is larger than {MOST_PACKED_BYTES >> 20} MiB: no recording is")
    reader = _Reader()
    for number, line in enumerate(_lines(_inflated(body, reader.notes), reader.notes), start=1):
        if line:
            reader.take(number, line)
    head = reader.head
    if not head:
        cut = body.startswith(GZIP_MAGIC) and bool(reader.notes)
        why = "is cut short in its first line" if cut else "is no recording of rackwatt"
        raise RecordingError(why if body else "is empty")
    if not any(not isinstance(step, Usual) for step in reader.steps):
        raise RecordingError("has no moment in it" + (": it is cut short" if reader.notes else ""))
    return Recording(
        scope=head["scope"],
        node=head["node"],
        rack=head["rack"],
        boot_id=head["boot_id"],
        version=head["rackwatt"],
        incident=head["incident"],
        steps=tuple(reader.steps),
        notes=tuple(reader.notes),
    )


def _head(plain: dict[str, Any]) -> dict[str, Any]:
    """Check the first line. Raises RecordingError."""
    if plain.get("format") != FORMAT:
        raise RecordingError(f"is no recording of rackwatt: its format is {str(plain.get('format'))[:40]!a}")
    version = plain.get("version")
    if version.__class__ is not int or not isinstance(version, int) or version < 1:
        raise RecordingError(f"has the version {str(version)[:20]!a}, which is none")
    if version > VERSION:
        raise RecordingError(f"has version {version}, this rackwatt reads up to {VERSION}: use a newer one")
    columns = plain.get("columns")
    named = isinstance(columns, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in columns.values()
    )
    if not named:
        raise RecordingError("does not name its columns; the file is damaged")
    try:
        incident = None if plain.get("incident") is None else of_plain(plain["incident"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise RecordingError(f"line 1: its incident is not understood: {printable(str(error))}") from error
    words = {
        key: printable(str(plain.get(key, ""))) for key in ("scope", "node", "rack", "boot_id", "rackwatt")
    }
    return {**words, "columns": columns, "incident": incident}


def _inflated(body: bytes, notes: list[str]) -> Iterator[bytes]:
    """Yield the text in pieces; a file that ends too early ends here, too, and a note says so."""
    if not body.startswith(GZIP_MAGIC):
        yield body
        return
    total, rest = 0, body
    while rest:
        inflator = zlib.decompressobj(wbits=_GZIP)
        while not inflator.eof:
            try:
                piece = inflator.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                if not total:
                    raise RecordingError("is damaged: it cannot be unpacked") from error
                notes.append("the file is damaged: what follows the last moment here cannot be unpacked")
                return
            rest = inflator.unconsumed_tail
            total += len(piece)
            if total > MOST_INFLATED_BYTES:
                raise RecordingError(
                    f"unpacks to more than {MOST_INFLATED_BYTES >> 20} MiB: no recording does"
                )
            yield piece
            if not piece and not rest and not inflator.eof:
                notes.append("the file is cut short: what followed is missing")
                return
        rest = inflator.unused_data


def _lines(pieces: Iterator[bytes], notes: list[str]) -> Iterator[bytes]:
    """Yield whole lines; the rest of one that is not whole is left out."""
    waiting = b""
    for piece in pieces:
        *whole, waiting = (waiting + piece).split(b"\n")
        if len(waiting) > MOST_LINE_BYTES:
            raise RecordingError(f"has a line of more than {MOST_LINE_BYTES >> 20} MiB: no recording has")
        yield from whole
    if waiting and not notes:
        notes.append("the file is cut short: its last line is not whole")
