"""The last half hour as lines of a recording: packed each minute, bounded in bytes and in time."""

from __future__ import annotations

import gzip
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_SECONDS = 1800.0
CHUNK_SECONDS = 60.0
CHUNK_BYTES = 256 * 1024
"""So much is packed at once, also before its minute is over: to pack more would hold up the daemon."""
GZIP_LEVEL = 1
"""Level 6 makes a quarter less of it for twice the time."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines, packed: a member of a gzip file, which may follow another."""

    first: float
    last: float
    """Monotonic, of its first and last line."""
    packed: bytes


class Ring:
    """Takes lines; gives the packed lines since a moment."""

    def __init__(self, most_bytes: int) -> None:
        """With 0 nothing is kept."""
        self._most_bytes = most_bytes
        self._chunks: deque[Chunk] = deque()
        self._open: list[bytes] = []
        self._open_bytes = self._packed_bytes = 0
        self._first = self._last = 0.0

    @property
    def is_open(self) -> bool:
        """Whether lines go on in a chunk that was begun."""
        return bool(self._open)

    @property
    def size_bytes(self) -> int:
        """What is held now."""
        return self._packed_bytes + self._open_bytes

    @property
    def oldest(self) -> float | None:
        """Moment of the oldest line; None while there is none."""
        return self._chunks[0].first if self._chunks else (self._first if self._open else None)

    def take(self, seconds: float, line: bytes, begin: Callable[[], bytes] | None = None) -> None:
        """Take a line of this moment; each chunk begins with what `begin` gives."""
        if not self._most_bytes:
            return
        if not self._open:
            self._first = seconds
            if begin is not None:
                self._append(begin())
        self._append(line)
        self._last = seconds
        if seconds - self._first >= CHUNK_SECONDS or self._open_bytes >= CHUNK_BYTES:
            chunk = Chunk(self._first, seconds, _packed(self._open))
            self._chunks.append(chunk)
            self._packed_bytes += len(chunk.packed)
            self._open, self._open_bytes = [], 0
        self._forget(seconds - KEPT_SECONDS)

    def since(self, seconds: float) -> bytes:
        """Return every chunk that ends after this moment, ready to follow the head of a file."""
        packed = [chunk.packed for chunk in self._chunks if chunk.last >= seconds]
        return b"".join([*packed, *([_packed(self._open)] if self._open else [])])

    def _append(self, line: bytes) -> None:
        self._open.append(line)
        self._open_bytes += len(line) + 1

    def _forget(self, before: float) -> None:
        """Let go of what is too old, and of the oldest where there is too much."""
        while self._chunks and (self._chunks[0].last < before or self.size_bytes > self._most_bytes):
            self._packed_bytes -= len(self._chunks.popleft().packed)
        if self.size_bytes > self._most_bytes:  # one open chunk is more than may be kept
            self._open, self._open_bytes = [], 0


def _packed(lines: list[bytes]) -> bytes:
    return gzip.compress(b"\n".join(lines) + b"\n", GZIP_LEVEL, mtime=0)
