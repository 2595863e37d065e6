"""What a server told as JSON, read without trust: anything may come, and nonsense is unknown."""

from __future__ import annotations

import math
from typing import Any

from agent.wire.text import words

NAME_CHARACTERS = 128  # of a node, model, boundary or reason
SENTENCE_CHARACTERS = 240  # of a why, a title or a caveat
MAX_BOUNDARIES = 8  # there are five; more would push everything else off the screen
MAX_PHRASES = 16  # reasons, flags, caveats and models in one place


def number(value: Any) -> float | None:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def count(value: Any) -> int:
    """Return how many; of what is no number, none."""
    told = number(value)
    return 0 if told is None else int(told)


def mapping(value: Any) -> dict[str, Any]:
    """Return an object."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """Return a list."""
    return value if isinstance(value, list) else []


def mappings(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    return [item for item in items(value) if isinstance(item, dict)]


def by_name(value: Any) -> dict[str, float]:
    """Return numbers by the name of what they are of, as many as there are boundaries."""
    told = list(mapping(value).items())[:MAX_BOUNDARIES]
    return {name(key): amount for key, each in told if (amount := number(each)) is not None}


def names(value: Any, most: int | None = MAX_PHRASES) -> tuple[str, ...]:
    """Return a list of names."""
    return tuple(name(item) for item in items(value)[:most])


def name(value: Any) -> str:
    """Return a name that can be printed."""
    return words(value, NAME_CHARACTERS) if isinstance(value, str) else ""


def sentence(value: Any) -> str:
    """Return a sentence that can be printed."""
    return words(value, SENTENCE_CHARACTERS) if isinstance(value, str) else ""
