"""A rack as rows of the catalogue: only of a daemon that has members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.deployment_rows import rack_deployment_rows
from agent.measure.incident_rows import incident_rows
from agent.measure.row import Row, known
from agent.measure.site_rows import rack_site_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.measure.rack_snapshot import MemberFigures, ModelFigures, RackSnapshot


def rack_rows(rack: RackSnapshot) -> Iterator[Row]:
    """Yield every row of a rack. Unknown is left out, never 0."""
    name = rack.rack
    yield from _token_rows(rack)
    yield from _energy_rows(rack)
    yield from _ladder_rows(rack)
    yield from rack_site_rows(rack.rack, rack.site)
    yield from known("rack_coverage_ratio", (name,), rack.coverage)
    yield Row("rack_nodes_expected", (name,), rack.nodes_expected)
    yield Row("rack_nodes_reporting", (name,), rack.nodes_reporting)
    yield Row("rack_nodes_drained", (name,), len(rack.drained))
    yield Row("rack_gpus_expected", (name,), rack.gpus_expected)
    yield Row("rack_gpus_reporting", (name,), rack.gpus_reporting)
    for member in rack.members:
        yield from _member_rows(name, member)
    yield from rack_deployment_rows(name, rack.deployments)
    yield from incident_rows(rack.incidents, rack.incident_counts, "rack")
    if rack.record is not None:
        yield from known("rack_record_ratio", (name, "output", rack.record.name), rack.record.ratio)


def model_rows(models: tuple[ModelFigures, ...]) -> Iterator[Row]:
    """Yield the rows of each model of a node."""
    for model in models:
        for kind, total in model.tokens_total.items():
            yield Row("model_tokens_total", (model.model, kind), total)
        for kind, rate in model.tokens_per_second.items():
            yield Row("model_tokens_per_second", (model.model, kind), rate)
        for (kind, boundary), ratio in model.tokens_per_joule.items():
            yield Row("model_tokens_per_joule", (model.model, kind, boundary), ratio)


def _token_rows(rack: RackSnapshot) -> Iterator[Row]:
    for kind, rate in rack.tokens_per_second.items():
        yield Row("rack_tokens_per_second", (rack.rack, kind), rate)
    for kind, total in rack.tokens_total.items():
        yield Row("rack_tokens_total", (rack.rack, kind), total)
        backfilled = rack.backfilled_tokens_total.get(kind, 0.0)
        yield Row("rack_backfilled_tokens_total", (rack.rack, kind), backfilled)


def _energy_rows(rack: RackSnapshot) -> Iterator[Row]:
    for boundary, watts in rack.power_watts.items():
        yield Row("rack_power_watts", (rack.rack, boundary, rack.power_sources[boundary]), watts)
    for boundary, joules in rack.energy_joules_total.items():
        source = rack.power_sources.get(boundary)
        if source is not None:  # until a member has told one, after a restart, the series has no name
            yield Row("rack_energy_joules_total", (rack.rack, boundary, source), joules)
    for (kind, boundary), ratio in rack.tokens_per_joule.items():
        yield Row("rack_tokens_per_joule", (rack.rack, kind, boundary), ratio)
        if ratio > 0.0:
            yield Row("rack_joules_per_token", (rack.rack, kind, boundary), 1.0 / ratio)


def _ladder_rows(rack: RackSnapshot) -> Iterator[Row]:
    for rest in rack.remainders:
        labels = (rack.rack, rest.boundary, rest.inner)
        yield from known("rack_power_remainder_watts", labels, rest.power_watts)
    for boundary, share in rack.power_coverage.items():
        yield Row("rack_power_coverage_ratio", (rack.rack, boundary), share)
    for pair, watts in rack.crosschecks.items():
        yield Row("rack_power_crosscheck_watts", (rack.rack, *pair), watts)


def _member_rows(rack: str, member: MemberFigures) -> Iterator[Row]:
    yield Row("rack_member_up", (rack, member.node), member.up)
    for kind, total in member.tokens_total.items():
        yield Row("rack_member_tokens_total", (rack, member.node, kind), total)
    for kind, rate in member.tokens_per_second.items():
        yield Row("rack_member_tokens_per_second", (rack, member.node, kind), rate)
    yield from known("rack_member_rate_to_median_ratio", (rack, member.node), member.rate_to_median_ratio)
