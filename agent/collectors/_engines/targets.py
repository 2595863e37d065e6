"""What a target's engine is, by the tables there are, and where its page is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.collectors._engines import mapping
from agent.wire import address, engine_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.measure.engine_table import EngineTable


def tables(
    known: tuple[EngineTable, ...], mappings: Mapping[str, mapping.EngineMapping]
) -> tuple[EngineTable, ...]:
    """Return all tables, the user's own first. Raises ValueError for a name that cannot be theirs."""
    names = {table.engine for table in known}
    for name in mappings:
        if name in names:
            raise ValueError(f"mappings.{name}: is an engine that is known here; give yours another name")
        if not mapping.NAME.fullmatch(name):
            raise ValueError(f"mappings: {name!a} is no name: small letters, digits, and _ . - between them")
    return (*(mapping.table(name, one) for name, one in mappings.items()), *known)


def named(tables: Sequence[EngineTable], engine: str) -> EngineTable | None:
    """Return the table of an engine; None for one that was not named."""
    return next((table for table in tables if table.engine == engine), None) if engine else None


def readable(tables: Sequence[EngineTable]) -> frozenset[str]:
    """Return the names of all engines that can be read."""
    return frozenset(table.engine for table in tables if not table.unsupported)


def checked(number: int, url: str, engine: str, tables: Sequence[EngineTable]) -> EngineTable | None:
    """Return the table of a target. Raises ValueError for one that can never be read, or must not be."""
    table = named(tables, engine)
    where = f"targets[{number}]"
    if engine and table is None:
        choices = ", ".join(sorted(readable(tables)))
        raise ValueError(f"{where}.engine: no {engine!a}; there are: {choices}")
    if table is not None and table.unsupported:
        raise ValueError(f"{where}.engine: {table.unsupported}; {table.remedy}")
    if table is not None and engine_paths.is_destructive(url, table):
        text = f"{table.destructive_path} of {table.engine} is gone once it is read; its page is {table.path}"
        raise ValueError(f"{where}.url: {text}")
    return table


def usual_path(table: EngineTable | None) -> str:
    """Return the path on which such an engine has its page, if nothing was done about it."""
    return engine_paths.USUAL_PATH if table is None else table.path


def page_url(url: str, table: EngineTable | None) -> str:
    """Return the address of an engine's page."""
    return address.with_path(url, usual_path(table))
