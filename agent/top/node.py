"""One node opened: everything its row has no room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.efficiency import joules_per_token
from agent.measure.engine import TokenKind
from agent.top.cells import Line, Span, Tone, kilowatts, line, percent, rate, ratio, seconds, wrapped
from agent.top.gpus import GPU_HEAD, GPU_NUMERIC, gpu_row
from agent.top.head import in_order
from agent.top.nodes import Table, keys_of, note_of, share_of_median, state_of

if TYPE_CHECKING:
    from agent.measure.rack_snapshot import MemberFigures
    from agent.top.page import RackPage


def find(page: RackPage, key: str) -> MemberFigures | None:
    """Return the node of a row, if the rack still knows it."""
    return dict(zip(keys_of(page.members), page.members, strict=True)).get(key)


def node_lines(member: MemberFigures, columns: int) -> list[Line]:
    """Return the node's own figures."""
    title = line(Span(member.node, Tone.STRONG), "  ", state_of(member), Span(f"  {member.url}", Tone.DIM))
    note = note_of(member, wide=True)
    lines = [title, *(line(Span(text, note.tone)) for text in wrapped(note.text, columns, "  ") if text)]
    rates = [
        f"{kind.replace('_', ' ')} {rate(value)} tokens/s" for kind, value in member.tokens_per_second.items()
    ]
    if rates:
        lines.append(line("  ".join(rates)))
    lines.append(
        line(
            Span("of the median node ", Tone.DIM),
            share_of_median(member.rate_to_median_ratio),
            Span("  coverage ", Tone.DIM),
            percent(member.coverage, 1),
            Span("  answered ", Tone.DIM),
            "never" if member.age_seconds is None else f"{seconds(member.age_seconds)} ago",
            Span(f"  rackwatt {member.version}" if member.version else "", Tone.DIM),
        )
    )
    lines.extend(_boundary(member, boundary) for boundary in _boundaries(member))
    return lines


def _boundaries(member: MemberFigures) -> list[str]:
    return in_order([*member.power_watts, *(boundary for _, boundary in member.tokens_per_joule)])


def _boundary(member: MemberFigures, boundary: str) -> Line:
    efficiency = member.tokens_per_joule.get((TokenKind.OUTPUT, boundary))
    joules = None if efficiency is None else joules_per_token(efficiency, 1.0)
    power = kilowatts(member.power_watts.get(boundary))
    return line(
        Span(f"{boundary:<9}", Tone.STRONG),
        f"{power:>8} kW  {ratio(efficiency):>8} tokens/J  {ratio(joules):>8} J/token",
        Span(f"  {source}" if (source := member.power_sources.get(boundary)) else "", Tone.DIM),
    )


def gpu_table(member: MemberFigures) -> Table:
    """Return the node's GPUs with every figure as a number."""
    rows = tuple((f"{number}", gpu_row(gpu)) for number, gpu in enumerate(member.gpus))
    return Table(GPU_HEAD, GPU_NUMERIC, rows)
