"""One frame as plain text: what `rackwatt top --once` prints into a terminal or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.top.cells import aligned, plain
from agent.top.cost import cost_lines
from agent.top.gpus import LEGENDS
from agent.top.head import (
    count_line,
    ladder_lines,
    output_line,
    record_lines,
    title_line,
    trouble_lines,
)
from agent.top.incidents import incident_lines, is_wrong
from agent.top.models import model_table
from agent.top.nodes import Choice, boundary_of, node_table

if TYPE_CHECKING:
    from agent.top.cells import Line
    from agent.top.head import Status
    from agent.top.nodes import Table
    from agent.top.page import RackPage


def frame(page: RackPage, status: Status, columns: int) -> str:
    """Return the whole rack as text: every node, every reason, nothing folded away."""
    choice = Choice()
    head = [title_line(page, status, columns), output_line(page), count_line(page)]
    blocks = [
        [*head, *incident_lines(page, columns), *trouble_lines(page, columns), *record_lines(page, columns)],
        ladder_lines(page, columns),
        cost_lines(page, columns),
        _lines(node_table(page, choice, columns)),
        _lines(model_table(page, boundary_of(page, choice))) if page.models else [],
    ]
    texts = ["\n".join(plain(each).rstrip() for each in block) for block in blocks if block]
    return "\n\n".join([*texts, f"GPUS: {LEGENDS[choice.paint]}"])


def _lines(table: Table) -> list[Line]:
    return aligned(table.head, [cells for _, cells in table.rows], table.numeric)


def found_wrong(page: RackPage) -> bool:
    """Whether something is missing, speaks against the rate, or is an incident that somebody must look at."""
    return (
        is_wrong(page)
        or not page.standing.valid
        or page.nodes_reporting < page.nodes_expected
        or page.gpus_reporting < page.gpus_expected
    )
