"""The ground truth: what every tray has exactly made, drawn and been asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent.twin import gb300
from agent.twin.grid import MILLI, PICO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.twin.engine import Engine
    from agent.twin.tray import Tray

BOUNDARIES = ("gpu", "module", "node")
KINDS = ("output", "prompt", "prompt_cached")


class RackEnergy(NamedTuple):
    """What the whole rack draws, at the inlet of its power shelves."""

    energy_pj: int
    power_mw: int
    mean_mw: int
    """Of the last second."""


def of_shelves(trays: Sequence[tuple[Tray, int]], now_ns: int) -> RackEnergy:
    """Return what the power shelves take in, from trays and the nanoseconds of their steps."""
    switches_mw = round(gb300.SWITCH_TRAYS * gb300.SWITCH_TRAY_WATTS * MILLI)

    def shelf(below: int, switches: int) -> int:
        return (below + switches) * (100 + gb300.SHELF_LOSS_SHARE_PERCENT) // 100

    return RackEnergy(
        shelf(sum(tray.energy_pj(rest_ns) for tray, rest_ns in trays), switches_mw * now_ns),
        shelf(sum(tray.power_mw for tray, _ in trays), switches_mw),
        shelf(sum(tray.mean_mw(rest_ns) for tray, rest_ns in trays), switches_mw),
    )


def of_tray(number: int, tray: Tray, rest_ns: int) -> dict[str, Any]:
    """Return the truth of one tray at one moment; everything counts from the start of the twin."""
    made = [engine.tokens(rest_ns) for engine in tray.engines]
    gpus_pj = [gpu.energy_at_pj(rest_ns) for gpu in tray.gpus]
    rest_pj = sum(module.energy_at_pj(rest_ns) for module in tray.modules)
    return {
        "tray": number,
        "model": tray.plan.scenario.rack.model(number),
        "tokens": _by_kind([sum(kind) for kind in zip(*made, strict=True)]),
        "tokens_per_second": _by_kind(
            [sum(kind) / MILLI for kind in zip(*(engine.rates_mtps for engine in tray.engines), strict=True)]
        ),
        "offered_tokens": sum(_offered(engine, rest_ns) for engine in tray.engines),
        "offered_tokens_per_second": sum(engine.offered_mtps for engine in tray.engines) / MILLI,
        "joules": {"gpu": sum(gpus_pj) / PICO, "module": (sum(gpus_pj) + rest_pj) / PICO}
        | {"node": tray.energy_pj(rest_ns) / PICO},
        "watts": {
            "gpu": sum(gpu.power_mw for gpu in tray.gpus) / MILLI,
            "module": sum(each.power_mw for each in tray.gpus) / MILLI
            + sum(module.rest_mw for module in tray.modules) / MILLI,
            "node": tray.power_mw / MILLI,
        },
        "faults": list(tray.effects.faults),
        "gpus": [
            {
                "gpu": place,
                "joules": gpus_pj[place] / PICO,
                "watts": gpu.power_mw / MILLI,
                "celsius": gpu.celsius,
                "lost": gpu.lost,
                "throttle": list(gpu.reasons),
            }
            for place, gpu in enumerate(tray.gpus)
        ],
        "engines": [_engine(engine, rest_ns) for engine in tray.engines],
    }


def of_rack(trays: Sequence[dict[str, Any]], whole: RackEnergy) -> dict[str, Any]:
    """Add up what `of_tray` told of all trays, beside what the whole rack draws."""
    joules = {at: sum(tray["joules"][at] for tray in trays) for at in BOUNDARIES}
    watts = {at: sum(tray["watts"][at] for tray in trays) for at in BOUNDARIES}
    return {
        "tokens": _by_kind([sum(tray["tokens"][kind] for tray in trays) for kind in KINDS]),
        "tokens_per_second": _by_kind(
            [sum(tray["tokens_per_second"][kind] for tray in trays) for kind in KINDS]
        ),
        "offered_tokens": sum(tray["offered_tokens"] for tray in trays),
        "joules": joules | {"rack": whole.energy_pj / PICO},
        "watts": watts | {"rack": whole.power_mw / MILLI},
        "faults": sorted({fault for tray in trays for fault in tray["faults"]}),
    }


def _by_kind(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(KINDS, values, strict=True))


def _offered(engine: Engine, rest_ns: int) -> int:
    return (engine.offered_pt + engine.offered_mtps * rest_ns) // PICO


def _engine(engine: Engine, rest_ns: int) -> dict[str, Any]:
    output, prompt, cached = engine.counters(rest_ns)
    return {
        "up": not engine.down,
        "starts": engine.starts,
        "counters": _by_kind([output, prompt, cached]),
        "running": engine.running,
        "waiting": engine.waiting,
        "kv_cache_usage_ratio": engine.cache,
    }
