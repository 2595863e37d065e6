"""The ground truth: what every tray has exactly made, drawn and been asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.twin.grid import MILLI, PICO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.twin.engine import Engine
    from agent.twin.tray import Tray

KINDS = ("output", "prompt", "prompt_cached")


def of_tray(number: int, tray: Tray, rest_ns: int) -> dict[str, Any]:
    """Return the truth of one tray at one moment; everything counts from the start of the twin."""
    made = [engine.tokens(rest_ns) for engine in tray.engines]
    gpus_pj = [gpu.energy_at_pj(rest_ns) for gpu in tray.gpus]
    rest_pj = sum(module.rest_pj + module.rest_mw * rest_ns for module in tray.modules)
    return {
        "tray": number,
        "model": tray.plan.scenario.rack.model(number),
        "tokens": _by_kind([sum(kind) for kind in zip(*made, strict=True)]),
        "tokens_per_second": _by_kind(
            [sum(kind) / MILLI for kind in zip(*(engine.rates_mtps for engine in tray.engines), strict=True)]
        ),
        "offered_tokens": sum(_offered(engine, rest_ns) for engine in tray.engines),
        "offered_tokens_per_second": sum(engine.offered_mtps for engine in tray.engines) / MILLI,
        "joules": {"gpu": sum(gpus_pj) / PICO, "module": (sum(gpus_pj) + rest_pj) / PICO},
        "watts": {
            "gpu": sum(gpu.power_mw for gpu in tray.gpus) / MILLI,
            "module": sum(each.power_mw for each in tray.gpus) / MILLI
            + sum(module.rest_mw for module in tray.modules) / MILLI,
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


def of_rack(trays: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Add up what `of_tray` told of all trays."""
    return {
        "tokens": _by_kind([sum(tray["tokens"][kind] for tray in trays) for kind in KINDS]),
        "tokens_per_second": _by_kind(
            [sum(tray["tokens_per_second"][kind] for tray in trays) for kind in KINDS]
        ),
        "offered_tokens": sum(tray["offered_tokens"] for tray in trays),
        "joules": {
            boundary: sum(tray["joules"][boundary] for tray in trays) for boundary in ("gpu", "module")
        },
        "watts": {boundary: sum(tray["watts"][boundary] for tray in trays) for boundary in ("gpu", "module")},
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
