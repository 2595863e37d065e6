"""Reads the labels of one line of a text page, and shows lines that cannot be read."""

from __future__ import annotations

import re
import sys

from agent.measure.reading import Reason, SourceError

EXCERPT_BYTES = 120  # of a line, in an error message
_LABEL = re.compile(
    rb'[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|"([^"\\]*(?:\\.[^"\\]*)*)")[ \t]*'
    rb'(?:=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*)?([,}])',
    re.DOTALL,
)
_BLANKS = re.compile(rb"[ \t]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED = {"n": "\n", '"': '"', "\\": "\\"}  # there are no others
QUOTED_NAME = '"'  # stands for the name of a series among its labels: no label can have it


def read_labels(line: bytes, start: int, number: int) -> tuple[dict[str, str], int]:
    """Return the labels from `start` on, if there are any, and where the value begins."""
    position = _after_blanks(line, start)
    labels: dict[str, str] = {}
    if line[position : position + 1] != b"{":
        return labels, position
    position = _after_blanks(line, position + 1)
    if line[position : position + 1] == b"}":
        return labels, _after_blanks(line, position + 1)
    while True:
        match = _LABEL.match(line, position)
        if match is None:
            raise malformed(line, number, "has labels that cannot be read")
        _add_label(labels, match, line, number)
        position = _after_blanks(line, match.end())
        if match[4] == b"}":
            return labels, position
        if line[position : position + 1] == b"}":
            return labels, _after_blanks(line, position + 1)


def _add_label(labels: dict[str, str], match: re.Match[bytes], line: bytes, number: int) -> None:
    bare, quoted, value, _ = match.groups()
    try:
        name = _unescaped(quoted) if bare is None else bare.decode()
        text = name if value is None else _unescaped(value)
    except ValueError as error:
        raise malformed(line, number, "has labels that cannot be decoded") from error
    if value is None:
        if bare is not None:
            raise malformed(line, number, "has a label without a value")
        name = QUOTED_NAME
    elif name == QUOTED_NAME:
        raise malformed(line, number, "has a label of an impossible name")
    if name in labels:
        raise malformed(line, number, "has one label twice")
    labels[sys.intern(name)] = sys.intern(text)  # a page has the same ones in hundreds of lines


def _unescaped(raw: bytes) -> str:
    text = raw.decode()
    if "\\" not in text:
        return text
    try:
        return _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], text)
    except KeyError as error:
        raise ValueError("an unknown escape") from error


def _after_blanks(line: bytes, position: int) -> int:
    match = _BLANKS.match(line, position)
    return position if match is None else match.end()


def escaped(text: str) -> str:
    """Return a label's value as it is written between quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def malformed(line: bytes, number: int, what: str) -> SourceError:
    """Name a bad line by its number and a short, printable excerpt."""
    excerpt = ascii(line[:EXCERPT_BYTES])[1:]
    dots = "…" if len(line) > EXCERPT_BYTES else ""
    return SourceError(Reason.MALFORMED, f"line {number} {what}: {excerpt}{dots}")
