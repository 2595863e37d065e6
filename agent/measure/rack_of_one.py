"""A node without members as a rack of one: the same figures in the same form, from its own snapshot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.measure.attribution import Group
from agent.measure.engine import TokenKind
from agent.measure.node_figures import EFFICIENCY as NODE_EFFICIENCY
from agent.measure.node_figures import RATE as NODE_RATE
from agent.measure.node_ladder import REMAINDER as NODE_REMAINDER
from agent.measure.rack_site import Beside, live_costs
from agent.measure.rack_snapshot import EFFICIENCY, RATE, REMAINDER, MemberFigures, RackSnapshot
from agent.measure.rack_view import record_of
from agent.measure.totals import gpu_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.node_meters import RackMeter
    from agent.measure.rack import RackPlan
    from agent.measure.rack_snapshot import DeploymentFigures, ModelFigures
    from agent.measure.reading import Moment
    from agent.measure.snapshot import Snapshot
    from agent.measure.validity import Validity

DEFAULT_WINDOW_SECONDS = 10.0
CARBON = "carbon"
"""The collector that tells what electricity emits."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a rack of one has for its history: the same as its snapshot says, for a tenth of the work."""

    at: Moment
    tokens_per_second: Mapping[TokenKind, float]
    power_watts: Mapping[str, float]
    tokens_per_joule: Mapping[tuple[TokenKind, str], float]
    coverage: float | None
    valid: bool


def point_of(snapshot: Snapshot) -> Point:
    """Return this node's point of the history; the whole rack of one is made when somebody looks."""
    rate = next((standing for standing in snapshot.validity if standing.figure == NODE_RATE), None)
    return Point(
        at=snapshot.at,
        tokens_per_second=snapshot.tokens_per_second,
        power_watts=_power_watts(snapshot),
        tokens_per_joule=snapshot.tokens_per_joule,
        coverage=_coverage(rate) if snapshot.drained is None else None,
        valid=rate is None or rate.valid,
    )


def rack_of_one(snapshot: Snapshot, plan: RackPlan) -> RackSnapshot:
    """Return the rack that this node is by itself, with what it costs and emits now."""
    ladder = replace(
        _rack_of_one(snapshot, plan),
        remainders=tuple(replace(each, standing=_of_rack(each.standing)) for each in snapshot.remainders),
        power_coverage={at.boundary: float(not at.reasons) for at in snapshot.boundaries},
        crosschecks=snapshot.crosschecks,
    )
    beside = beside_of(snapshot, None)
    return replace(ladder, site=live_costs(ladder, plan.pricing, beside))


def beside_of(snapshot: Snapshot, meter: RackMeter | None) -> Beside:
    """Return what this node reads that is its rack's: a meter, and what electricity emits, or why not."""
    told = snapshot.carbon
    if told is not None:
        return Beside(meter, told.grams_per_kwh, grams_source=told.source)
    failed = (each for each in snapshot.outcomes if each.source == CARBON and not each.ok)
    return Beside(meter, None, next((each.detail or str(each.reason) for each in failed), ""))


def _rack_of_one(snapshot: Snapshot, plan: RackPlan) -> RackSnapshot:
    validity = tuple(_of_rack(standing) for standing in snapshot.validity)
    rate = next((standing for standing in validity if standing.figure == RATE), None)
    in_duty = snapshot.drained is None
    member = _member(snapshot, rate)
    totals = _totals(snapshot)
    output = snapshot.tokens_per_second.get(TokenKind.OUTPUT) if rate is not None and rate.valid else None
    return RackSnapshot(
        sequence=snapshot.sequence,
        at=snapshot.at,
        rack=plan.name or snapshot.node.rack,
        of_one=True,
        window_seconds=DEFAULT_WINDOW_SECONDS if rate is None else rate.window_seconds,
        tokens_per_second=snapshot.tokens_per_second,
        tokens_total=totals,
        backfilled_tokens_total={},
        power_watts=member.power_watts,
        power_sources={at.boundary: at.source for at in snapshot.boundaries},
        energy_joules_total={
            at.boundary: at.energy_joules_total
            for at in snapshot.boundaries
            if at.energy_joules_total is not None
        },
        tokens_per_joule=snapshot.tokens_per_joule,
        coverage=member.coverage if in_duty else None,
        validity=validity,
        nodes_expected=1 if in_duty else 0,
        nodes_reporting=1 if in_duty else 0,
        missing=(),
        drained=() if in_duty else (snapshot.node.name,),
        gpus_expected=len(snapshot.gpus) + snapshot.gpus_absent if in_duty else 0,
        gpus_reporting=sum(gpu.up for gpu in member.gpus) if in_duty else 0,
        models=models_of(snapshot),
        deployments=deployments_of(snapshot),
        members=(member,),
        incidents=snapshot.incidents,
        record=record_of(plan.record, snapshot.models, output),
    )


def models_of(snapshot: Snapshot) -> tuple[ModelFigures, ...]:
    """Return every model of a node, with how well it is served."""
    served = {each.model: each for each in snapshot.services}
    return tuple(replace(model, service=served.get(model.model)) for model in snapshot.models)


def deployments_of(snapshot: Snapshot) -> tuple[DeploymentFigures, ...]:
    """Return every deployment that a node serves now, how well, and what bounds it."""
    served, limiters = snapshot.deployment_services, snapshot.limiters
    groups = [(Group(each.deployment, each.model), each) for each in snapshot.deployments if each.nodes]
    return tuple(
        replace(each, service=served.get(group), limiter=limiters.get(group)) for group, each in groups
    )


def _member(snapshot: Snapshot, rate: Validity | None) -> MemberFigures:
    return MemberFigures(
        node=snapshot.node.name,
        url="",
        up=True,
        drained=snapshot.drained is not None,
        why=snapshot.drained or "",
        age_seconds=0.0,
        coverage=_coverage(rate),
        state=snapshot.activity,
        models=tuple(model.model for model in snapshot.models if model.nodes),
        tokens_per_second=snapshot.tokens_per_second,
        power_watts=_power_watts(snapshot),
        tokens_per_joule=snapshot.tokens_per_joule,
        gpus=tuple(gpu_of(gpu) for gpu in snapshot.gpus),
        version=snapshot.version,
        tokens_total=_totals(snapshot),
        spans_nodes=snapshot.spans_nodes,
        incidents=snapshot.incidents,
    )


def _coverage(rate: Validity | None) -> float:
    return float(rate is not None and rate.valid)


def _power_watts(snapshot: Snapshot) -> Mapping[str, float]:
    return {at.boundary: at.power_watts for at in snapshot.boundaries if at.power_watts is not None}


def _totals(snapshot: Snapshot) -> Mapping[TokenKind, float]:
    found: dict[TokenKind, float] = {}
    for model in snapshot.models:
        for kind, total in model.tokens_total.items():
            found[kind] = found.get(kind, 0.0) + total
    return found


def _of_rack(standing: Validity) -> Validity:
    """Give a node's figure the name it has for the rack."""
    if standing.figure == NODE_RATE:
        return replace(standing, figure=RATE)
    name = standing.figure.replace(NODE_EFFICIENCY, EFFICIENCY, 1).replace(NODE_REMAINDER, REMAINDER, 1)
    return replace(standing, figure=name)
