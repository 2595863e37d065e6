"""When work goes on and nobody can see it: a telemetry gap is no drop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.diagnose.signs import are_idle
from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity

if TYPE_CHECKING:
    from agent.diagnose.signs import NodeSigns, UnitSigns

PATIENCE_SECONDS = 5.0
"""One or two readings that were missed are no gap."""
IDLE_PATIENCE_SECONDS = 10.0
"""While its GPUs do nothing, an engine that does not answer may be found to be down."""


@dataclass(frozen=True, slots=True)
class Blind:
    """Since when something cannot be read, and the incident of it."""

    since: float | None = None
    seen: bool = False
    """Whether everything could be read before: what was never seen is not missed."""
    incident: Incident | None = None
    unread: frozenset[str] = frozenset()
    """Engines that could not be read a moment ago: if gone since, missed until named down."""


def watched(
    blind: Blind, signs: NodeSigns, hidden: frozenset[str] = frozenset(), down: frozenset[str] = frozenset()
) -> tuple[Blind, Incident | None]:
    """Take one moment more; return the incident while it stands, and once more when it has ended.

    Nothing listens at the page of a `hidden` engine, which works all the same; engines that are told to be
    `down` are not missed here.
    """
    engines = [each for unit in signs.units for each in unit.engines if not each.up]
    missed = hidden | blind.unread
    unread = [e.instance for e in engines if (not e.gone or e.instance in missed) and e.instance not in down]
    dark = [gpu.gpu for gpu in signs.gpus if gpu.state == "unknown"]
    now = signs.at.monotonic_seconds
    if not unread and not dark:
        over = blind.incident and replace(blind.incident, ended=signs.at.unix_seconds)
        return Blind(seen=bool(signs.units) or blind.seen), over
    if not blind.seen:
        return blind, None
    since = now if blind.since is None else blind.since
    blind = replace(blind, since=since, unread=frozenset(unread))
    resting = not dark and all(are_idle(unit.gpus) for unit in signs.units if not _is_read(unit))
    if now - since < (IDLE_PATIENCE_SECONDS if resting else PATIENCE_SECONDS):
        return blind, None
    incident = _told(signs, blind, unread, dark, hidden)
    return replace(blind, incident=incident), incident


def _is_read(unit: UnitSigns) -> bool:
    return all(each.up for each in unit.engines)


def _why(name: str, hidden: bool) -> str:  # noqa: FBT001  # one of two
    if hidden:
        return f"nothing listens at the page of {name}, and its GPUs work as before: it serves, unseen"
    return f"the page of {name} cannot be read"


def _told(
    signs: NodeSigns, blind: Blind, unread: list[str], dark: list[int], hidden: frozenset[str]
) -> Incident:
    started = signs.at.unix_seconds - (signs.at.monotonic_seconds - (blind.since or 0.0))
    before = blind.incident
    engines = [
        Evidence("engine_up", signs.node, None, 1.0, 0.0, _why(name, name in hidden)) for name in unread
    ]
    gpus = [Evidence("gpu_up", signs.node, gpu, 1.0, None, f"GPU {gpu} is not told any more") for gpu in dark]
    what = " and ".join(
        filter(None, (f"engine {', '.join(unread)}" if unread else "", f"{len(dark)} GPUs" if dark else ""))
    )
    return Incident(
        id=f"{signs.node}/gap/{started:.0f}" if before is None else before.id,
        scope="node",
        kind=Kind.GAP,
        cause=Cause.TELEMETRY_GAP,
        severity=Severity.WARNING,
        node=signs.node,
        gpu=None,
        engine_instance=unread[0] if unread else "",
        model="",
        started=started,
        detected=signs.at.unix_seconds if before is None else before.detected,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=1.0,
        evidence=(*engines, *gpus)[:6],
        summary=f"{signs.node}: {what} cannot be read; what they do meanwhile is not known",
    )


def unseen(told: Incident, made_tokens: float, ended: float) -> Incident:
    """Return what an engine that was told to be down comes to be when it was there all the time."""
    what = f"engine {told.engine_instance} could not be read for {ended - told.started:.0f} s"
    text = f"{what}; its counter shows {made_tokens:.0f} tokens made meanwhile: it was there, nothing is lost"
    return replace(
        told,
        kind=Kind.GAP,
        cause=Cause.TELEMETRY_GAP,
        severity=Severity.WARNING,
        ended=ended,
        confidence=1.0,
        evidence=(Evidence("engine_tokens_total", told.node, None, None, made_tokens, text),),
        summary=f"{told.node}: {text}",
        lost_tokens=0.0,
        lost_joules=None,
        lost_cost=None,
        lost_tokens_bounds=None,
        lost_joules_bounds=None,
        lost_cost_bounds=None,
        lost_gpu_seconds=None,
    )
