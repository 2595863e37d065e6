"""What counts, and what each deployment gives, as rows of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.row import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.measure.snapshot import EngineFigures


def counted_rows(engines: Iterable[EngineFigures]) -> Iterator[Row]:
    """Yield of each kind that an instance shows whether it enters other figures."""
    for engine in engines:
        who = (engine.engine, engine.instance, engine.model)
        for kind in engine.live:
            yield Row("engine_counted", (*who, kind), kind in engine.counted)
