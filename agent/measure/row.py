"""One sample of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Row(NamedTuple):
    """One sample: metric name without prefix, label values in catalogue order, value."""

    metric: str
    labels: tuple[str, ...]
    value: float
    part: str = ""
    """Of a histogram: _bucket (its bound follows the labels), _sum or _count."""


def known(metric: str, labels: tuple[str, ...], value: float | None) -> Iterator[Row]:
    """Yield a row, or nothing for what is unknown."""
    if value is not None:
        yield Row(metric, labels, value)
