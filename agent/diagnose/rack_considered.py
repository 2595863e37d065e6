"""What else a member that is behind its like was looked at for, with the figures; and what nobody told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import middle
from agent.diagnose.considered import MHZ, Considered
from agent.diagnose.stragglers import LOAD_RATIO, likes_of
from agent.measure.incident import Cause
from agent.measure.median import median

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.diagnose.rack_signs import MemberSigns, PeerGpuSigns, RackSigns
    from agent.measure.incident import Incident

KILO, GIGA = 1e3, 1e9
AWAY = frozenset({Cause.TELEMETRY_GAP, Cause.NODE_DOWN})
"""Of a member that does not report."""
OF_GPUS = (
    ("power_limit_watts", "power limit"),
    ("clock_hertz", "clock"),
    ("temperature_celsius", "temperature"),
    ("power_watts", "power"),
)
NVLINKS = {"nvlinks": "number of active NVLinks", "nvlink_bytes_per_second": "speed of the slowest NVLink"}


def rack_considered(signs: RackSigns, told: Incident) -> tuple[Considered, ...]:
    """Return what the rack looked at when it told this, and what it saw."""
    if told.cause in AWAY:
        return (Considered(tuple(AWAY - {told.cause}), _reports(signs, _member(signs, told.node))),)
    like = likes_of(signs).get(told.node)
    member = _member(signs, told.node)
    if like is None or member is None:
        return ()
    others = [each for each in like.like if each.node != told.node]
    return tuple(each for each in _looks(member, others) if told.cause not in each.causes)


def rack_unknown(signs: RackSigns, told: Incident) -> Iterator[str]:
    """Yield what the judge would have liked to know of the member."""
    member = _member(signs, told.node)
    if told.cause in AWAY and signs.power_watts is None and _controlled(member) is None:
        yield "the rack's own meter: whether a member that does not report is down, or only not seen"
    if member is None or told.cause in AWAY:
        return
    up = [gpu for gpu in member.gpus if gpu.up]
    if not up:
        yield f"the GPUs of {told.node}: nothing is said of hardware"
    for name, what in OF_GPUS:
        numbers = [str(gpu.gpu) for gpu in up if getattr(gpu, name) is None]
        if numbers:
            yield f"the {what} of GPU {', '.join(numbers)}"
    if member.in_flight is None:
        yield "how many requests it has: its engines do not tell"


def _member(signs: RackSigns, node: str) -> MemberSigns | None:
    return next((each for each in signs.members if each.node == node), None)


def _controlled(member: MemberSigns | None) -> float | None:
    """Return what its controller shows."""
    return None if member is None else member.controller_watts


def _reports(signs: RackSigns, member: MemberSigns | None) -> str:
    expected = [each for each in signs.members if not each.drained]
    up = sum(each.up for each in expected)
    reports = f"{up} of {len(expected)} members report"
    watts = _controlled(member)
    if watts is not None:
        return f"{reports}, its controller shows {watts:,.0f} W"
    if signs.power_watts is None:
        return f"{reports}; without a meter of the rack none is seen to be down"
    return f"{reports}, the rack's own meter shows {signs.power_watts / KILO:.1f} kW"


def _looks(member: MemberSigns, others: Sequence[MemberSigns]) -> Iterator[Considered]:
    gpus = [gpu for gpu in member.gpus if gpu.up]
    peers = [gpu for each in others for gpu in each.gpus if gpu.up]
    yield Considered((Cause.POWER_CAP,), _compared(gpus, peers, "power_limit_watts", 1.0, "W"))
    yield Considered((Cause.CLOCKS_LOW,), _compared(gpus, peers, "clock_hertz", MHZ, "MHz"))
    yield Considered((Cause.THERMAL,), _compared(gpus, peers, "temperature_celsius", 1.0, "°C"))
    if any(gpu.nvlinks for gpu in peers):
        of_links = (
            _compared(gpus, peers, "nvlinks", 1.0, ""),
            _compared(gpus, peers, "nvlink_bytes_per_second", GIGA, "GB/s"),
        )
        yield Considered((Cause.NVLINK,), "; ".join(of_links))
    yield Considered((Cause.DEMAND,), _asked(member, others))


def _compared(
    gpus: Sequence[PeerGpuSigns], peers: Sequence[PeerGpuSigns], name: str, unit: float, sign: str
) -> str:
    what = (dict(OF_GPUS) | NVLINKS)[name]
    own = [value for gpu in gpus if (value := getattr(gpu, name)) is not None]
    usual = middle(getattr(gpu, name) for gpu in peers)
    if not own or usual is None:
        return f"the {what} of its GPUs, or of the others', is not known"
    worst, which = (max(own), "highest") if name == "temperature_celsius" else (min(own), "lowest")
    own_worst, theirs = (f"{value / unit:.0f} {sign}".rstrip() for value in (worst, usual))
    return f"the {which} {what} of its GPUs is {own_worst}, {theirs} is the median of the others"


def _asked(member: MemberSigns, others: Sequence[MemberSigns]) -> str:
    known = [each.in_flight for each in others if each.in_flight is not None]
    if member.in_flight is None or not known:
        return "how many requests it has, or the others have, is not known"
    usual = median(known)
    theirs = f"it has {member.in_flight:.0f} requests, {usual:.0f} is the median of the others"
    if member.in_flight < LOAD_RATIO * usual:
        return f"{theirs}: it is asked for less, and makes less of each"
    return f"{theirs}: it is not asked for less"
