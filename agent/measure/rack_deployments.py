"""Each deployment over all members of a rack: sums of its tokens, and over its own joules (T5, T10, T13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.efficiency import tokens_per_joule
from agent.measure.limiter import NodeLimit, over_nodes
from agent.measure.rack_member import PartSums
from agent.measure.rack_snapshot import DeploymentFigures
from agent.measure.validity import LEAST_COVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.measure.engine import TokenKind
    from agent.measure.rack_member import MemberSums, RackMember
    from agent.measure.totals import DeploymentTotals, NodeTotals
    from agent.measure.validity import Invalid

Group = tuple[str, str]
"""Deployment and model."""


@dataclass(slots=True)
class _Sum:
    """One deployment, added up."""

    gpus: int = 0
    nodes: int = 0
    rates: dict[TokenKind, float] = field(default_factory=dict)
    watts: dict[str, float] = field(default_factory=dict)
    requests: list[float | None] = field(default_factory=lambda: [None, None])
    """Running and waiting."""
    parts: list[MemberSums | PartSums] = field(default_factory=list)
    """Over the window of the ratios, a member each."""
    reasons: set[Invalid] = field(default_factory=set)
    limits: list[NodeLimit] = field(default_factory=list)

    def figures(self, group: Group) -> DeploymentFigures:
        """Return what outputs may see."""
        return DeploymentFigures(
            *group,
            gpus=self.gpus,
            nodes=self.nodes,
            tokens_per_second=self.rates,
            tokens_per_joule={} if self.reasons else self._ratios(),
            power_watts=self.watts,
            running=self.requests[0],
            waiting=self.requests[1],
            reasons=frozenset(self.reasons),
            limiter=over_nodes(self.limits),
        )

    def _ratios(self) -> dict[tuple[TokenKind, str], float]:
        found = {}
        for kind in {kind for part in self.parts for kind in part.tokens}:
            for boundary in {boundary for part in self.parts for boundary in part.joules}:
                both = [part for part in self.parts if boundary in part.joules and part.whole(kind)]
                tokens = sum(part.tokens.get(kind, 0.0) for part in both)
                ratio = tokens_per_joule(tokens, sum(part.joules[boundary] for part in both))
                if ratio is not None and len(both) >= LEAST_COVERAGE * len(self.parts):
                    found[kind, boundary] = ratio
        return found


def deployments_of(
    members: Iterable[RackMember],
    rates: dict[str, MemberSums],
    ratios: dict[str, MemberSums],
    seconds: float,
) -> tuple[DeploymentFigures, ...]:
    """Return every deployment by name; members must be those in duty."""
    found: dict[Group, _Sum] = {}
    for member in members:
        totals = member.totals
        if totals is None or member.url not in rates:
            continue
        for place, told in enumerate(totals.deployments):
            added = found.setdefault((told.deployment, told.model), _Sum())
            sums = ratios[member.url]
            added.parts.append(PartSums(away=True) if place in sums.young else _part(told, place, sums))
            added.reasons |= told.reasons
            if member.up:
                _add_now(added, totals, told, place)
                for kind, tokens in _part(told, place, rates[member.url]).tokens.items():
                    added.rates[kind] = added.rates.get(kind, 0.0) + tokens / seconds
    return tuple(sums.figures(group) for group, sums in sorted(found.items()))


def _part(told: DeploymentTotals, place: int, sums: MemberSums) -> MemberSums | PartSums:
    return sums if told.whole else sums.parts.get(place) or PartSums(away=True)


def _add_now(added: _Sum, totals: NodeTotals, told: DeploymentTotals, place: int) -> None:
    """Add what a member tells of now."""
    added.gpus += told.gpus
    added.nodes += 1
    if told.limiter is not None:
        added.limits.append(NodeLimit(totals.node.name, told.limiter))
    for at in totals.boundaries if told.whole else told.energies:
        if at.power_watts is not None:
            added.watts[at.boundary] = added.watts.get(at.boundary, 0.0) + at.power_watts
    for engine in totals.engines:
        if engine.deployment == place:
            for number, requests in enumerate((engine.running, engine.waiting)):
                if requests is not None:
                    added.requests[number] = (added.requests[number] or 0.0) + requests
