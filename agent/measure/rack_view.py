"""A rack's figures, totals and members put together as the snapshot that every output sees."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.measure.efficiency import tokens_per_joule
from agent.measure.engine import TokenKind
from agent.measure.median import median
from agent.measure.rack_figures import MEMBERS_PER_STEP
from agent.measure.rack_outside import READ_HERE
from agent.measure.rack_snapshot import (
    RATE,
    MemberFigures,
    MemberGpu,
    ModelFigures,
    RackSnapshot,
    RecordFigures,
)
from agent.measure.snapshot import Activity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from agent.measure.rack import RackPlan
    from agent.measure.rack_figures import RackFigures
    from agent.measure.rack_ledger import RackLedger
    from agent.measure.rack_member import MemberSums, RackMember
    from agent.measure.reading import Moment
    from agent.measure.records import Record
    from agent.measure.totals import NodeTotals

MIXED = "mixed"
"""Members measure one boundary by different sources."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one member stands in the rack."""

    member: RackMember
    name: str
    drained: str | None
    same_as: str
    """Why it is not counted: another member is the same node; empty for one that is."""

    @property
    def reports(self) -> bool:
        """Whether it is in duty, counted and answers."""
        return self.member.up and self.drained is None and not self.same_as


def snapshot_in_steps(
    sequence: int,
    now: Moment,
    plan: RackPlan,
    own_rack: str,
    places: Sequence[Place],
    expected: int,
    figures: RackFigures,
    ledger: RackLedger,
) -> Generator[None, None, RackSnapshot]:
    """Return the rack at one moment; members must stand still between the steps."""
    duty = [place for place in places if place.drained is None and not place.same_as]
    members = yield from _with_ratios((yield from _members(places, now, figures, ledger)))
    return RackSnapshot(
        sequence=sequence,
        at=now,
        rack=plan.name or _told_rack(places) or own_rack,
        of_one=False,
        window_seconds=figures.window_seconds,
        tokens_per_second=figures.tokens_per_second,
        tokens_total=ledger.tokens(),
        backfilled_tokens_total=ledger.backfilled(),
        power_watts=_power(duty),
        power_sources=_sources(places),
        energy_joules_total=ledger.joules(),
        tokens_per_joule=figures.tokens_per_joule,
        coverage=figures.coverage,
        validity=figures.validity,
        nodes_expected=expected,
        nodes_reporting=sum(place.reports for place in duty),
        missing=tuple(place.name for place in duty if not place.member.up),
        drained=tuple(place.name for place in places if place.drained is not None),
        gpus_expected=_gpus_expected(plan, places),
        gpus_reporting=sum(gpu.up for place in duty if place.reports for gpu in _gpus(place)),
        models=(models := _models(places, figures, ledger)),
        members=members,
        window_end_monotonic_seconds=figures.window_end_seconds,
        deployments=figures.deployments,
        record=record_of(plan.record, models, _valid_rate(figures)),
    )


def record_of(
    record: Record | None, models: Sequence[ModelFigures], output_per_second: float | None
) -> RecordFigures | None:
    """Compare with a published record: only while its model, and nothing else, is served (T20)."""
    served = [model.model for model in models if model.nodes]
    if record is None or not served or not all(record.matches(model) for model in served):
        return None
    ratio = None if output_per_second is None else output_per_second / record.tokens_per_second
    return RecordFigures(
        name=record.name,
        title=record.title,
        tokens_per_second=record.tokens_per_second,
        ratio=ratio,
        caveats=record.caveats,
        source=record.source,
    )


def _valid_rate(figures: RackFigures) -> float | None:
    """Return the rate of output tokens; None while anything speaks against it: half a rack has no share."""
    valid = all(standing.valid for standing in figures.validity if standing.figure == RATE)
    return figures.tokens_per_second.get(TokenKind.OUTPUT) if valid else None


def _members(
    places: Sequence[Place], now: Moment, figures: RackFigures, ledger: RackLedger
) -> Generator[None, None, list[MemberFigures]]:
    by_node = ledger.tokens_by_node()
    names = Counter(place.member.name for place in places if not place.same_as)
    shown = []
    for number, place in enumerate(places):
        if number % MEMBERS_PER_STEP == 0:
            yield
        key, told = place.member.key, by_node
        if key is not None and names[key[0]] > 1:  # nodes that share a name share no total
            told = {key[0]: ledger.tokens_of(key)}
        shown.append(_member(place, now, figures, told))
    return shown


