"""A snapshot as rows of the catalogue: what every exporter renders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.deployment_rows import counted_rows, deployment_rows
from agent.measure.engine_work import OUTCOMES
from agent.measure.environment import environment_rows
from agent.measure.gpu import GpuState
from agent.measure.gpu_rows import gpu_rows
from agent.measure.host_rows import host_rows
from agent.measure.incident_rows import incident_rows
from agent.measure.push import push_rows
from agent.measure.rack_rows import model_rows, rack_rows
from agent.measure.reading import Reason
from agent.measure.row import Row, count_rows, flag_rows, kept, known, state_rows
from agent.measure.service_rows import deployment_service_rows, service_rows
from agent.measure.site_rows import site_rows
from agent.measure.snapshot import Activity
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent.measure.reading import Cost, Outcome
    from agent.measure.snapshot import EngineFigures, Snapshot

ACTIVITIES, INVALIDS, FLAGS = (*Activity,), (*Invalid,), (*Flag,)
REASONS = (*Reason,)
"""Members of these enumerations: to walk an enumeration takes five times as long."""


def rows_of(snapshot: Snapshot) -> list[Row]:
    """Return every row of a snapshot. Unknown is left out, never 0."""
    rows = [Row("build_info", (snapshot.version, snapshot.revision), 1)]
    rows += _node_rows(snapshot)
    rows += _validity_rows(snapshot)
    for gpu in snapshot.gpus:
        rows += gpu_rows(gpu)
    rows += _owner_rows(snapshot)
    rows += host_rows(snapshot)
    rows += environment_rows(snapshot.environment)
    for engine in snapshot.engines:
        rows += _engine_rows(engine)
    rows += counted_rows(snapshot.engines)
    rows += deployment_rows(snapshot)
    rows += _collector_rows(snapshot.outcomes)
    rows += _cost_rows(snapshot.costs)
    rows += push_rows(snapshot.pushes)
    rows += model_rows(snapshot.models)
    rows += service_rows(snapshot.services)
    rows += deployment_service_rows(snapshot.deployment_services)
    rows += incident_rows(snapshot.incidents, snapshot.incident_counts, "node")
    rows += [Row(name, (), value) for name, value in snapshot.self_gauges.items()]
    if snapshot.rack is not None:
        rows += rack_rows(snapshot.rack)
    return rows


def _node_rows(snapshot: Snapshot) -> Iterator[Row]:
    node = snapshot.node
    yield Row("node_info", (node.name, node.rack, node.chassis, node.tray, node.domain), 1)
    yield Row("node_drained", (), snapshot.drained is not None)
    if expected := len(snapshot.gpus) + snapshot.gpus_absent:
        yield Row("node_gpus_expected", (), expected)
        yield Row("node_gpus_reporting", (), sum(gpu.state is GpuState.OK for gpu in snapshot.gpus))
    yield from state_rows("node_state", (), ACTIVITIES, snapshot.activity)
    for kind, rate in snapshot.tokens_per_second.items():
        yield Row("node_tokens_per_second", (kind,), rate)
    for (kind, boundary), ratio in snapshot.tokens_per_joule.items():
        yield Row("node_tokens_per_joule", (kind, boundary), ratio)
    yield from _meter_rows(snapshot)
    yield from site_rows(snapshot.site)


def _meter_rows(snapshot: Snapshot) -> Iterator[Row]:
    for at in snapshot.boundaries:
        yield from known("power_watts", (at.boundary, at.source), at.power_watts)
        yield from known("energy_joules_total", (at.boundary, at.source), at.energy_joules_total)
    for rest in snapshot.remainders:
        yield from known("power_remainder_watts", (rest.boundary, rest.inner), rest.power_watts)
    for meter, up in snapshot.meters.items():
        yield Row("meter_up", meter, up)
    for labels, watts in snapshot.crosschecks.items():
        yield Row("power_crosscheck_watts", labels, watts)
    for part in snapshot.parts:
        of_part = (part.part, part.unit, part.source)
        yield from known("part_power_watts", of_part, part.power_watts)
        yield from known("part_energy_joules_total", of_part, part.energy_joules_total)


def _validity_rows(snapshot: Snapshot) -> Iterator[Row]:
    of_rack = () if snapshot.rack is None else snapshot.rack.validity
    for standing in (*snapshot.validity, *of_rack):
        figure = standing.figure
        yield Row("figure_valid", (figure,), standing.valid)
        yield from flag_rows("figure_invalid_reason", (figure,), INVALIDS, standing.reasons)
        yield from flag_rows("figure_flag", (figure,), FLAGS, standing.flags)
        yield Row("figure_window_seconds", (figure,), standing.window_seconds)
        yield from known("figure_uncertainty_ratio", (figure,), standing.uncertainty_ratio)


def _owner_rows(snapshot: Snapshot) -> Iterator[Row]:
    numbers = {gpu.uuid: str(gpu.gpu) for gpu in snapshot.gpus}
    for who in snapshot.owners:
        if who.uuid in numbers:
            yield Row("gpu_owner_info", (numbers[who.uuid], who.mig, who.namespace, who.pod, who.job_id), 1)


def _engine_rows(figures: EngineFigures) -> list[Row]:
    who = (figures.engine, figures.instance, figures.model)
    rows = [
        *_engine_state_rows(who, figures.up, figures.activity, figures.restarts),
        *_engine_work_rows(who, figures.work),
    ]
    for tokens in figures.tokens:
        series = (figures.engine, figures.instance, tokens.model, tokens.kind)
        rows.append(Row("engine_tokens_total", series, tokens.total))
        rows.append(Row("engine_tokens_unobserved_total", series, tokens.unobserved))
        rows += known("engine_tokens_uncertainty", series, tokens.uncertainty)
        rows += known("engine_tokens_per_second", series, tokens.per_second)
    reading = figures.reading
    if reading is None:
        return rows
    first_byte = reading.at.monotonic_seconds - reading.asked_monotonic_seconds
    return [
        *rows,
        *known("engine_requests", (*who, "running"), reading.demand.running),
        *known("engine_requests", (*who, "waiting"), reading.demand.waiting),
        *known("engine_kv_cache_usage_ratio", who, reading.kv_cache_usage_ratio),
        Row("engine_rate_live", who, reading.live),
        Row("engine_window_seconds", who, figures.window_seconds),
        Row("engine_page_first_byte_seconds", who, first_byte),
        Row("engine_page_bytes", who, reading.page_bytes),
    ]


@kept
def _engine_state_rows(
    who: tuple[str, str, str], up: object, activity: Activity, restarts: float
) -> Iterator[Row]:
    yield Row("engine_up", who, bool(up))
    yield from state_rows("engine_state", who, ACTIVITIES, activity)
    yield Row("engine_restarts_total", who, restarts)


@kept
def _engine_work_rows(who: tuple[str, str, str], work: Mapping[str, float]) -> Iterator[Row]:
    yield from known("engine_arrivals_total", who, work.get("arrivals"))
    yield from known("engine_preemptions_total", who, work.get("preemptions"))
    for outcome in OUTCOMES:
        yield from known("engine_requests_finished_total", (*who, outcome), work.get(outcome))


def _collector_rows(outcomes: Iterable[Outcome]) -> Iterator[Row]:
    """Fold the sources of each collector into one: all must succeed, the worst counts."""
    by_collector: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_collector.setdefault(_collector(outcome.source), []).append(outcome)
    for collector, group in by_collector.items():
        yield Row("collector_success", (collector,), all(outcome.ok for outcome in group))
        longest = max(outcome.duration_seconds for outcome in group)
        yield Row("collector_duration_seconds", (collector,), longest)
        successes = [outcome.last_success_unix_seconds for outcome in group]
        if None not in successes:
            oldest = min(moment for moment in successes if moment is not None)
            yield Row("collector_last_success_timestamp_seconds", (collector,), oldest)
        failures: dict[str, float] = dict.fromkeys(REASONS, 0)
        for outcome in group:
            for reason, count in outcome.failures.items():
                failures[reason] += count
        yield from count_rows("collector_failures_total", (collector,), tuple(failures.items()))


def _cost_rows(by_source: Mapping[str, Mapping[str, Cost]]) -> Iterator[Row]:
    """Add up what the sources of each collector have cost."""
    calls: dict[tuple[str, str], int] = {}
    seconds: dict[tuple[str, str], float] = {}
    for source, costs in by_source.items():
        for function, cost in costs.items():
            labels = (_collector(source), function)
            calls[labels] = calls.get(labels, 0) + cost.calls
            seconds[labels] = seconds.get(labels, 0.0) + cost.seconds
    for labels, count in calls.items():
        yield Row("source_calls_total", labels, count)
        yield Row("source_call_seconds_total", labels, seconds[labels])


def _collector(source: str) -> str:
    return source.partition("/")[0]
