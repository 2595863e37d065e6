"""The only file that touches `state_dir`: totals that must survive a restart (T1)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger("rackwatt.store")

VERSION = 1
FILE_NAME = "totals.json"
MAX_BYTES = 16 * 1024 * 1024
"""A kept file larger than this is not ours."""


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

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._fresh = directory / (FILE_NAME + ".new")

    def load(self) -> Kept:
        """Read the kept state. A file that cannot be used is set aside, never overwritten."""
        try:
            body = self._path.read_bytes()[: MAX_BYTES + 1]
        except FileNotFoundError:
            return Kept(None, "")
        except OSError as error:
            return Kept(None, f"{self._path} cannot be read ({error.strerror}): totals start at 0")
        try:
            return Kept(_decode(body), "")
        except StoreError as error:
            return Kept(None, f"{self._path} {error}; {self._set_aside()}: totals start at 0")

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the kept state, durably. Raises StoreError and leaves the old one when that fails."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._write(_encode(state))
        except OSError as error:
            with contextlib.suppress(OSError):
                self._fresh.unlink()
            raise StoreError(f"{self._directory} cannot be written: {error.strerror or error}") from error

    def _write(self, body: bytes) -> None:
        with self._fresh.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        self._fresh.replace(self._path)

    def _set_aside(self) -> str:
        aside = self._path.with_suffix(".unusable.json")
        try:
            self._path.replace(aside)
        except OSError as error:
            return f"and cannot be moved away ({error.strerror})"
        return f"it was moved to {aside.name}"


def _encode(state: Mapping[str, Any]) -> bytes:
    body = json.dumps(state, separators=(",", ":"), allow_nan=False)
    head = {"format": "rackwatt totals", "version": VERSION, "crc32": zlib.crc32(body.encode())}
    return f"{json.dumps(head)}\n{body}\n".encode()


def _decode(body: bytes) -> Mapping[str, Any]:
    """Check and open a kept file. Raises StoreError with a phrase that follows the path."""
    if len(body) > MAX_BYTES:
        raise StoreError("is far too large to be ours")
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
    state = json.loads(content)
    if not isinstance(state, dict):
        raise StoreError("is not a file of totals")
    return state


class Saver:
    """Saves in a thread of its own, so that a slow or hung disk never stops the daemon."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.error = ""
        """Why the last save failed; empty when it did not."""
        self.saved_unix_seconds: float | None = None
        self._store = store
        self._clock = clock
        self._waiting: Mapping[str, Any] | None = None
        self._wake = threading.Condition()
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="rackwatt-store", daemon=True)
        self._thread.start()

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
            if state is not None:
                self._save(state)
            with self._wake:
                self._busy = False
                self._wake.notify_all()

    def _save(self, state: Mapping[str, Any]) -> None:
        """Save, and log a failure once and its end once."""
        try:
            self._store.save(state)
        except StoreError as error:
            if str(error) != self.error:
                log.warning("totals are not kept: a restart would lose them", extra={"detail": str(error)})
            self.error = str(error)
        else:
            if self.error:
                log.info("totals are kept again")
            self.error, self.saved_unix_seconds = "", self._clock()
