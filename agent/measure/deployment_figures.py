"""Each deployment on one node: its rate, its power, and tokens per joule of its own GPUs (T13, T24)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.counting import spans
from agent.measure.deployment_books import board_holders, whole_groups
from agent.measure.gpu import gpu_watts
from agent.measure.model_figures import rates_of, sum_known
from agent.measure.node_boundaries import GPU, MODULE, boundary_of, gpu_flags, gpu_reasons, missing
from agent.measure.node_figures import NodeFigures, figures_of, rungs_of
from agent.measure.rack_snapshot import DeploymentFigures
from agent.measure.series import max_gap_seconds
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.measure.attribution import Group
    from agent.measure.counting import Instance
    from agent.measure.deployment_books import DeploymentBooks
    from agent.measure.deployment_work import DeploymentWork
    from agent.measure.engine import TokenKind
    from agent.measure.engine_book import EngineBook
    from agent.measure.gpu_book import GpuBook, ModuleBook
    from agent.measure.node_gpus import NodeGpus
    from agent.measure.snapshot import BoundaryFigures


@dataclass(frozen=True, slots=True)
class NodeView:
    """What the figures of deployments are made of."""

    books: DeploymentBooks
    work: DeploymentWork
    engines: Mapping[str, EngineBook]
    instances: Mapping[str, Instance]
    gpus: NodeGpus
    node: NodeFigures
    window_seconds: float
    now: float


@dataclass(frozen=True, slots=True)
class _Part:
    """The engines and GPUs of one deployment."""

    group: Group
    instances: list[EngineBook]
    engines: list[EngineBook]
    """Those of them that count."""
    gpus: list[GpuBook]
    modules: list[ModuleBook]
    """Empty unless every one of its GPUs sits on a module that is its own."""
    reasons: frozenset[Invalid]
    split: bool
    """Of GPUs elsewhere only those of its other half."""
    every_engine: bool
    """It has all engines that count here."""
    whole: bool
    """It is all that the node has."""


def deployments_of(view: NodeView) -> tuple[DeploymentFigures, ...]:
    """Return every deployment that is served here; of those that were, their energy."""
    known = view.books.energy.keys() | view.work.totals.keys()
    if not known and not view.books.attribution.instances:
        return ()
    boards = _Boards(view)
    served = [
        _figures(_part(view, group, boards), view) for group in sorted(view.books.attribution.instances)
    ]
    gone = sorted(known - view.books.attribution.instances.keys())
    left = [
        DeploymentFigures(
            *group,
            nodes=0,
            energy_joules_total=dict(view.books.energy.get(group, {})),
            requests_finished_total=view.work.of(group, ()),
        )
        for group in gone
    ]
    return (*served, *left)


def ratios_of_models(
    deployments: Sequence[DeploymentFigures],
) -> dict[str, Mapping[tuple[TokenKind, str], float]]:
    """Return the ratios of models that one deployment alone serves."""
    served = [each for each in deployments if each.nodes]
    if not served:
        return {}
    times = Counter(each.model for each in served)
    return {each.model: each.tokens_per_joule for each in served if times[each.model] == 1 and each.one_model}


class _Boards:
    """Which superchips are one deployment's, and which deployments have only such."""

    def __init__(self, view: NodeView) -> None:
        holders, boards = view.books.attribution.holders, view.gpus.boards
        self.holders = board_holders(boards, holders)
        self.whole = whole_groups(boards, holders, self.holders)
        self.gpus = view.gpus.books


def _part(view: NodeView, group: Group, boards: _Boards) -> _Part:
    attribution, gpus = view.books.attribution, boards.gpus
    names = attribution.instances[group]
    all_of_it = [view.engines[name] for name in names]
    engines = [book for book in all_of_it if book.counted]
    uuids = attribution.gpus(group)
    mine = [book for book in gpus if book.uuid in uuids]
    own_boards = boards.holders if group in boards.whole else {}
    reasons = {Invalid.UNATTRIBUTED} if group in attribution.unattributed or not mine else set()
    instances = [view.instances[name] for name in names]
    own = not reasons
    if spans(instances):
        reasons.add(Invalid.SPANS_NODES)
    every_engine = len(engines) == sum([bool(book.counted) for book in view.engines.values()])
    return _Part(
        group=group,
        instances=all_of_it,
        engines=engines,
        gpus=mine,
        modules=[each for each in view.gpus.modules if own_boards.get(each.serial) == group],
        reasons=frozenset(reasons),
        split=not any(each.spans_nodes for each in instances),
        every_engine=every_engine,
        whole=own and every_engine and len(mine) == len(gpus),
    )


