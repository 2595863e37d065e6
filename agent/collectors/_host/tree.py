"""Small files of the kernel under a root: bounded, opened without waiting, absent when they fail."""

from __future__ import annotations

import errno
import os

FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
VALUE_BYTES = 4096
"""The kernel gives a page at most for one value."""
MOST_BYTES = 65536
"""Of a longer file; /proc/vmstat has some 5 KB."""
MOST_DIGITS = 20
"""A count of 64 bits has no more."""
MOST_NAME_CHARACTERS = 64
"""Names of devices become labels; the kernel's own limit is 16 or 64."""
REFUSED = (errno.EACCES, errno.EPERM)


class Tree:
    """Reads under one root; a file that is not there, or vanishes meanwhile, tells nothing."""

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/")
        self.path = ""
        """What was asked for last: where a read hangs, it is this."""
        self.refused: set[str] = set()
        """What this user may not read."""

    def shown(self, path: str) -> str:
        """Return a path as this process sees it."""
        return self._root + path

    def read(self, path: str) -> bytes | None:
        """Return the beginning of a file, all of it for a single value; None for what cannot be read."""
        return self._read(path, VALUE_BYTES)

    def read_all(self, path: str) -> bytes | None:
        """Return a longer file; None as well for one beyond MOST_BYTES."""
        data = self._read(path, MOST_BYTES)
        return None if data is None or len(data) >= MOST_BYTES else data

    def count(self, path: str) -> float | None:
        """Return the whole number that a file holds."""
        return whole(self.read(path))

    def word(self, path: str) -> str | None:
        """Return the line that a file holds."""
        data = self.read(path)
        return None if data is None else data.decode("ascii", "replace").strip()

    def exists(self, path: str) -> bool:
        """Tell whether there is such a file."""
        self.path = path
        return os.access(self._root + path, os.F_OK)

    def names(self, path: str) -> list[str]:
        """List a directory, sorted; names that can be no label are left out."""
        self.path = path
        try:
            found = os.listdir(self._root + path)  # noqa: PTH208 - names are all that is wanted
        except OSError as error:
            self._note(path, error)
            return []
        return sorted(name for name in found if name.isprintable() and len(name) <= MOST_NAME_CHARACTERS)

    def _read(self, path: str, most: int) -> bytes | None:
        self.path = path
        try:
            descriptor = os.open(self._root + path, FLAGS)
        except OSError as error:
            self._note(path, error)
            return None
        try:
            data = os.read(descriptor, most)
            while most > VALUE_BYTES and len(data) < most and (more := os.read(descriptor, most - len(data))):
                data += more
        except OSError as error:
            self._note(path, error)
            return None
        finally:
            os.close(descriptor)
        return data

    def _note(self, path: str, error: OSError) -> None:
        if error.errno in REFUSED:
            self.refused.add(path)


def whole(text: bytes | None) -> float | None:
    """Return a whole number that is not negative; None for anything else."""
    if text is None:
        return None
    digits = text.strip()
    return float(digits) if digits.isdigit() and len(digits) <= MOST_DIGITS else None
