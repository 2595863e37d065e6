"""The links of one GPU to the CPU of its superchip (C2C), folded: which are up, how fast, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.fields import Field
from agent.collectors._nvml.group import FATAL, check
from agent.collectors._nvml.library import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.collectors._nvml.library import Library

    Answer = tuple[str, Any, Any]

MOST_LINKS = 32
"""A driver that says more is not believed; there are 10 between a Grace and each of its Blackwells."""
COUNT, STATUS, SPEED, POWER_STATE = 170, 171, 172, 234
ACTIVE = 1
LOW_POWER = 1
MEGA = 1e6
STATES = ("active", "low_power", "inactive")
ERRORS = {"interrupt": 231, "replay": 232, "replay_b2b": 233}
"""By kind: a replay is a packet that was sent again, replay_b2b one right after another."""


class C2cLinks:
    """What these links are asked, and what they last said; used in sampler threads only."""

    def __init__(self, nvml: Library) -> None:
        self._nvml = nvml
        self.settled = False
        """It is known what the links can be asked; until then each call finds out a little more."""
        self.refused = 0
        """Why they are not asked, as NVML's code."""
        self._links = 0
        self._batch: Batch | None = None
        self._counts: dict[str, dict[int, float]] = {}

    def ask(self, handle: Any) -> Iterable[Answer]:
        """Ask every link and fold what they say; nothing until it is known what they can be asked."""
        try:
            if not self.settled:
                self._settle(handle)
                return ()
            if self._batch is None:
                return ()
            answers, codes = self._batch.ask()
        except Refusal as refusal:
            if refusal.code in FATAL:
                raise
            self.settled, self.refused = True, refusal.code
            return ()
        check(codes)
        told = {(f.number, f.scope): value for f, value in zip(self._batch.fields, answers, strict=True)}
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

    def _settle(self, handle: Any) -> None:
        """Take one step, one driver call: a GPU whose driver is slow must not pass for one that hangs."""
        if not self._links:
            (count,), (code,) = Batch(self._nvml, handle, (Field("c2c_links", None, COUNT, 0, 1),)).ask()
            check((code,))
            if count is not None and 0 < count <= MOST_LINKS:
                self._links = int(count)
            else:
                self.settled, self.refused = True, code or Code.NOT_SUPPORTED
            return
        kept, _ = Batch(self._nvml, handle, _of_link(0)).probe()
        known = {field.number for field in kept}
        every = [field for link in range(self._links) for field in _of_link(link) if field.number in known]
        self._batch = Batch(self._nvml, handle, every) if every else None
        self.settled, self.refused = True, 0 if every else Code.NOT_SUPPORTED


def _of_link(link: int) -> Sequence[Field]:
    return (
        Field("c2c_links", None, STATUS, link, 1),
        Field("c2c_links", "power", POWER_STATE, link, 1),
        Field("c2c_slowest_bytes_per_second", None, SPEED, link, 1 / MEGA),
        *(Field("c2c_errors", kind, number, link, 1) for kind, number in ERRORS.items()),
    )
