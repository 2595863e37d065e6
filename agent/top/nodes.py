"""The table of nodes: worst first against the rack's median, each with its GPUs as small cells."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.top.cells import (
    Cell,
    Span,
    Tone,
    cells_wide,
    clipped,
    kilowatts,
    line,
    percent,
    plain,
    rate,
    ratio,
    seconds,
    whole,
)
from agent.top.gpus import Paint, Scale, gpu_cells
from agent.top.head import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.measure.rack_snapshot import MemberFigures
    from agent.top.page import RackPage

WIDE_COLUMNS = 110  # from here on there is room for state, temperature and GPUs as numbers
NAME_COLUMNS = (18, 40)
"""Of a node's name on a narrow and on a wide terminal."""
PADDING_COLUMNS = 2
"""Of each column of the table."""
STEPS_PER_ONE = 20
"""Shares of the median are sorted in steps of 5 %, so that rows do not dance with the noise."""
BEHIND, SLOW = 0.95, 0.8
"""Below these shares of the rack's median a node is yellow and red."""


class Sort(StrEnum):
    """What the rows are sorted by."""

    WORST = "worst first"
    NAME = "name"
    RATE = "tokens/s"
    POWER = "power"
    EFFICIENCY = "tokens/J"
    TEMPERATURE = "°C"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person at the keys chose."""

    boundary: str | None = None
    """None: the one that most nodes have."""
    sort: Sort = Sort.WORST
    backwards: bool = False
    paint: Paint = Paint.HEALTH


@dataclass(frozen=True, slots=True)
class Table:
    """Heads, and for each row its key and its cells."""

    head: tuple[str, ...]
    numeric: frozenset[int]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def node_table(page: RackPage, choice: Choice, columns: int) -> Table:
    """Return the whole table, its last column cut to what the terminal has."""
    wide = columns >= WIDE_COLUMNS
    boundary = boundary_of(page, choice)
    head = ("NODE", *(("STATE",) if wide else ()), "TOK/S", "MEDIAN", f"kW {boundary}", "TOK/J")
    numeric = frozenset(range(2 if wide else 1, len(head) + wide))
    head = (*head, *(("°C",) if wide else ()), "GPUS", "NOTE")
    scale = Scale.of(page, boundary)
    members = ordered(page, choice)
    rows = [_row(member, boundary, choice.paint, scale, wide=wide) for member in members]
    fitted = _fitted(head, rows, columns)
    return Table(head, numeric, tuple(zip(keys_of(members), fitted, strict=True)))


def boundary_of(page: RackPage, choice: Choice) -> str:
    """Return the chosen boundary, or the outermost of those that most nodes have."""
    if choice.boundary is not None:
        return choice.boundary
    having: dict[str, int] = {}
    for member in page.members:
        for boundary in member.power_watts:
            having[boundary] = having.get(boundary, 0) + 1
    if not having:
        return next(iter(page.power_watts), "gpu")
    most = max(having.values())
    return in_order(name for name, count in having.items() if count == most)[-1]


def choices_of_boundary(page: RackPage) -> list[str]:
    """Return the boundaries that can be chosen, innermost first."""
    return in_order(
        [*page.power_watts, *(boundary for member in page.members for boundary in member.power_watts)]
    )


def keys_of(members: Sequence[MemberFigures]) -> list[str]:
    """Return a key for each node; two that call themselves the same stay apart."""
    seen: dict[str, int] = {}
    keys = []
    for member in members:
        name = f"{member.node} {member.url}"
        seen[name] = seen.get(name, 0) + 1
        keys.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return keys


def ordered(page: RackPage, choice: Choice) -> list[MemberFigures]:
    """Return the nodes in the chosen order; equals by name."""
    boundary = boundary_of(page, choice)
    by_name = sorted(page.members, key=lambda member: natural(member.node))
    measures: dict[Sort, Callable[[MemberFigures], float]] = {
        Sort.WORST: lambda _: 0.0,
        Sort.NAME: lambda _: 0.0,
        Sort.RATE: lambda member: _falling(member.tokens_per_second.get(TokenKind.OUTPUT)),
        Sort.POWER: lambda member: _falling(member.power_watts.get(boundary)),
        Sort.EFFICIENCY: lambda member: _falling(member.tokens_per_joule.get((TokenKind.OUTPUT, boundary))),
        Sort.TEMPERATURE: lambda member: _falling(hottest(member)),
    }
    members = sorted(by_name, key=badness if choice.sort is Sort.WORST else measures[choice.sort])
    return members[::-1] if choice.backwards else members


def _falling(value: float | None) -> float:
    return math.inf if value is None else -value


def natural(name: str) -> list[tuple[int, str]]:
    """Sort tray-2 before tray-10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d{1,18})", name)]


