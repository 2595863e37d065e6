"""The links of one GPU to the CPU of its superchip (C2C), folded: which are up, how fast, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.fields import Field
from agent.collectors._nvml.links import Links

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer

COUNT, STATUS, SPEED, POWER_STATE = 170, 171, 172, 234
ACTIVE = 1
LOW_POWER = 1
MEGA = 1e6
STATES = ("active", "low_power", "inactive")
ERRORS = {"interrupt": 231, "replay": 232, "replay_b2b": 233}
"""By kind: a replay is a packet that was sent again, replay_b2b one right after another."""


class C2cLinks(Links):
    """What these links are asked, and what they last said; used in sampler threads only."""

    most_links = 32  # there are 10 between a Grace and each of its Blackwells
    count = Field("c2c_links", None, COUNT, 0, 1)

    def __init__(self, nvml: Library) -> None:
        super().__init__(nvml)
        self._counts: dict[str, dict[int, float]] = {}

    def _folded(self, answered: Iterable[tuple[Field, float | None]]) -> Iterable[Answer]:
        told = {(field.number, field.scope): value for field, value in answered}
        return (*self._states(told), *self._errors(told))

    def _states(self, told: dict[tuple[int, int], float | None]) -> Iterable[Answer]:
        states = dict.fromkeys(STATES, 0)
        speeds = []
        for link in range(self._links):
            status, speed = told.get((STATUS, link)), told.get((SPEED, link))
            if status is None:
                continue
            asleep = told.get((POWER_STATE, link)) == LOW_POWER
            states["inactive" if status != ACTIVE else "low_power" if asleep else "active"] += 1
            speeds += [speed] if speed and status == ACTIVE else []
        if any(states.values()):
            yield from (("c2c_links", state, count) for state, count in states.items())
        yield ("c2c_slowest_bytes_per_second", None, min(speeds, default=None))

    def _errors(self, told: dict[tuple[int, int], float | None]) -> Iterable[Answer]:
        """Add the errors of all links; one that falls silent takes nothing from the sum."""
        for kind, number in ERRORS.items():
            counts = self._counts.setdefault(kind, {})
            counts |= {
                link: value for link in range(self._links) if (value := told.get((number, link))) is not None
            }
            if counts:
                yield ("c2c_errors", kind, sum(counts.values()))

    def _probe(self, handle: Any) -> None:
        kept, _ = Batch(self._nvml, handle, self._of_link(0)).probe()
        self._take(handle, kept)

    def _of_link(self, link: int) -> Sequence[Field]:
        return (
            Field("c2c_links", None, STATUS, link, 1),
            Field("c2c_links", "power", POWER_STATE, link, 1),
            Field("c2c_slowest_bytes_per_second", None, SPEED, link, 1 / MEGA),
            *(Field("c2c_errors", kind, number, link, 1) for kind, number in ERRORS.items()),
        )
