"""A rack at one moment, made by hand: members of known figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed, told_by_members
from agent.diagnose.rack_signs import rack_signs_of
from agent.measure.engine import TokenKind
from agent.measure.rack_snapshot import MemberFigures, MemberGpu, RackSnapshot
from agent.measure.reading import Moment

if TYPE_CHECKING:
    from agent.measure.incident import Incident

GPU = MemberGpu(
    0,
    "GPU-0",
    up=True,
    power_limit_watts=1400.0,
    temperature_celsius=60.0,
    clock_hertz=2.07e9,
    nvlinks_active=18,
    nvlink_slowest_bytes_per_second=53.125e9,
)


def member(number: int, rate: float = 1000.0, **changes: Any) -> MemberFigures:
    """One that serves with as much to do as the others."""
    told = MemberFigures(
        node=f"tray-{number:02d}",
        url=f"http://tray-{number:02d}:9744",
        up=True,
        models=("llama",),
        tokens_per_second={TokenKind.OUTPUT: rate},
        gpus=(GPU,),
        in_flight=100.0,
    )
    return replace(told, **changes)


def away(number: int) -> MemberFigures:
    """One that does not answer."""
    return member(number, up=False, why="timed_out: no answer", tokens_per_second={}, in_flight=None)


def rack(second: int, *members: MemberFigures, **changes: Any) -> RackSnapshot:
    """The rack of these members."""
    told = _rack(second, members)
    return replace(told, **changes)


def _rack(second: int, members: tuple[MemberFigures, ...]) -> RackSnapshot:
    return RackSnapshot(
        sequence=second,
        at=Moment(5000.0 + second, 1_760_000_000.0 + second),
        rack="r12",
        of_one=False,
        window_seconds=10.0,
        tokens_per_second={},
        tokens_total={},
        backfilled_tokens_total={},
        power_watts={},
        power_sources={},
        energy_joules_total={},
        tokens_per_joule={},
        coverage=1.0,
        validity=(),
        nodes_expected=len(members),
        nodes_reporting=len(members),
        missing=(),
        drained=(),
        gpus_expected=0,
        gpus_reporting=0,
        models=(),
        members=members,
    )


def lived(
    *stretches: tuple[int, tuple[MemberFigures, ...]], memory: RackMemory | None = None, second: int = 0
) -> tuple[Incident, ...]:
    """Incidents after so many seconds with each set of members."""
    memory = memory or RackMemory()
    for seconds, members in stretches:
        for _ in range(seconds):
            second += 1
            seen = rack(second, *members)
            memory = rack_diagnosed(memory, rack_signs_of(seen), told_by_members(seen))
    return memory.incidents
