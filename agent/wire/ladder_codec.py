"""The power ladder, costs and emissions as plain values: of a node and of a rack."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.measure.costs import FORMULAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.measure.costs import SiteFigures
    from agent.measure.ladder import Remainder


def remainder_rows(remainders: Iterable[Remainder]) -> list[dict[str, Any]]:
    """Return what each boundary draws beside its inner one; its standing is among the figures."""
    return [
        {
            "boundary": rest.boundary,
            "inner": rest.inner,
            "power_watts": rest.power_watts,
            "figure": rest.standing.figure,
        }
        for rest in remainders
    ]


def crosscheck_rows(crosschecks: Mapping[tuple[str, str], float]) -> list[dict[str, Any]]:
    """Return power by what is not a boundary's own source."""
    return [
        {"boundary": boundary, "source": source, "power_watts": watts}
        for (boundary, source), watts in crosschecks.items()
    ]


def meter_rows(
    meters: Mapping[tuple[str, str, str], bool], energy: Mapping[tuple[str, str, str], str]
) -> list[dict[str, Any]]:
    """Return every meter beside the GPUs, whether it answers, and how its energy is known."""
    return [
        {"source": key[0], "part": key[1], "unit": key[2], "up": up, "energy": energy.get(key)}
        for key, up in meters.items()
    ]


def site_row(told: SiteFigures) -> dict[str, Any] | None:
    """Return costs and emissions with their formulas and inputs; None where nothing was configured."""
    site = told.site
    feed = told.feed or told.grams_co2e_per_kwh is not None or told.why_no_grams
    if site.pue is None and site.price_per_gpu_hour is None and not feed:
        return None
    return {
        "inputs": _inputs(told),
        "formulas": dict(FORMULAS),
        "unknown_because": told.unknown_because,
        **_totals(told),
        **_per_hour(told),
        **_per_million(told),
    }


def _inputs(told: SiteFigures) -> dict[str, Any]:
    site = told.site
    return {
        "pue": None if site.pue is None else asdict(site.pue),
        "currency": site.currency or None,
        "price_per_kwh": told.price_per_kwh,
        "tariff_timezone": site.tariff.timezone or None,
        "price_per_gpu_hour": site.price_per_gpu_hour,
        "grams_co2e_per_kwh": told.grams_co2e_per_kwh,
        "grams_source": told.grams_source or None,
        "grams_unknown_because": told.why_no_grams or None,
    }


def _totals(told: SiteFigures) -> dict[str, Any]:
    return {
        "cost_total": [
            {"component": component, "boundary": boundary, "currency": currency, "amount": amount}
            for (component, boundary, currency), amount in told.costs_total.items()
        ],
        "co2e_grams_total": dict(told.grams_total),
        "unbooked_energy": [
            {"total": total, "boundary": boundary, "joules": out, "share": _share(out, inside)}
            for (total, boundary), (inside, out) in told.booked_joules.items()
        ],
    }


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part > 0.0 else 0.0


def _per_hour(told: SiteFigures) -> dict[str, Any]:
    return {
        "cost_per_hour": [
            {"component": component, "boundary": boundary, "amount": amount}
            for (component, boundary), amount in told.per_hour.items()
        ],
        "co2e_grams_per_hour": dict(told.grams_per_hour),
    }


def _per_million(told: SiteFigures) -> dict[str, Any]:
    return {
        "cost_per_million_tokens": [
            {"kind": kind, "component": component, "boundary": boundary, "amount": amount}
            for (kind, component, boundary), amount in told.per_million.items()
        ],
        "co2e_grams_per_million_tokens": [
            {"kind": kind, "boundary": boundary, "grams": grams}
            for (kind, boundary), grams in told.grams_per_million.items()
        ],
    }
