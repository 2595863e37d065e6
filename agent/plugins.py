"""The folder is the registry: a plug-in is a module, its file name is its key in the configuration."""

from __future__ import annotations

import importlib
import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from agent.measure.engine_table import EngineTable

COLLECTORS = "agent.collectors"
ENGINES = "agent.engines"
EXPORTERS = "exporters"


def names(room: str) -> tuple[str, ...]:
    """List the plug-ins of a room, sorted, without importing any of them."""
    package = importlib.import_module(room)
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(room: str, name: str) -> ModuleType:
    """Import one plug-in. Raises LookupError, with the choices, when there is none of that name."""
    if name not in names(room):
        choices = ", ".join(names(room))
        message = f"no {name!r} in {room}; there are: {choices}"
        raise LookupError(message)
    return importlib.import_module(f"{room}.{name}")


def built(
    room: str,
    wanted: Mapping[str, Any],
    current: Mapping[str, Any] = MappingProxyType({}),
    running: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Build the plug-ins that are wanted, by their settings; those that run with the same ones go on."""
    return {
        name: running[name]
        if name in running and current.get(name) == settings
        else load(room, name).build(settings)
        for name, settings in wanted.items()
    }


def engine_tables() -> tuple[EngineTable, ...]:
    """Return the table of every serving engine, in order of their names."""
    return tuple(load(ENGINES, name).TABLE for name in names(ENGINES))