def badness(member: MemberFigures) -> tuple[int, float, int]:
    """Return what sorts the worst first: missing, unreadable, behind, short of GPUs, idle, drained."""
    down = -sum(not gpu.up for gpu in member.gpus)
    if member.drained:
        return 4, 0.0, down
    if not member.up:
        return 0, 0.0, down
    share = member.rate_to_median_ratio
    if share is not None:
        return 2, math.floor(share * STEPS_PER_ONE + 0.5) / STEPS_PER_ONE, down
    return (1 if member.state == "unknown" else 3), 0.0, down


def hottest(member: MemberFigures) -> float | None:
    """Return the temperature of the hottest GPU."""
    return max(
        (gpu.temperature_celsius for gpu in member.gpus if gpu.temperature_celsius is not None), default=None
    )


def _row(member: MemberFigures, boundary: str, paint: Paint, scale: Scale, *, wide: bool) -> tuple[Cell, ...]:
    name = clipped(member.node or member.url, NAME_COLUMNS[wide])
    cells = [line(Span(name, _tone(member)))]
    if wide:
        cells.append(line(state_of(member)))
    cells += [
        line(rate(member.tokens_per_second.get(TokenKind.OUTPUT))),
        line(share_of_median(member.rate_to_median_ratio)),
        line(kilowatts(member.power_watts.get(boundary))),
        line(ratio(member.tokens_per_joule.get((TokenKind.OUTPUT, boundary)))),
    ]
    if wide:
        cells.append(line(whole(hottest(member))))
    return (*cells, gpu_cells(member, paint, scale, wide=wide), line(note_of(member, wide=wide)))


def _tone(member: MemberFigures) -> Tone:
    if member.drained:
        return Tone.DIM
    return Tone.STRONG if member.up else Tone.BAD


def state_of(member: MemberFigures) -> Span:
    """Return what a node is doing, or that it is not there."""
    if member.drained:
        return Span("drained", Tone.DIM)
    if not member.up:
        return Span("MISSING", Tone.BAD)
    tones = {"serving": Tone.GOOD, "unknown": Tone.WARN}
    return Span(member.state, tones.get(member.state, Tone.DIM))


def share_of_median(share: float | None) -> Span:
    """Return a node's rate as a share of the median member's."""
    if share is None:
        return Span(percent(share), Tone.DIM)
    tone = Tone.BAD if share < SLOW else Tone.WARN if share < BEHIND else Tone.GOOD
    return Span(percent(share), tone)


def note_of(member: MemberFigures, *, wide: bool) -> Span:
    """Return what is wrong with a node, else what it serves."""
    if member.drained or not member.up:
        state = "" if wide else "drained" if member.drained else "MISSING"
        seen = "never seen" if member.age_seconds is None else f"last seen {seconds(member.age_seconds)} ago"
        said = "; ".join(part for part in (state, member.why, "" if member.drained else seen) if part)
        return Span(said, Tone.DIM if member.drained else Tone.BAD)
    down = sum(not gpu.up for gpu in member.gpus)
    throttled = sorted({reason for gpu in member.gpus for reason in gpu.throttled or ()})
    wrong = [
        f"{down} GPU{'s' if down > 1 else ''} not up" if down else "",
        f"throttled: {', '.join(throttled)}" if throttled else "",
        "" if wide or member.state == "serving" else member.state,
    ]
    said = "; ".join(part for part in wrong if part)
    models = ", ".join(member.models)
    return Span(f"{said}; {models}" if said and models else said or models, Tone.WARN if said else Tone.DIM)


def _fitted(head: Sequence[str], rows: Sequence[tuple[Cell, ...]], columns: int) -> list[tuple[Cell, ...]]:
    """Cut the last column to what the others leave."""
    last = len(head) - 1
    taken = sum(
        max([cells_wide(head[i]), *(cells_wide(plain(row[i])) for row in rows)]) + PADDING_COLUMNS
        for i in range(last)
    )
    room = max(cells_wide(head[last]), columns - taken - PADDING_COLUMNS)
    return [
        (*row[:last], line(*(Span(clipped(span.text, room), span.tone) for span in row[last])))
        for row in rows
    ]
