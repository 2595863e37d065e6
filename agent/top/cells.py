"""Text with a meaning instead of a colour: what renderers make and what a terminal or a pipe shows."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

UNKNOWN = "-"
GAP = "  "
"""Between two columns."""


class Tone(StrEnum):
    """How a piece of text is meant; never the only carrier of its meaning."""

    PLAIN = "plain"
    STRONG = "strong"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one line."""

    text: str
    tone: Tone = Tone.PLAIN


Line = tuple[Span, ...]
Cell = Line
"""What stands in one cell of a table."""


def line(*parts: str | Span) -> Line:
    """Make a line of plain and toned pieces."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(spans: Line) -> str:
    """Return a line without its tones."""
    return "".join(span.text for span in spans)


def greyed(spans: Line) -> Line:
    """Return a line that nobody takes for fresh."""
    return tuple(Span(span.text, Tone.DIM) for span in spans)


def cells_wide(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_wide, text))


def _wide(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def clipped(text: str, columns: int) -> str:
    """Return the text, its end replaced by an ellipsis where it is too wide."""
    if cells_wide(text) <= columns:
        return text
    kept, used = [], 1
    for char in text:
        used += _wide(char)
        if used > columns:
            break
        kept.append(char)
    return "".join(kept) + "…" if columns > 0 else ""


def clipped_line(spans: Line, columns: int) -> Line:
    """Return the line cut to so many columns."""
    kept: list[Span] = []
    for span in spans:
        room = columns - sum(cells_wide(each.text) for each in kept)
        kept.append(Span(clipped(span.text, room), span.tone))
        if kept[-1].text != span.text:
            break
    return tuple(kept)


def padded(spans: Line, columns: int) -> Line:
    """Return the line filled up to so many columns."""
    return (*spans, Span(" " * (columns - cells_wide(plain(spans)))))


def fitting(columns: int | None, must: Line, *may: Line) -> Line:
    """Return the first part, and of the others those that fit whole behind it."""
    whole = must
    for each in may:
        if columns is None or cells_wide(plain((*whole, *each))) <= columns:
            whole = (*whole, *each)
    return whole if columns is None else clipped_line(whole, columns)


def wrapped(text: str, columns: int | None, indent: str = "") -> list[str]:
    """Break a sentence into lines at its spaces; what follows the first is indented. None is endless."""
    if columns is None:
        return [text]
    lines: list[str] = []
    current = ""
    for word in text.split(" "):
        candidate = f"{current} {word}" if current else word
        if current and cells_wide(candidate) > columns:
            lines.append(current)
            candidate = indent + word
        current = candidate
    return [clipped(each, columns) for each in (*lines, current)]


def aligned(head: Sequence[str], rows: Iterable[Sequence[Cell]], numeric: frozenset[int]) -> list[Line]:
    """Return a table as lines: names flush left, numbers (columns by position) flush right."""
    table = [[line(Span(title, Tone.DIM)) for title in head], *map(list, rows)]
    widths = [max(cells_wide(plain(row[i])) for row in table) for i in range(len(head))]
    return [_joined(row, widths, numeric) for row in table]


def _joined(row: Sequence[Cell], widths: Sequence[int], numeric: frozenset[int]) -> Line:
    spans: list[Span] = []
    for position, (cell, width) in enumerate(zip(row, widths, strict=True)):
        padding = Span(" " * (width - cells_wide(plain(cell))))
        spans.extend((padding, *cell) if position in numeric else (*cell, padding))
        spans.append(Span(GAP))
    return tuple(spans)


def rate(tokens_per_second: float | None) -> str:
    """Return tokens per second with thousands apart."""
    if tokens_per_second is None:
        return UNKNOWN
    return f"{tokens_per_second:,.{1 if abs(tokens_per_second) < 100 else 0}f}"  # noqa: PLR2004 - three digits tell enough


def kilowatts(watts: float | None) -> str:
    """Return kilowatts, to ten watts."""
    return UNKNOWN if watts is None else f"{watts / 1000.0:,.2f}"


def ratio(value: float | None) -> str:
    """Return tokens per joule or joules per token with about four digits."""
    if value is None:
        return UNKNOWN
    digits = next((digits for least, digits in ((100.0, 1), (10.0, 2), (1.0, 3)) if abs(value) >= least), 4)
    return f"{value:,.{digits}f}"


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share of one as per cent."""
    return UNKNOWN if share is None else f"{share * 100.0:.{digits}f} %"


def whole(value: float | None) -> str:
    """Return a number without its fraction."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Return a span of time in the largest unit that tells enough."""
    if value is None:
        return UNKNOWN
    for unit, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * unit:
            return f"{value / unit:.0f} {name}"
    return f"{value:.0f} s"
