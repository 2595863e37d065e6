"""Totals that must survive a restart (T1): beside `incident_files` the only file that touches `state_dir`."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agent.small_file import SmallFileError, read_small

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger("rackwatt.store")

VERSION = 1
FILE_NAME = "totals.json"
RACK_FILE_NAME = "rack.json"
"""What the daemon keeps that reckons the rack; its members keep their own totals."""
LOCK_NAME = "lock"
MAX_BYTES = 16 * 1024 * 1024
"""Larger files are neither written nor taken for ours."""
SET_ASIDE_FILES = 10
"""So many unusable files are kept; then the last one is replaced."""
HUNG_SECONDS = 15.0
"""A save that takes longer counts as failed until it ends."""
LEAST_ROOM_BYTES = 16 * 1024
"""A node of eight GPUs keeps about so much."""
_IN_THE_WAY = "what lies there is a file: set state_dir to a directory"
_REMEDIES = {
    errno.EACCES: "give this user {directory} and what is in it, or set state_dir",
    errno.EPERM: "give this user {directory} and what is in it, or set state_dir",
    errno.EROFS: "it is mounted read-only: set state_dir to a place that is not",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or raise this user's quota",
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
}


class StoreError(Exception):
    """State cannot be kept or taken; says what, where, and what follows from it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found on disk: the state, or why there is none."""

    state: Mapping[str, Any] | None
    note: str
    """Empty, or what a person should know."""


class Store:
    """One small file, replaced whole: a kill at any moment leaves the old one or the new one."""

    def __init__(self, directory: Path, file_name: str = FILE_NAME) -> None:
        self._directory = directory
        self._path = directory / file_name
        self._fresh = directory / (file_name + ".new")
        self._saved = b""
        """What is on disk already: the same is not written again."""
        self._nulls = 0
        """How many there were in a state that was looked at."""
        self._lock = -1
        self._unreadable = ""
        """Why a file that holds totals could not be read: then it is not replaced either."""

    def load(self) -> Kept:
        """Read the kept state. A file that cannot be used is set aside, never overwritten."""
        try:
            return Kept(_decode(read_small(self._path, MAX_BYTES)), "")
        except SmallFileError as error:
            if error.missing:
                return Kept(None, "")
            if error.too_large:
                return Kept(None, self.set_aside("is far too large to be ours"))
            self._unreadable = f"{error}; let this user read and write it"
            return Kept(None, f"{self._unreadable}; it is left as it is, totals start at 0 and are not kept")
        except StoreError as error:
            return Kept(None, self.set_aside(str(error)))

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the kept state, durably. Raises StoreError and leaves the old one when that fails."""
        if self._unreadable:
            raise StoreError(self._unreadable)
        try:
            body = self._encoded(state)
            if body == self._saved:
                return
            try:
                replace_durably(self._path, self._fresh, body)
            except (FileNotFoundError, NotADirectoryError):  # says what is in the way
                self._directory.mkdir(parents=True, exist_ok=True)
                replace_durably(self._path, self._fresh, body)
        except (OSError, TypeError, ValueError) as error:
            with contextlib.suppress(OSError, ValueError):
                self._fresh.unlink()
            raise StoreError(_unwritable(self._directory, error)) from error
        self._saved = body

    def _encoded(self, state: Mapping[str, Any]) -> bytes:
        """Write the state down. Raises TypeError or ValueError for what cannot be kept.

        What is no number (an infinity) orjson writes as null, and json refuses. That one takes ten times as
        long, so it only looks when there are other nulls than in what it has looked at.
        """
        body = orjson.dumps(state, option=orjson.OPT_NON_STR_KEYS)
        nulls = body.count(b"null")
        if nulls != self._nulls:
            json.dumps(state, allow_nan=False)
            self._nulls = nulls
        head = {"format": "rackwatt totals", "version": VERSION, "crc32": zlib.crc32(body)}
        encoded = b"%b\n%b\n" % (orjson.dumps(head), body)
        if len(encoded) > MAX_BYTES:
            raise ValueError(f"the totals are larger than {MAX_BYTES} bytes")
        return encoded

    def lock(self) -> None:
        """Keep every other daemon off this directory until we end. Raises StoreError when one is there."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        except (OSError, ValueError):
            return  # nothing can be written here, so there is nothing to fight over; `save` will say so
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            message = f"state_dir: another rackwatt keeps its totals in {self._directory}; give each its own"
            raise StoreError(message) from None
        except OSError:
            os.close(lock)  # a file system without locks
        else:
            self._lock = lock

    def set_aside(self, why: str) -> str:
        """Move a file that cannot be used out of the way; return what happened, for a person."""
        try:
            for number in range(SET_ASIDE_FILES):
                aside = self._path.with_suffix(f".unusable-{number}.json" if number else ".unusable.json")
                if not aside.exists():
                    break
            self._path.replace(aside)
        except OSError as error:
            moved = f"it cannot be moved away ({error.strerror})"
        else:
            moved = f"it was moved to {aside.name}"
        return f"{self._path} {why}; {moved}: totals start at 0"


def trial(directory: Path) -> str:
    """Try whether totals can be kept in a directory, which may not be there yet; leave nothing behind.

    Return why they cannot, and what to do; empty when they can.
    """
    kept = directory / FILE_NAME
    try:
        nearest = directory
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest, prefix=".rackwatt-") as file:
            file.write(bytes(_room_for(kept)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return _unwritable(directory, error)
    if os.access(kept, os.F_OK) and not os.access(kept, os.R_OK | os.W_OK):
        return f"{kept} belongs to somebody else; give this user {directory} and what is in it"
    return ""


def _room_for(kept: Path) -> int:
    """Return how many bytes a save takes: the new file lies beside the old one for a moment."""
    try:
        return max(kept.stat().st_size, LEAST_ROOM_BYTES)
    except FileNotFoundError:
        return LEAST_ROOM_BYTES


def _unwritable(directory: Path, error: OSError | TypeError | ValueError) -> str:
    """Say that nothing can be kept in a directory, why, and what to do."""
    if not isinstance(error, OSError):
        return f"{directory} cannot be written: {error}"
    said = f"{directory} cannot be written: {error.strerror or error}"
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{said}; {remedy.format(directory=directory)}" if remedy else said


def replace_durably(path: Path, fresh: Path, body: bytes) -> None:
    """Write a file by way of `fresh` beside it: a kill leaves the old one or the new. Raises OSError."""
    with fresh.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _decode(body: bytes) -> Mapping[str, Any]:
    """Check and open a kept file. Raises StoreError with a phrase that follows the path."""
    head_line, _, rest = body.partition(b"\n")
    try:
        head = json.loads(head_line)
        version, checksum = head["version"], head["crc32"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError("is not a file of totals") from error
    if version != VERSION:
        raise StoreError(f"has version {version}, this rackwatt knows {VERSION}")
    content = rest.removesuffix(b"\n")
    if zlib.crc32(content) != checksum:
        raise StoreError("is damaged (its checksum differs)")
    try:
        state = json.loads(content)
    except ValueError as error:
        raise StoreError("is not a file of totals") from error
    if not isinstance(state, dict):
        raise StoreError("is not a file of totals")
    return state


class Saver:
    """Saves in a thread of its own, so that a slow or hung disk never stops the daemon."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.saved_unix_seconds: float | None = None
        self._error = ""
        self._busy_since: float | None = None
        self._store = store
        self._clock = clock
        self._waiting: Mapping[str, Any] | None = None
        self._wake = threading.Condition()
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="rackwatt-store", daemon=True)
        self._thread.start()

    @property
    def error(self) -> str:
        """Why totals are not being kept; empty when they are."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > HUNG_SECONDS:
            return f"a save has been hanging for {time.monotonic() - since:.0f} s"
        return self._error

    def submit(self, state: Mapping[str, Any]) -> None:
        """Save this soon; a state still waiting is replaced, for only the newest matters."""
        with self._wake:
            self._waiting = state
            self._wake.notify_all()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything submitted is on disk; False when that takes too long."""
        with self._wake:
            return self._wake.wait_for(lambda: self._waiting is None and not self._busy, timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting is not None)
                state, self._waiting, self._busy = self._waiting, None, True
            self._busy_since = time.monotonic()
            if state is not None:
                self._save(state)
            self._busy_since = None
            with self._wake:
                self._busy = False
                self._wake.notify_all()

    def _save(self, state: Mapping[str, Any]) -> None:
        """Save, and log a failure once and its end once."""
        try:
            self._store.save(state)
        except StoreError as error:
            if str(error) != self._error:
                log.warning("totals are not kept: a restart would lose them", extra={"detail": str(error)})
            self._error = str(error)
        else:
            if self._error:
                log.info("totals are kept again")
            self._error, self.saved_unix_seconds = "", self._clock()
