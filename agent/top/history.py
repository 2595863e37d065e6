"""What the figures were since the program began, in bounded memory, and as a line of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.top.cells import Line, Span, Tone, clipped, kilowatts, line, rate, ratio, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.top.page import RackPage

POINTS = 512  # more than a wide terminal has columns; when full, two become one
BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = " "
"""Drawn where a figure was absent: a gap is no drop (T4)."""
LABEL_COLUMNS = (6, 15)
FIGURE_COLUMNS = (0, 10)
"""Of what stands left and right of the blocks, where room is scarce and where it is not."""
ROOMY_COLUMNS = 50
LEAST_BLOCKS = 8
ABSENT = "absent"
RATE = "rate"


def lowest(values: Sequence[float | None]) -> float | None:
    """Return the least known value: the one that must not be lost when points are put together."""
    return min((value for value in values if value is not None), default=None)


class History:
    """Rate, power and efficiency over time. A column that stands for a longer span shows its lowest value."""

    def __init__(self) -> None:
        self.began_seconds: float | None = None
        self.ended_seconds: float | None = None
        self._each = 1
        """So many snapshots make one point."""
        self._pending: list[dict[str, float]] = []
        self._points: list[dict[str, float]] = []

    def add(self, page: RackPage, now_seconds: float) -> None:
        """Take the figures of one snapshot."""
        self._take(_figures(page), now_seconds)

    def missed(self, now_seconds: float) -> None:
        """Note that there was no snapshot where one was due."""
        if self.began_seconds is not None:
            self._take({}, now_seconds)

    def values(self, figure: str) -> list[float | None]:
        """Return the points of one figure, oldest first."""
        pending = [_lowest_of(self._pending)] if self._pending else []
        return [point.get(figure) for point in (*self._points, *pending)]

    @property
    def span_seconds(self) -> float:
        """How far back it reaches."""
        if self.began_seconds is None or self.ended_seconds is None:
            return 0.0
        return self.ended_seconds - self.began_seconds

    def _take(self, figures: dict[str, float], now_seconds: float) -> None:
        if self.began_seconds is None:
            self.began_seconds = now_seconds
        self.ended_seconds = now_seconds
        self._pending.append(figures)
        if len(self._pending) < self._each:
            return
        self._points.append(_lowest_of(self._pending))
        self._pending = []
        if len(self._points) >= POINTS:
            self._points = [_lowest_of(self._points[i : i + 2]) for i in range(0, len(self._points), 2)]
            self._each *= 2


def _figures(page: RackPage) -> dict[str, float]:
    figures = {power_of(boundary): watts for boundary, watts in page.power_watts.items()}
    for (kind, boundary), value in page.tokens_per_joule.items():
        if kind is TokenKind.OUTPUT:
            figures[efficiency_of(boundary)] = value
    output = page.tokens_per_second.get(TokenKind.OUTPUT)
    return figures if output is None else {RATE: output, **figures}


def power_of(boundary: str) -> str:
    """Name the series of a boundary's power."""
    return f"power {boundary}"


def efficiency_of(boundary: str) -> str:
    """Name the series of a boundary's tokens per joule."""
    return f"tokens/J {boundary}"


def _lowest_of(points: Sequence[dict[str, float]]) -> dict[str, float]:
    least: dict[str, float] = {}
    for point in points:
        for figure, value in point.items():
            least[figure] = min(value, least.get(figure, value))
    return least


def blocks(values: Sequence[float | None], columns: int) -> str:
    """Draw values from zero to their highest, newest at the right; too many are put together."""
    if columns <= 0 or not values:
        return ""
    each = -(-len(values) // columns)
    # Groups are counted from the beginning, so that a column keeps its values as new ones come.
    shown = [lowest(values[i : i + each]) for i in range(0, len(values), each)]
    top = max((value for value in shown if value is not None), default=0.0)
    return "".join(_block(value, top) for value in shown)


def _block(value: float | None, top: float) -> str:
    if value is None:
        return NOTHING
    if top <= 0.0 or value <= 0.0:
        return BLOCKS[0]
    return BLOCKS[min(len(BLOCKS) - 1, int(value / top * len(BLOCKS)))]


def spark_lines(history: History, boundary: str, columns: int) -> list[Line]:
    """Return the three lines of rate, power and efficiency, each with its highest value."""
    roomy = columns >= ROOMY_COLUMNS
    label_columns, figure_columns = LABEL_COLUMNS[roomy], FIGURE_COLUMNS[roomy]
    room = columns - label_columns - figure_columns
    if room < LEAST_BLOCKS:
        return []
    asked = (
        ("tok/s", RATE, rate),
        (f"kW {boundary}" if roomy else "kW", power_of(boundary), kilowatts),
        (f"tok/J {boundary}" if roomy else "tok/J", efficiency_of(boundary), ratio),
    )
    drawn = []
    for label, figure, shown in asked:
        values = history.values(figure)
        highest = max((value for value in values if value is not None), default=None)
        drawn.append(
            line(
                Span(f"{clipped(label, label_columns - 1):<{label_columns}}", Tone.DIM),
                Span(f"{ABSENT:<{room}}", Tone.DIM) if highest is None else f"{blocks(values, room):<{room}}",
                Span(f"{shown(highest):>{figure_columns}}" if roomy else "", Tone.DIM),
            )
        )
    return drawn


def spark_title(history: History, columns: int) -> Line:
    """Say what the sparklines reach over."""
    text = f"the last {seconds(history.span_seconds)}, from 0 to the highest →"
    return line(Span(f"{clipped(text, columns):>{columns}}", Tone.DIM))