def _member(
    place: Place, now: Moment, figures: RackFigures, by_node: Mapping[str, Mapping[TokenKind, float]]
) -> MemberFigures:
    member = place.member
    totals = member.totals if member.up else None
    rates, ratios = figures.rates.get(member.url), figures.ratios.get(member.url)
    shown = totals is not None and rates is not None
    seen = member.seen_seconds
    return MemberFigures(
        node=place.name,
        url=member.url,
        up=member.up,
        drained=place.drained is not None,
        why=place.same_as or ("" if member.up else member.why) or place.drained or "",
        age_seconds=None if seen is None else max(0.0, now.monotonic_seconds - seen),
        coverage=rates.known_ratio if rates is not None else 0.0,
        state=Activity.UNKNOWN if totals is None else totals.activity,
        models=_served(member) if totals is not None else (),
        tokens_per_second=(
            {kind: tokens / figures.window_seconds for kind, tokens in rates.tokens.items()}
            if shown and rates is not None
            else {}
        ),
        power_watts=_watts_of(member) if totals is not None else {},
        power_sources={} if totals is None else _read_here(totals),
        read_here_watts=member.read_here_watts,
        tokens_per_joule={} if totals is None or totals.spans_nodes or ratios is None else _ratios(ratios),
        gpus=() if place.same_as else _gpus(place),
        version=member.totals.version if member.totals is not None else "",
        tokens_total={} if place.same_as or member.key is None else by_node.get(member.key[0], {}),
        spans_nodes=totals is not None and totals.spans_nodes,
        in_flight=None if totals is None else _in_flight(totals),
        waiting=None if totals is None else _waiting(totals),
        engines=None if totals is None else sum(each.counts_output for each in totals.engines),
        incidents=() if totals is None else totals.incidents,
    )


def _read_here(totals: NodeTotals) -> dict[str, str]:
    return {at.boundary: at.source for at in totals.boundaries if at.source.endswith(READ_HERE)}


def _in_flight(totals: NodeTotals) -> float | None:
    told = [(each.running, each.waiting) for each in totals.engines if each.counts_output]
    known = [running + (waiting or 0.0) for running, waiting in told if running is not None]
    return sum(known) if known and len(known) == len(told) else None


def _waiting(totals: NodeTotals) -> float | None:
    told = [each.waiting for each in totals.engines if each.counts_output]
    known = [waiting for waiting in told if waiting is not None]
    return sum(known) if known else None


def _ratios(sums: MemberSums) -> dict[tuple[TokenKind, str], float]:
    found = {}
    for boundary, joules in sums.joules.items():
        for kind in filter(sums.whole, sums.tokens):
            ratio = tokens_per_joule(sums.tokens[kind], joules)
            if ratio is not None:
                found[kind, boundary] = ratio
    return found


def _gpus(place: Place) -> tuple[MemberGpu, ...]:
    """Return every GPU that a member shows; while it is away they tell nothing."""
    member = place.member
    if member.up and member.totals is not None:
        return member.totals.gpus
    return tuple(MemberGpu(gpu, uuid, up=False) for gpu, uuid in member.gpus)


def _with_ratios(members: Sequence[MemberFigures]) -> Generator[None, None, tuple[MemberFigures, ...]]:
    """Set every member beside the median member, and every GPU beside the median GPU, in duty.

    One whose engines use GPUs of other nodes is compared with its like only.
    """
    duty = [member for member in members if member.up and not member.drained]
    rates = {
        spans: [r for m in duty if m.spans_nodes is spans and (r := _output(m)) is not None]
        for spans in (False, True)
    }
    watts = [gpu.power_watts for m in duty for gpu in m.gpus if gpu.power_watts is not None]
    middle_rates = {spans: _median(told) for spans, told in rates.items()}
    middle_watts = _median(watts)
    compared = []
    for number, member in enumerate(members):
        if number % MEMBERS_PER_STEP == 0:
            yield
        ratio = _over(_output(member), middle_rates[member.spans_nodes])
        gpus = tuple([_beside(gpu, middle_watts) for gpu in member.gpus])
        compared.append(replace(member, rate_to_median_ratio=ratio, gpus=gpus))
    yield
    return tuple(compared)


def _output(member: MemberFigures) -> float | None:
    return member.tokens_per_second.get(TokenKind.OUTPUT)


def _beside(gpu: MemberGpu, middle_watts: float | None) -> MemberGpu:
    """Set one GPU beside the median one."""
    ratio = _over(gpu.power_watts, middle_watts)
    if ratio is None:
        return gpu
    return MemberGpu(  # not `replace`, which takes three times as long: a rack has thousands
        gpu.gpu,
        gpu.uuid,
        gpu.up,
        gpu.power_watts,
        gpu.power_limit_watts,
        gpu.temperature_celsius,
        gpu.utilization_ratio,
        gpu.clock_hertz,
        gpu.throttled,
        ratio,
        gpu.nvlinks_active,
        gpu.nvlink_slowest_bytes_per_second,
    )


