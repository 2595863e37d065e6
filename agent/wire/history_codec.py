"""The last quarter of an hour of a rack as JSON: what `/api/v1/history` and the event stream give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from agent.measure.history import History


def to_json(history: History) -> bytes:
    """Encode the columns. What is unknown is null, never 0."""
    return orjson.dumps(history.plain())
