"""What is left to a host engine beside a source that is believed before it: nothing is measured twice.

By figure, as figures are filled: one that anybody had to fill, even in part, is measured whole. Power and
what is counted are never taken from two sources (T7), so they are left to the one that is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.dcgm_fields import FIELDS
from agent.measure.gpu import GpuState
from agent.measure.gpu_sources import DEFAULT, GAUGES, MAPPINGS

if TYPE_CHECKING:
    from collections.abc import Collection

    from agent.measure.snapshot import GpuFigures, Snapshot

NAME = "dcgm"
TOLD_SECONDS = 60.0
"""Every GPU is told by others for so long before we measure less; a source that comes and goes is none."""
SERVES = {"free_bytes": "memory_used_bytes"}
"""What is no figure itself, and which it is for."""
FILLING = tuple(
    (field.number, part, field.key)
    for field in FIELDS
    if (part := SERVES.get(field.part, field.part)) in {*GAUGES, *MAPPINGS}
)


class Share:
    """The fields that a host engine is to measure, from one collection to the next."""

    def __init__(self) -> None:
        self._left: frozenset[int] | None = None
        self._since_seconds: float | None = None
        self._missed: frozenset[int] = frozenset()
        """Left out once and then lacking: not left out again."""

    def judge(self, seen: Snapshot | None, uuids: Collection[str], seconds: float) -> frozenset[int] | None:
        """Return the fields that are left to us, None for all: less after a minute, more at once."""
        lacking = _lacking(seen, uuids)
        if lacking is None:
            self._left = self._since_seconds = None
        elif self._left is not None:
            if not lacking <= self._left:
                self._missed |= lacking - self._left
                self._left, self._since_seconds = None, seconds
        elif self._since_seconds is None:
            self._since_seconds = seconds
        elif seconds - self._since_seconds >= TOLD_SECONDS:
            self._left = lacking | self._missed
        return self._left


def _lacking(seen: Snapshot | None, uuids: Collection[str]) -> frozenset[int] | None:
    """Return the fields that others do not tell of all these GPUs; None when they do not tell of them all."""
    known = {} if seen is None else {gpu.uuid: gpu for gpu in seen.gpus if _is_told(gpu)}
    if not uuids or not known.keys() >= set(uuids):
        return None
    gpus = [known[uuid] for uuid in uuids]
    return frozenset(
        number for number, part, key in FILLING if not all(_tells(gpu, part, key) for gpu in gpus)
    )


def _is_told(gpu: GpuFigures) -> bool:
    """Whether a source that is believed before us tells that it is well."""
    return gpu.reading is not None and gpu.state is GpuState.OK and gpu.sources.get(DEFAULT, NAME) != NAME


def _tells(gpu: GpuFigures, part: str, key: str | None) -> bool:
    """Whether the one that is believed tells it, so that nobody had to fill it."""
    if part in gpu.sources:
        return False
    value = getattr(gpu.reading, part)
    return value is not None if key is None else key in value