def _figures(part: _Part, view: NodeView) -> DeploymentFigures:
    figures = view.node if part.whole else _of_part(part, view)
    readings = [book.reading for book in part.engines if book.reading is not None]
    up = [book.reading for book in part.instances if book.reading is not None]
    kv = [told for reading in up if (told := reading.kv_cache_usage_ratio) is not None]
    return DeploymentFigures(
        *part.group,
        gpus=len(part.gpus),
        gpu_numbers=tuple(book.gpu for book in part.gpus),
        tokens_per_second=figures.tokens_per_second,
        tokens_per_joule=figures.tokens_per_joule if _steady(part, figures, view) else {},
        power_watts=_power(part),
        energy_joules_total=dict(view.books.energy.get(part.group, {})),
        running=sum_known([reading.demand.running for reading in readings]),
        waiting=sum_known([reading.demand.waiting for reading in readings]),
        kv_cache_usage_ratio=max(kv, default=None),
        requests_finished_total=view.work.of(
            part.group, {name for book in part.engines for name in book.work}
        ),
        reasons=part.reasons,
        instances=tuple(book.instance for book in part.engines),
        split=part.split,
        whole=part.whole,
        since_monotonic_seconds=view.books.since[part.group],
        one_model=part.group not in view.books.attribution.several_models,
        energies=() if part.whole else _energies(part, view),
    )


def _of_part(part: _Part, view: NodeView) -> NodeFigures:
    if part.reasons:
        rates = view.node.tokens_per_second if part.every_engine else rates_of(part.engines, view.node)
        return NodeFigures(rates, {}, ())
    rungs = rungs_of(part.gpus, part.modules, view.gpus.cadence_seconds)
    return figures_of(part.engines, rungs, view.window_seconds, view.now)


def _steady(part: _Part, figures: NodeFigures, view: NodeView) -> bool:
    """Whether it has had these GPUs and instances for a whole window, wherever that ended."""
    seconds = max((standing.window_seconds for standing in figures.validity), default=view.window_seconds)
    cadences = [view.gpus.cadence_seconds, *(book.cadence_seconds for book in part.engines)]
    return view.books.since[part.group] <= view.now - seconds - max_gap_seconds(max(cadences))


def _power(part: _Part) -> dict[str, float]:
    """Sum what its meters say now; absent when one of them does not tell."""
    if Invalid.UNATTRIBUTED in part.reasons:
        return {}
    told = {
        GPU: [gpu_watts(book.reading) for book in part.gpus],
        MODULE: [module.power_watts for module in part.modules],
    }
    return {
        boundary: sum(known)
        for boundary, watts in told.items()
        if (known := [each for each in watts if each is not None]) and len(known) == len(watts)
    }


def _energies(part: _Part, view: NodeView) -> tuple[BoundaryFigures, ...]:
    """Return its energy as a rack reads it."""
    totals = view.books.energy.get(part.group, {})
    since, found = view.books.since[part.group], []
    reporting = [book.energy for book in part.gpus if book.reports]
    of_gpus, of_modules = [book.energy for book in part.gpus], [module.energy for module in part.modules]
    told = {
        GPU: (
            (of_gpus, [book.energy for book in part.gpus if book.integrated_only]),
            gpu_reasons(part.gpus) | missing(reporting, len(part.gpus)),
            gpu_flags(part.gpus),
        ),
        MODULE: ((of_modules, of_modules), frozenset[Invalid](), frozenset({Flag.INTEGRATED})),
    }
    power, unknown = _power(part), part.reasons & {Invalid.UNATTRIBUTED}
    for boundary, (series, reasons, flags) in told.items():
        joules = [total for (at, _), total in totals.items() if at == boundary]
        if series[0] and joules:
            watts = power.get(boundary)
            found.append(
                boundary_of(
                    boundary, view.gpus, sum(joules), watts, series, reasons | unknown, flags, since=since
                )
            )
    return tuple(found)
