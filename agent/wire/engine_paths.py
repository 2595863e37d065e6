"""Finds the page of a server that nobody has named, without asking for what asking destroys.

TensorRT-LLM's /metrics is not a page of series: it hands out each statistic once, to whoever asks first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.measure.reading import Reason, SourceError
from agent.wire import json_page
from agent.wire.address import beside, with_path
from agent.wire.engine_identity import identify
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
    paths = dict.fromkeys(table.path for table in touchy)
    pages = {path: await _page(beside(usual, USUAL_PATH, path), get) for path in paths}
    for found in pages.values():
        if found is not None and _is_known(found[1], tables, limits):
            return found
    owner = await owner_of(usual, touchy, get)
    if owner is None:
        return await _untouchy(url, tables, get, limits)
    found = pages[owner.path]
    if found is None or found[1].body.strip() or not owner.silent_when_fresh:
        text = f"{usual} is of {owner.engine}, whose {owner.path} is not there; {owner.remedy}"
        raise SourceError(Reason.UNSUPPORTED, text)
    return found


async def _untouchy(
    url: str, tables: Sequence[EngineTable], get: Get, limits: PageLimits | None
) -> tuple[str, Fetched]:
    """Ask on the usual path; where that is not there, on those of the other engines."""
    usual = with_path(url, USUAL_PATH)
    try:
        return usual, await get(usual)
    except SourceError as error:
        if error.reason is not Reason.UNSUPPORTED or urlsplit(url).path not in ("", "/"):
            raise
        others = {table.path for table in tables if not table.destructive_path} - {"", USUAL_PATH}
        for path in sorted(others):
            found = await _page(with_path(url, path), get)
            if found is not None and _is_known(found[1], tables, limits):
                return found
        raise


async def _page(url: str, get: Get) -> tuple[str, Fetched] | None:
    """Return what is at an address; None when there is nothing that could be a page."""
    try:
        return url, await get(url)
    except SourceError as error:
        if error.reason in NOT_THERE:
            return None
        raise


def _is_known(fetched: Fetched, tables: Sequence[EngineTable], limits: PageLimits | None) -> bool:
    """Tell whether the series of any engine are on a page."""
    try:
        return identify(tables, sample_names(fetched.body, limits)) is not None
    except SourceError:
        return False


async def owner_of(usual: str, touchy: Sequence[EngineTable], get: Get) -> EngineTable | None:
    """Return the engine that a server names as the owner of its models, if it is one of these.

    `usual` is the address of its usual page, which is not asked for.
    """
    found = await _page(beside(usual, USUAL_PATH, MODELS_PATH), get)
    try:
        models = json_page.parse(found[1].body) if found else None
    except SourceError:
        return None
    owners = json_page.values_at(models, ("data", "owned_by"))
    return next((table for table in touchy if table.owner and table.owner in owners), None)
