"""Recordings of incidents on disk: replaced whole, pruned by size and age, on a thread of their own."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Protocol

from agent.small_file import SmallFileError, read_small
from agent.store import replace_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

log = logging.getLogger("rackwatt.recorder")

SUFFIX = ".jsonl.gz"
FRESH_SUFFIX = ".new"
MOST_FILE_BYTES = 64 * 1024 * 1024
MOST_WAITING = 32
"""Recordings that wait for a slow disk: what does not fit any more is lost, and the log says so."""
NAME_DIGITS = 16
OURS = re.compile(rf"\d{{8}}T\d{{6}}Z-[0-9a-f]{{{NAME_DIGITS}}}\.jsonl\.gz(\.new)?")
"""What is called otherwise was put there by somebody else, and is left alone."""


class Cut(Protocol):
    """A recording to be written."""

    @property
    def incident(self) -> str:
        """The id of its incident."""

    @property
    def started(self) -> float:
        """Unix seconds."""

    @property
    def body(self) -> bytes:
        """A gzip file."""

    @property
    def goes_on(self) -> bool:
        """Whether it follows what is there already."""


class IncidentFiles:
    """One file for each incident, in a directory of their own."""

    def __init__(
        self,
        directory: Path,
        most_bytes: int,
        most_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._most_bytes, self._most_seconds = directory, most_bytes, most_seconds
        self._clock = clock

    def write(self, cut: Cut) -> None:
        """Write a recording, durably, in the place of the last one of this incident. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / _name(cut)
        body = cut.body
        if cut.goes_on:
            body = (self._read(path) or b"") + body
        if len(body) > min(self._most_bytes, MOST_FILE_BYTES):
            raise OSError(0, f"a recording of {len(body)} bytes is more than retention_size allows")
        self.prune(len(body), path)
        fresh = path.with_name(path.name + FRESH_SUFFIX)
        try:
            replace_durably(path, fresh, body)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise

    def read(self, incident: str) -> bytes | None:
        """Return the recording of an incident; None when there is none that can be read."""
        mark = _mark(incident)
        for path in self._paths():
            if path.name.endswith(f"-{mark}{SUFFIX}"):
                return self._read(path)
        return None

    def prune(self, room_bytes: int = 0, spared: Path | None = None) -> None:
        """Remove what is too old, and the oldest until so many bytes more have room."""
        found = []
        for path in self._paths():
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        found.sort()
        total = room_bytes + sum(size for _, size, path in found if path != spared)
        oldest = self._clock() - self._most_seconds
        for changed, size, path in found:
            left_over = path.name.endswith(FRESH_SUFFIX)  # of a kill in the middle of a write
            if path != spared and (left_over or changed < oldest or total > self._most_bytes):
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size

    def _paths(self) -> Iterator[Path]:
        """Yield our files, and nothing that somebody else put there."""
        with contextlib.suppress(OSError):
            yield from sorted(path for path in self._directory.iterdir() if OURS.fullmatch(path.name))

    @staticmethod
    def _read(path: Path) -> bytes | None:
        try:
            return read_small(path, MOST_FILE_BYTES)
        except SmallFileError:
            return None


def _name(cut: Cut) -> str:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(cut.started))
    return f"{moment}-{_mark(cut.incident)}{SUFFIX}"


def _mark(incident: str) -> str:
    """Return what stands for an id in a file's name, which slashes and models' names must not be part of."""
    return hashlib.sha256(incident.encode(errors="replace")).hexdigest()[:NAME_DIGITS]


class Scribe:
    """Writes recordings in a thread of its own, so that a slow, full or hung disk never stops the daemon."""

    def __init__(self, files: IncidentFiles) -> None:
        self._files = files
        self._waiting: dict[str, Cut] = {}
        self._wake = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None
        self._error = ""
        self.lost = 0
        """Recordings, or parts of them, that are not on disk and never will be."""

    def submit(self, cut: Cut) -> None:
        """Write this soon; an older one of the same incident that still waits is replaced."""
        with self._wake:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rackwatt-recorder", daemon=True)
                self._thread.start()
            before = self._waiting.get(cut.incident)
            if before is None and len(self._waiting) >= MOST_WAITING:
                self._tell(f"{MOST_WAITING} wait already")
                return
            if before is None or before.goes_on or not cut.goes_on:
                self._waiting[cut.incident] = cut
            self._wake.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything is on disk; False when that takes too long."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._waiting and not self._busy, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._waiting))
                cut = self._waiting.pop(next(iter(self._waiting)))
                self._busy = True
            try:
                self._files.write(cut)
                self._tell("")
            except OSError as error:
                self._tell(error.strerror or str(error))
            with self._wake:
                self._busy = False
                self._wake.notify_all()

    def _tell(self, error: str) -> None:
        """Count a failure; log it once, and again only when it changes."""
        self.lost += bool(error)
        if error and error != self._error:
            log.warning("recordings of incidents are not kept", extra={"detail": error})
        elif self._error and not error:
            log.info("recordings of incidents are kept again")
        self._error = error
