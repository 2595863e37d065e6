"""One sample of the catalogue."""

from __future__ import annotations

from typing import NamedTuple


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
