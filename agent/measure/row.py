"""One sample of the catalogue."""

from __future__ import annotations

import functools
from typing import NamedTuple

KEPT = 4096
"""Groups of rows that are kept: a node has some two hundred that stay as they are from page to page."""


class Row(NamedTuple):
    """One sample: metric name without prefix, label values in catalogue order, value."""

    metric: str
    labels: tuple[str, ...]
    value: float
    part: str = ""
    """Of a histogram: _bucket (its bound follows the labels), _sum or _count."""


def known(metric: str, labels: tuple[str, ...], value: float | None) -> tuple[Row, ...]:
    """Return a row, or nothing for what is unknown."""
    return () if value is None else (Row(metric, labels, value),)


@functools.lru_cache(KEPT)
def state_rows(metric: str, labels: tuple[str, ...], states: tuple[str, ...], now: str) -> tuple[Row, ...]:
    """Return a row for each state, 1 for the one that holds now."""
    return tuple([Row(metric, (*labels, state), state == now) for state in states])


@functools.lru_cache(KEPT)
def flag_rows(
    metric: str, labels: tuple[str, ...], names: tuple[str, ...], held: frozenset[str]
) -> tuple[Row, ...]:
    """Return a row for each name, 1 for those that hold."""
    return tuple([Row(metric, (*labels, name), name in held) for name in names])


@functools.lru_cache(KEPT)
def count_rows(
    metric: str, labels: tuple[str, ...], counts: tuple[tuple[str, float], ...]
) -> tuple[Row, ...]:
    """Return a row for each count by its name; meant for those that seldom change."""
    return tuple([Row(metric, (*labels, name), count) for name, count in counts])
