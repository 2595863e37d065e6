"""Small files of /sys: a number or a word each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MOST_CHARACTERS = 4096


def text(path: Path) -> str:
    """Return a word; empty when there is none to be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MOST_CHARACTERS).strip("\0\n ")
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """Return a number; None when there is none, or its meter does not answer (EIO, ENODATA)."""
    word = text(path)
    return int(word) if word.removeprefix("-").isdecimal() else None
