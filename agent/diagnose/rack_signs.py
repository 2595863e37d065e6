"""What one moment of a rack says of its members: all that is judged of them, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.engine import TokenKind
from agent.measure.incident import Kind
from agent.measure.meter import GPU, MODULE, NODE, RACK

if TYPE_CHECKING:
    from agent.measure.incident import Incident
    from agent.measure.rack_snapshot import MemberFigures, RackSnapshot
    from agent.measure.reading import Moment


@dataclass(frozen=True, slots=True)
class PeerGpuSigns:
    """One GPU of a member; None is unknown."""

    gpu: int
    up: bool
    power_watts: float | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None
    clock_hertz: float | None = None
    nvlinks: int | None = None
    """That are active."""
    nvlink_bytes_per_second: float | None = None
    """Of the slowest of them, in one direction."""


@dataclass(frozen=True, slots=True)
class MemberSigns:
    """One member; None is unknown."""

    node: str
    up: bool
    drained: bool = False
    why: str = ""
    """Why it does not report."""
    troubled: bool = False
    """It tells of something wrong with itself: that it is behind needs no other reason."""
    models: tuple[str, ...] = ()
    rate: float | None = None
    """Output tokens per second."""
    ratio: float | None = None
    """Output tokens per joule of its GPUs."""
    in_flight: float | None = None
    """Requests in work or waiting."""
    gpus: tuple[PeerGpuSigns, ...] = ()
    prompts: float | None = None
    """Prompt tokens that it computes for each output token: those from the cache cost nothing."""
    power_watts: float | None = None
    """At the outermost boundary that it tells …"""
    power_boundary: str = ""
    """… which is this one."""
    controller_watts: float | None = None
    """By its management controller, which the rack's daemon reads: also while it does not report."""
    waiting: float | None = None
    """Requests that wait, as far as it is told."""
    engines: int | None = None
    """Engine instances; each counts whole requests."""
    dropped_since: float | None = None
    """Unix seconds, since when it tells of tokens that it misses itself."""


@dataclass(frozen=True, slots=True)
class RackSigns:
    """The rack at one moment."""

    at: Moment
    rack: str
    members: tuple[MemberSigns, ...]
    power_watts: float | None = None
    """By the rack's own meter."""


def rack_signs_of(rack: RackSnapshot) -> RackSigns:
    """Read the signs out of a rack."""
    return RackSigns(
        rack.at, rack.rack, tuple(_member(each) for each in rack.members), rack.power_watts.get(RACK)
    )


def _member(member: MemberFigures) -> MemberSigns:
    boundary = next((name for name in (NODE, MODULE, GPU) if name in member.power_watts), "")
    return MemberSigns(
        member.node,
        member.up,
        member.drained,
        member.why,
        any(each.ended is None and each.kind is not Kind.FAULT for each in member.incidents),
        member.models,
        member.tokens_per_second.get(TokenKind.OUTPUT),
        member.tokens_per_joule.get((TokenKind.OUTPUT, "gpu")),
        member.in_flight,
        tuple(
            PeerGpuSigns(
                gpu.gpu,
                gpu.up,
                gpu.power_watts,
                gpu.power_limit_watts,
                gpu.temperature_celsius,
                gpu.clock_hertz,
                gpu.nvlinks_active,
                gpu.nvlink_slowest_bytes_per_second,
            )
            for gpu in member.gpus
        ),
        _prompts(member),
        member.power_watts.get(boundary),
        boundary,
        member.read_here_watts,
        member.waiting,
        member.engines,
        min((each.started for each in member.incidents if _is_drop(each)), default=None),
    )


def _is_drop(incident: Incident) -> bool:
    return incident.ended is None and incident.kind in {Kind.DROP, Kind.STALL}


def _prompts(member: MemberFigures) -> float | None:
    output, prompt = (member.tokens_per_second.get(kind) for kind in (TokenKind.OUTPUT, TokenKind.PROMPT))
    if not output or prompt is None:
        return None
    return max(0.0, prompt - member.tokens_per_second.get(TokenKind.PROMPT_CACHED, 0.0)) / output
