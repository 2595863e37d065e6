"""What to tell a person about an engine that cannot be read, or not in full."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from agent.measure.engine import EngineReading
    from agent.measure.engine_table import EngineTable


def remedies(tables: tuple[EngineTable, ...], url: str, *, switched_off: bool) -> str:
    """Say what to do about a page that is not there, or one without an engine's series."""
    if len(tables) == 1:
        return tables[0].remedy
    here = [table for table in tables if table.port == urlsplit(url).port]
    unreadable = [
        f"if it is {one.engine}, {one.unsupported}; {one.remedy}" for one in here if one.unsupported
    ]
    readable = [one for one in tables if not one.unsupported and (one.flag is not None) is switched_off]
    likely = [one for one in readable if one in here] or ([] if unreadable else readable)
    return "; ".join([*unreadable, *(f"if it is {one.engine}, {one.remedy}" for one in likely)])


def uncounted(table: EngineTable) -> str:
    """Say why an engine has no output tokens."""
    return f"output tokens are unknown: {table.uncounted or f'{table.engine} counts none'}"


def how_counted(engine: EngineReading) -> str:
    """Say when its output tokens show."""
    if not engine.counts_output:
        return "not counted"
    return "live" if engine.live else "on finish"
