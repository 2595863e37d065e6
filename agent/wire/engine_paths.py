"""Finds the page of a server that nobody has named, without asking for what asking destroys.

TensorRT-LLM's /metrics is not a page of series: it hands out each statistic once, to whoever asks first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.measure.reading import Reason, SourceError
from agent.wire import json_page
from agent.wire.address import beside, with_path
from agent.wire.engine_identity import identify, of_empty_page
from agent.wire.page import sample_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from agent.measure.engine_table import EngineTable
    from agent.wire.http import Fetched
    from agent.wire.page import PageLimits

    Get = Callable[[str], Awaitable[Fetched]]

USUAL_PATH = "/metrics"
MODELS_PATH = "/v1/models"
NOT_THERE = frozenset({Reason.UNSUPPORTED, Reason.DENIED, Reason.MALFORMED, Reason.TOO_LARGE})
"""Answers of a server that is up and has nothing readable on a path."""


def must_be_found(url: str, tables: Iterable[EngineTable]) -> bool:
    """Tell whether an address may be one that must not be asked for, as long as the engine is unknown."""
    return any(is_destructive(with_path(url, USUAL_PATH), table) for table in tables)


def is_destructive(url: str, table: EngineTable) -> bool:
    """Tell whether an address is the one of an engine's pages that must not be asked for."""
    path = urlsplit(url).path
    touchy = bool(table.destructive_path) and path.endswith(table.destructive_path)
    return touchy and not path.endswith(table.path)


async def find(
    url: str, tables: Sequence[EngineTable], get: Get, limits: PageLimits | None = None
) -> tuple[str, Fetched]:
    """Return where a server has its page, and the page. Raises SourceError of the usual path.

    First the paths of engines that must not be asked on the usual one; then the server is asked whose
    models it has; then the usual path, and where that is not there the paths of the other engines.
    """
    usual = with_path(url, USUAL_PATH)
    touchy = [table for table in tables if table.destructive_path]
    for path in dict.fromkeys(table.path for table in touchy):
        found = await _page(beside(usual, USUAL_PATH, path), tables, get, limits)
        if found is not None:
            return found
    await _refuse_owner(beside(usual, USUAL_PATH, MODELS_PATH), touchy, get)
    try:
        return usual, await get(usual)
    except SourceError as error:
        if error.reason is not Reason.UNSUPPORTED or urlsplit(url).path not in ("", "/"):
            raise
        known = {USUAL_PATH, *(table.path for table in touchy)}
        for path in dict.fromkeys(table.path for table in tables if table.path and table.path not in known):
            found = await _page(with_path(url, path), tables, get, limits)
            if found is not None:
                return found
        raise


async def _page(
    url: str, tables: Sequence[EngineTable], get: Get, limits: PageLimits | None
) -> tuple[str, Fetched] | None:
    """Return the page at an address when it is one of an engine; None when there is nothing of the kind."""
    try:
        fetched = await get(url)
        if fetched.body.strip():
            table = identify(tables, sample_names(fetched.body, limits))
        else:
            table = of_empty_page(tables, urlsplit(url).path)
    except SourceError as error:
        if error.reason in NOT_THERE:
            return None
        raise
    return None if table is None else (url, fetched)


async def _refuse_owner(url: str, touchy: Sequence[EngineTable], get: Get) -> None:
    """Refuse a server that names such an engine as the owner of its models: its page is switched off."""
    try:
        owners = json_page.values_at(json_page.parse((await get(url)).body), ("data", "owned_by"))
    except SourceError as error:
        if error.reason in NOT_THERE:
            return
        raise
    for table in touchy:
        if table.owner and table.owner in owners:
            text = f"{url} tells of {table.engine}, whose {table.path} is not there; {table.remedy}"
            raise SourceError(Reason.UNSUPPORTED, text)
