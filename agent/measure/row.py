"""One sample of the catalogue."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

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


def kept(make: Callable[..., Iterable[Row]]) -> Callable[..., tuple[Row, ...]]:
    """Have a function give the rows again that it gave last of its first argument, while all else is equal.

    Most of a page stays as it is for seconds. Unlike lru_cache this takes mappings; nobody may change one
    that a snapshot holds.
    """
    known: dict[Hashable, tuple[tuple[object, ...], tuple[Row, ...]]] = {}

    @functools.wraps(make)
    def rows(who: Hashable, *told: object) -> tuple[Row, ...]:
        before = known.get(who)
        if before is None or before[0] != told:
            if len(known) >= KEPT:
                known.clear()
            known[who] = before = told, tuple(make(who, *told))
        return before[1]

    return rows


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
