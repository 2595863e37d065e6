"""How much of what goes where, for a terminal of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.top.cells import Line, Span, Tone, cells_wide, clipped_line, greyed, line, padded, plain
from agent.top.cost import cost_line, cost_lines
from agent.top.gpus import LEGENDS
from agent.top.head import (
    count_line,
    ladder_lines,
    output_line,
    record_lines,
    shortened,
    status_lines,
    title_line,
    trouble_lines,
)
from agent.top.history import spark_lines, spark_title
from agent.top.incidents import incident_lines
from agent.top.nodes import boundary_of

if TYPE_CHECKING:
    from agent.top.nodes import Choice
    from agent.top.page import RackPage
    from agent.top.watch import Watch

TALL_ROWS = 40
"""From here on the models stand below the nodes, and nothing need be folded away so soon."""
TROUBLES = (4, 10)
RECORDS = (2, 4)
"""Lines for troubles and for the record on a low and on a tall terminal."""
WIDE_COLUMNS = 110
"""From here on the boundaries name their meters."""
BETWEEN = "   "


def tall(rows: int) -> bool:
    """Whether there is room for the models below the nodes."""
    return rows >= TALL_ROWS


def head_lines(watch: Watch, choice: Choice, size: tuple[int, int], now: float) -> list[Line]:
    """Return everything above the tables for a terminal of so many columns and rows."""
    columns, rows = size
    status = watch.status(now)
    top = [title_line(watch.page, status, columns), *status_lines(status, columns)]
    if watch.page is None:
        waiting = line(Span("waiting for the first answer", Tone.DIM))
        return top if status.error else [*top, waiting]
    body = _body(watch, watch.page, choice, columns, tall=tall(rows))
    return [*top, *(map(greyed, body) if status.stale else body)]


def _body(watch: Watch, page: RackPage, choice: Choice, columns: int, *, tall: bool) -> list[Line]:
    # On a low terminal each trouble has one line, its end cut off: all of them matter more than all of one.
    width = columns if tall else None
    troubles = [*incident_lines(page, width), *trouble_lines(page, width)]
    return [
        output_line(page, columns),
        count_line(page, columns),
        *(clipped_line(each, columns) for each in _figures(watch, page, choice, columns, tall=tall)),
        *cost_line(page, columns),
        *(clipped_line(each, columns) for each in shortened(troubles, TROUBLES[tall], columns, "w")),
        *record_lines(page, columns, RECORDS[tall]),
    ]


def _figures(watch: Watch, page: RackPage, choice: Choice, columns: int, *, tall: bool) -> list[Line]:
    """Put the boundaries and the sparklines side by side."""
    ladder = ladder_lines(page, columns, meters=columns >= WIDE_COLUMNS)
    widest = max(cells_wide(plain(each).rstrip()) for each in ladder)
    room = columns - widest - len(BETWEEN)
    right = spark_lines(watch.history, boundary_of(page, choice), room)
    if right and (tall or len(ladder) > len(right)):
        right.append(spark_title(watch.history, room))
    rows = max(len(ladder), len(right))
    left = ladder + [()] * (rows - len(ladder))
    right += [()] * (rows - len(right))
    return [
        (*padded(clipped_line(each, widest), widest + len(BETWEEN)), *beside)
        for each, beside in zip(left, right, strict=True)
    ]


def foot_lines(page: RackPage | None, choice: Choice, columns: int) -> list[Line]:
    """Return what the cells mean, and the keys with what they now stand at."""
    order = f"{choice.sort}{' ↑' if choice.backwards else ''}"
    boundary = choice.boundary or ("" if page is None else boundary_of(page, choice))
    keys = (
        ("q", "quit"),
        ("?", "help"),
        ("enter", "open"),
        ("s", order),
        ("p", choice.paint),
        ("b", boundary),
        ("m", "models"),
        ("w", "why"),
    )
    spans = [span for key, what in keys for span in (Span(key, Tone.STRONG), Span(f" {what}  ", Tone.DIM))]
    legend = line(Span(f"GPUS by {choice.paint}: {LEGENDS[choice.paint]}", Tone.DIM))
    return [clipped_line(legend, columns), clipped_line(tuple(spans), columns)]


def why_lines(page: RackPage, columns: int) -> list[Line]:
    """Return all that speaks against the figures or must be known with them, nothing folded away."""
    troubles = [*incident_lines(page, columns), *trouble_lines(page, columns)]
    record = record_lines(page, columns)
    nothing = [line(Span("nothing speaks against the figures, and nobody is missing", Tone.GOOD))]
    costs = cost_lines(page, columns, formulas=True)
    return [*(troubles or nothing), *([()] if record else []), *record, (), *costs]


HELP = """\
rackwatt top shows one rack, or one node as a rack of one,
asked once a second.

  enter   open the node under the cursor; escape closes it
  s       sort by the next: worst first, name, tokens/s, power,
          tokens/J, °C
  r       sort backwards
  p       GPU cells show the next: health, throttle, W, °C,
          tokens/s, tokens/J
  b       power and tokens/J of the next boundary
  m       models instead of nodes (a tall terminal shows both)
  w       why: every incident, reason, missing node and caveat
          in full
  a       ask again now
  q       quit

TOK/S     output tokens per second over the window
MEDIAN    a node's rate over the rack's median node;
          yellow below 95 %, red below 80 %
worst     missing, then unreadable, then the lowest share of the
          median in steps of 5 %
TOK/J     output tokens per joule at one power boundary, a ratio
          of sums over the same nodes
coverage  share of the window for which the expected nodes are
          known; valid from 95 % on
NOT VALID something speaks against the figure: w says what
incident  what is wrong now, why, for how long, and the output
          tokens that it cost; the worst first
STALE     no new snapshot for more than 3 s: grey is of then
lines     since this program began, from zero; a column is the
          lowest of its time, a gap an absent figure, no drop
-         unknown; it is never drawn as zero
"""
