"""Reads JSON answers: no exception but SourceError, whatever the bytes."""

from __future__ import annotations

from typing import Any

import orjson

from agent.measure.reading import Reason, SourceError

MAX_COUNT = 2**53  # beyond it a float skips numbers


def parse(body: bytes) -> Any:
    """Return the parsed document."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise SourceError(Reason.MALFORMED, f"not JSON: {error}") from error


def values_at(document: Any, keys: tuple[str, ...]) -> list[Any]:
    """Return what lies under the keys, one after the other; a list on the way stands for all its items."""
    found = _items(document)
    for key in keys:
        found = [
            leaf for node in found if isinstance(node, dict) and key in node for leaf in _items(node[key])
        ]
    return found


def count(value: Any) -> float:
    """Return a number of things: whole, not negative, and no larger than can be told apart."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise SourceError(Reason.MALFORMED, f"expected a count, found {_shown(value)}")
    return float(value)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, dict | list) else ascii(str(value)[:40])
