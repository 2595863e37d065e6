"""What changed in a rack, when: who came and went, and the GPUs of the member that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.signs import GpuSigns, NodeSigns
from agent.diagnose.timeline import Event, timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from agent.diagnose.rack_signs import MemberSigns, PeerGpuSigns, RackSigns

MOST_NAMED = 3
"""More members than these that change at once are counted."""


def rack_timeline(moments: Sequence[RackSigns], node: str) -> tuple[Event, ...]:
    """Return all that changed, in order; of other members only whether they report."""
    own = timeline(
        _as_node(signs, member)
        for signs in moments
        for member in signs.members
        if member.node == node and member.up
    )
    return tuple(sorted((*own, *_comings(moments, node)), key=lambda each: each.unix_seconds))


def _as_node(signs: RackSigns, member: MemberSigns) -> NodeSigns:
    gpus = tuple(_as_node_gpu(gpu) for gpu in member.gpus)
    return NodeSigns(signs.at, member.node, member.drained, (), gpus)


def _as_node_gpu(gpu: PeerGpuSigns) -> GpuSigns:
    return GpuSigns(
        gpu.gpu,
        "ok" if gpu.up else "not up",
        power_watts=gpu.power_watts,
        limit_watts=gpu.power_limit_watts,
        clock_hertz=gpu.clock_hertz,
        temperature_celsius=gpu.temperature_celsius,
    )


def _comings(moments: Iterable[RackSigns], node: str) -> Iterator[Event]:
    before: Mapping[str, MemberSigns] = {}
    for signs in moments:
        now = {each.node: each for each in signs.members}
        known = [(before[name], each) for name, each in now.items() if name in before]
        own = [pair for pair in known if pair[1].node == node]
        others = [pair for pair in known if pair[1].node != node]
        for text in (*_of_one(own), *_of_others(others)):
            yield Event(signs.at.unix_seconds, text)
        before = now


def _of_one(pairs: Iterable[tuple[MemberSigns, MemberSigns]]) -> Iterator[str]:
    for was, now in pairs:
        if now.up != was.up:
            yield f"{now.node} " + (
                "reports again" if now.up else f"does not report: {now.why or 'no answer'}"
            )
        if now.troubled and not was.troubled:
            yield f"{now.node} tells of an incident of its own"
        if now.up and was.up and now.models != was.models:
            serves, served = (", ".join(each.models) or "nothing" for each in (now, was))
            yield f"{now.node} serves {serves}, before {served}"


def _of_others(pairs: Sequence[tuple[MemberSigns, MemberSigns]]) -> Iterator[str]:
    gone = [now.node for was, now in pairs if was.up and not now.up]
    back = [now.node for was, now in pairs if now.up and not was.up]
    for names, one, several in (
        (gone, "does not report", "do not report"),
        (back, "reports again", "report again"),
    ):
        if len(names) > MOST_NAMED:
            yield f"{len(names)} other members {several}"
        elif names:
            yield f"{', '.join(names)} {one if len(names) == 1 else several}"
