"""Files that are small, or not what they are taken for: read whole, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

_MISSING = (FileNotFoundError, NotADirectoryError)
"""Nothing is there; in the second case because a file lies where a directory should."""


class SmallFileError(Exception):
    """A file cannot be read, or is too large; the text names it and says why."""

    def __init__(self, path: Path | str, why: str, *, missing: bool = False, too_large: bool = False) -> None:
        super().__init__(f"{path}: {why}")
        self.missing, self.too_large = missing, too_large


def read_small(path: Path | str, most_bytes: int) -> bytes:
    """Read a file. Raises SmallFileError."""
    try:
        with Path(path).open("rb") as file:
            body = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that cannot be one
        raise unreadable(path, error) from error
    if len(body) > most_bytes:
        raise SmallFileError(path, f"is larger than {most_bytes} bytes", too_large=True)
    return body


def unreadable(path: Path | str, error: OSError | ValueError) -> SmallFileError:
    """Return the same for a file that something else failed to read."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SmallFileError(path, f"cannot be read: {why}", missing=isinstance(error, _MISSING))