def _median(values: Sequence[float]) -> float | None:
    """Return the middle of at least two values; one has nothing to be compared with."""
    return median(values) if len(values) > 1 else None


def _over(value: float | None, middle: float | None) -> float | None:
    return None if value is None or not middle else value / middle


def worst_first(members: Iterable[MemberFigures]) -> list[MemberFigures]:
    """Rank members for a person: away, then slow against the median; those drained on purpose last."""

    def rank(member: MemberFigures) -> tuple[bool, bool, float, str]:
        ratio = member.rate_to_median_ratio
        return (member.drained, member.up, float("inf") if ratio is None else ratio, member.node)

    return sorted(members, key=rank)


def _models(places: Sequence[Place], figures: RackFigures, ledger: RackLedger) -> tuple[ModelFigures, ...]:
    totals = ledger.tokens_by_model()
    serving: Counter[str] = Counter()
    demand: dict[str, list[float | None]] = {}
    for place in places:
        if place.member.up and not place.same_as and place.member.totals is not None:
            serving.update(_served(place.member))
            for engine in place.member.totals.engines:
                if len(engine.models) == 1:
                    sums = demand.setdefault(engine.models[0], [None, None])
                    sums[0], sums[1] = _plus(sums[0], engine.running), _plus(sums[1], engine.waiting)
    by_model: dict[str, dict[TokenKind, float]] = {}
    for (model, kind), total in totals.items():
        by_model.setdefault(model, {})[kind] = total
    rates: dict[str, dict[TokenKind, float]] = {}
    for (model, kind), rate in figures.by_model.items():
        rates.setdefault(model, {})[kind] = rate
    ratios: dict[str, dict[tuple[TokenKind, str], float]] = {}
    for (model, kind, boundary), ratio in figures.model_ratios.items():
        ratios.setdefault(model, {})[kind, boundary] = ratio
    return tuple(
        ModelFigures(
            model=model,
            tokens_per_second=rates.get(model, {}),
            tokens_total=by_model.get(model, {}),
            tokens_per_joule=ratios.get(model, {}),
            nodes=serving.get(model, 0),
            running=demand.get(model, [None, None])[0],
            waiting=demand.get(model, [None, None])[1],
        )
        for model in sorted(by_model.keys() | serving.keys())
    )


def _plus(known: float | None, more: float | None) -> float | None:
    return known if more is None else (known or 0.0) + more


def _served(member: RackMember) -> tuple[str, ...]:
    engines = member.totals.engines if member.totals is not None else ()
    return tuple(sorted({model for engine in engines for model in engine.models}))


def _watts_of(member: RackMember) -> dict[str, float]:
    boundaries = member.totals.boundaries if member.totals is not None else ()
    return {at.boundary: at.power_watts for at in boundaries if at.power_watts is not None}


def _power(duty: Sequence[Place]) -> dict[str, float]:
    found: dict[str, float] = {}
    for place in duty:
        for boundary, watts in _watts_of(place.member).items() if place.reports else ():
            found[boundary] = found.get(boundary, 0.0) + watts
    return found


def _sources(places: Sequence[Place]) -> dict[str, str]:
    """Name who measures each boundary; by what was last told, so that labels stay when a node is away."""
    found: dict[str, str] = {}
    for place in places:
        for at in place.member.totals.boundaries if place.member.totals is not None else ():
            same = found.get(at.boundary, at.source) == at.source
            found[at.boundary] = at.source if same else MIXED
    return found


def _gpus_expected(plan: RackPlan, places: Sequence[Place]) -> int:
    """Return how many GPUs there should be: as configured, at least the most that each member has shown."""
    counted = [place for place in places if not place.same_as]
    drained = sum(place.member.gpus_wanted for place in counted if place.drained is not None)
    shown = sum(place.member.gpus_wanted for place in counted)
    return max(shown, plan.gpus_expected or 0) - drained


def _told_rack(places: Sequence[Place]) -> str:
    """Return the name by which most members call their rack; empty when they do not agree."""
    told = [place.member.totals.node for place in places if place.member.totals is not None]
    names = Counter(node.rack for node in told if node.rack and node.rack != node.name)
    if not names:
        return ""
    name, votes = names.most_common(1)[0]
    return name if 2 * votes > len(told) else ""
