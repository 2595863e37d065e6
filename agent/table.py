"""A snapshot as a table for a terminal: what `rackwatt once` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.gpu import GpuState, PowerScope
from agent.measure.meter import LADDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.measure.snapshot import EngineFigures, GpuFigures, Snapshot

UNKNOWN = "-"


def table_of(snapshot: Snapshot) -> str:
    """Return the node, its GPUs, its engines and its troubles as aligned text."""
    blocks = [_node(snapshot)]
    if snapshot.gpus:
        head = ("GPU", "PRODUCT", "STATE", "POWER W", "LIMIT W", "ENERGY J", "UTIL", "TEMP C", "THROTTLED")
        blocks.append(_aligned(head, [_gpu(gpu) for gpu in snapshot.gpus]))
    if snapshot.engines:
        head = (
            "ENGINE",
            "INSTANCE",
            "MODEL",
            "STATE",
            "OUTPUT TOK/S",
            "RUNNING",
            "WAITING",
            "KV",
            "OUTPUT TOKENS",
        )
        blocks.append(_aligned(head, [_engine(engine) for engine in snapshot.engines]))
    blocks.extend(_troubles(snapshot))
    return "\n\n".join(blocks)


def _node(snapshot: Snapshot) -> str:
    node = snapshot.node
    lines = [f"node {node.name}  rack {node.rack}  {snapshot.activity}"]
    for kind, rate in snapshot.tokens_per_second.items():
        lines.append(f"  {kind:14} {rate:12.1f} tokens/s")
    lines.extend(_power(snapshot))
    for (kind, boundary), ratio in snapshot.tokens_per_joule.items():
        lines.append(f"  {kind:14} {ratio:12.4f} tokens/J at {boundary}")
    for standing in snapshot.validity:
        about = [*(f"invalid: {reason}" for reason in sorted(standing.reasons)), *sorted(standing.flags)]
        if about:
            lines.append(f"  {standing.figure}: {', '.join(about)}")
    return "\n".join(lines)


def _power(snapshot: Snapshot) -> Iterator[str]:
    """Every boundary, with what it draws beside its inner one, then the parts: they are in no sum."""
    rests = {rest.boundary: rest for rest in snapshot.remainders if rest.power_watts is not None}
    for at in sorted(snapshot.boundaries, key=lambda at: LADDER.index(at.boundary)):
        others = [f"{s} {_number(w, 1)}" for (b, s), w in snapshot.crosschecks.items() if b == at.boundary]
        rest, told = rests.get(at.boundary), "; ".join([at.source, *others])
        beside = "" if rest is None else f"  {_number(rest.power_watts, 1)} W beside {rest.inner}"
        yield f"  power {at.boundary:8} {_number(at.power_watts, 1):>12} W    ({told}){beside}"
    for part in snapshot.parts:
        name = f"{part.part} {part.unit}"
        yield f"  part  {name:12} {_number(part.power_watts, 1):>8} W    ({part.source})"


def _gpu(figures: GpuFigures) -> tuple[str, ...]:
    reading = figures.reading
    if reading is None:
        return (str(figures.gpu), figures.uuid, "unknown", *[UNKNOWN] * 6)
    if reading.state is not GpuState.OK:
        return (str(figures.gpu), reading.identity.product, reading.state, *[UNKNOWN] * 6)
    power = reading.power.get(PowerScope.GPU)
    return (
        str(figures.gpu),
        reading.identity.product,
        reading.state,
        _number(power.average_watts if power else None, 1),
        _number(reading.power_limit_watts.get(PowerScope.GPU), 0),
        _number(figures.energy_joules_total, 0),
        _percent(reading.utilization_ratio),
        _number(reading.temperature_celsius.get("gpu"), 0),
        UNKNOWN if reading.throttle_active is None else ",".join(sorted(reading.throttle_active)) or "no",
    )


def _engine(figures: EngineFigures) -> tuple[str, ...]:
    reading = figures.reading
    output = next((tokens for tokens in figures.tokens if tokens.kind == "output"), None)
    return (
        figures.engine,
        figures.instance,
        figures.model,
        figures.activity if figures.up else "down",
        _number(output.per_second if output else None, 1),
        _number(reading.demand.running if reading else None, 0),
        _number(reading.demand.waiting if reading else None, 0),
        _percent(reading.kv_cache_usage_ratio if reading else None),
        _number(output.total if output else None, 0),
    )


def _troubles(snapshot: Snapshot) -> list[str]:
    failed = [f"{o.source}: {o.reason}: {o.detail}" for o in snapshot.outcomes if not o.ok]
    gpus = [
        f"GPU {figures.gpu}: {figures.reading.trouble}"
        for figures in snapshot.gpus
        if figures.reading is not None and figures.reading.trouble
    ]
    lines = [*failed, *gpus, *snapshot.notes]
    return ["\n".join(f"! {line}" for line in lines)] if lines else []


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _percent(ratio: float | None) -> str:
    return UNKNOWN if ratio is None else f"{ratio:.0%}"
