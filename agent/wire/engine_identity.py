"""Tells whose page a page is, by the names on it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from agent.wire.page import canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.measure.engine_table import EngineTable

OWN = frozenset({"engine", "detect", "detect_all", "detect_raw", "precedence", "delegates", "path", "port"})
"""What a container never takes from the engine inside it; nor its flag and its remedy."""


def identify(
    tables: Iterable[EngineTable], raw_names: frozenset[str], wanted: str = ""
) -> EngineTable | None:
    """Return the table that fits the names on a page best, completed by that of the engine inside.

    If an engine is wanted, only its table is returned, or None.
    """
    names = frozenset(canonical_name(name) for name in raw_names)
    fitting = [table for table in tables if fits(table, names, raw_names)]
    candidates = (table for table in fitting if wanted in ("", table.engine))
    best = max(candidates, key=lambda table: table.precedence, default=None)
    return None if best is None else completed(best, fitting)


def of_empty_page(candidates: Iterable[EngineTable], path: str) -> EngineTable | None:
    """Return the table whose page is empty until the first request, where only such have this path."""
    fitting = [table for table in candidates if table.path and path.endswith(table.path)]
    longest = max((len(table.path) for table in fitting), default=0)
    there = [table for table in fitting if len(table.path) == longest and not table.unsupported]
    if not all(table.silent_when_fresh for table in there):
        return None
    return max(there, key=lambda table: table.precedence, default=None)


def fits(table: EngineTable, names: frozenset[str], raw_names: frozenset[str]) -> bool:
    """Tell whether a page with these names can be of an engine."""
    if table.unsupported or not (table.detect or table.detect_raw or table.detect_all):
        return False
    if table.detect_raw and not _any(raw_names, table.detect_raw):
        return False
    if table.detect and not _any(names, table.detect):
        return False
    return all(_any(names, (prefix,)) for prefix in table.detect_all)


def completed(table: EngineTable, fitting: Iterable[EngineTable]) -> EngineTable:
    """Take what a container leaves open from the engine whose series it passes through.

    As long as no such series are on the page it stays as it is, with its delegates. Then the engine's
    series identify the page: when they are gone it is looked at anew.
    """
    inside = next((one for name in table.delegates for one in fitting if one.engine == name), None)
    if inside is None:
        return table
    open_fields = {
        field.name: getattr(inside, field.name)
        for field in fields(table)
        if field.name not in OWN | {"flag", "remedy"}
        and (field.name in table.until_delegate or not getattr(table, field.name))
        and getattr(inside, field.name)
    }
    return replace(table, **open_fields, delegates=(), detect=inside.detect)


def _any(names: frozenset[str], prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefixes) for name in names)
