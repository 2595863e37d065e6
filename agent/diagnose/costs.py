"""What a gap has cost, and whose part of that it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.measure.incident import Bounds

if TYPE_CHECKING:
    from agent.measure.incident import Incident


@dataclass(frozen=True, slots=True)
class Costs:
    """What was lost up to a moment; None is unknown."""

    tokens: float = 0.0
    joules: float | None = 0.0
    gpu_seconds: float | None = 0.0


def costs_of(incident: Incident) -> Costs:
    """Return what an incident says that it has cost."""
    return Costs(incident.lost_tokens, incident.lost_joules, incident.lost_gpu_seconds)


def grown(before: Costs, now: Costs) -> Costs:
    """Return what came between two moments: what was told too much before is nothing less now."""
    return Costs(
        max(0.0, now.tokens - before.tokens),
        _grown(before.joules, now.joules),
        _grown(before.gpu_seconds, now.gpu_seconds),
    )


def added(costs: Costs, more: Costs, share: float = 1.0) -> Costs:
    """Return both together, the second by a share of it."""
    return Costs(
        costs.tokens + share * more.tokens,
        _added(costs.joules, more.joules, share),
        _added(costs.gpu_seconds, more.gpu_seconds, share),
    )


def scaled(costs: Costs, part: float) -> Costs:
    """Return costs of which it turned out that fewer tokens were lost; the others were measured."""
    return Costs(costs.tokens * part, costs.joules, costs.gpu_seconds)


def costing(incident: Incident, costs: Costs) -> Incident:
    """Return an incident that has cost so much; how sure that is, is as before."""
    bounds, told = incident.lost_tokens_bounds, incident.lost_tokens
    part = costs.tokens / told if told > 0.0 else 1.0
    return replace(
        incident,
        lost_tokens=costs.tokens,
        lost_tokens_bounds=bounds and Bounds(bounds.lower * part, bounds.upper * part),
        lost_joules=costs.joules,
        lost_joules_bounds=None,
        lost_gpu_seconds=costs.gpu_seconds,
    )


def without(incident: Incident, less: Costs) -> Incident:
    """Return an incident without what others have cost."""
    if less == Costs():
        return incident
    return costing(incident, grown(less, costs_of(incident)))


def _grown(before: float | None, now: float | None) -> float | None:
    return None if now is None else max(0.0, now - (before or 0.0))


def _added(costs: float | None, more: float | None, share: float) -> float | None:
    return None if costs is None or more is None else costs + share * more
