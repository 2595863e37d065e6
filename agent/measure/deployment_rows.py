"""What counts, and what each deployment gives, as rows of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.attribution import Claim, Group
from agent.measure.limiter import limiter_rows
from agent.measure.row import Row, flag_rows, known, state_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.measure.rack_snapshot import DeploymentFigures
    from agent.measure.snapshot import EngineFigures, Snapshot

CLAIMS = (*Claim,)
"""Members of the enumeration: to walk it takes five times as long."""


def counted_rows(engines: Iterable[EngineFigures]) -> Iterator[Row]:
    """Yield of each kind that an instance shows whether it enters other figures."""
    for engine in engines:
        who = (engine.engine, engine.instance, engine.model)
        yield from flag_rows("engine_counted", who, tuple(engine.live), engine.counted)


def deployment_rows(snapshot: Snapshot) -> Iterator[Row]:
    """Yield the rows of each deployment of a node, and whose each of its GPUs is."""
    for gpu in snapshot.gpus:
        claim = snapshot.claims.get(gpu.gpu, Claim.UNKNOWN)
        yield from state_rows("gpu_attribution", (str(gpu.gpu),), CLAIMS, claim)
    for (model, boundary), joules in snapshot.model_energy.items():
        yield Row("model_energy_joules_total", (model, boundary), joules)
    for each in snapshot.deployments:
        yield from _rows_of(each)
        if each.nodes:
            group = Group(each.deployment, each.model)
            yield from limiter_rows(group, snapshot.limiters.get(group))


def rack_deployment_rows(rack: str, deployments: Iterable[DeploymentFigures]) -> Iterator[Row]:
    """Yield the rows of each deployment of a rack."""
    for each in deployments:
        yield from _token_rows("rack_deployment", (rack, each.deployment, each.model), each)


def _rows_of(each: DeploymentFigures) -> Iterator[Row]:
    who = (each.deployment, each.model)
    for number in each.gpu_numbers:
        yield Row("deployment_gpu_info", (*who, str(number)), 1)
    yield from known("deployment_requests", (*who, "running"), each.running)
    yield from known("deployment_requests", (*who, "waiting"), each.waiting)
    yield from known("deployment_kv_cache_usage_ratio", who, each.kv_cache_usage_ratio)
    for outcome, requests in each.requests_finished_total.items():
        yield Row("deployment_requests_finished_total", (*who, outcome), requests)
    for boundary, watts in each.power_watts.items():
        yield Row("deployment_power_watts", (*who, boundary), watts)
    for (boundary, doing), joules in each.energy_joules_total.items():
        yield Row("deployment_energy_joules_total", (*who, boundary, doing), joules)
    yield from _token_rows("deployment", who, each)


def _token_rows(prefix: str, who: tuple[str, ...], each: DeploymentFigures) -> Iterator[Row]:
    for kind, rate in each.tokens_per_second.items():
        yield Row(f"{prefix}_tokens_per_second", (*who, kind), rate)
    for (kind, boundary), ratio in each.tokens_per_joule.items():
        yield Row(f"{prefix}_tokens_per_joule", (*who, kind, boundary), ratio)
