"""What engines tell on JSON pages beside their series: unfinished tokens, the model's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.reading import Reason, SourceError
from agent.wire import json_page
from agent.wire.text import printable

if TYPE_CHECKING:
    from agent.measure.engine_table import LiveSubstitute


def pending_tokens(body: bytes, substitute: LiveSubstitute, url: str) -> float:
    """Return the output tokens of the requests that have not ended."""
    try:
        items = json_page.parse(body)
        if not isinstance(items, list):
            raise SourceError(Reason.MALFORMED, "not a list")
        busy = [item for item in items if True in json_page.values_at(item, substitute.busy)]
        counts = json_page.values_at(busy, substitute.count)
        return sum((json_page.count(tokens) for tokens in counts), 0.0)
    except SourceError as error:
        raise SourceError(error.reason, f"{url}: {error.detail}") from error


def first_model(body: bytes, keys: tuple[str, ...], url: str) -> str:
    """Return the first name on a page that names models."""
    try:
        names = json_page.values_at(json_page.parse(body), keys)
    except SourceError as error:
        raise SourceError(error.reason, f"{url}: {error.detail}") from error
    if not names or not isinstance(names[0], str) or not names[0]:
        raise SourceError(Reason.MALFORMED, f"{url}: names no model")
    return printable(names[0])
