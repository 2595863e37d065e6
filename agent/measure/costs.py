"""What a million tokens cost and emit, live: ratios of sums, absent where one of their parts is (T5, T6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.meter import FACILITY
from agent.measure.site import JOULES_PER_KWH, MILLION, NO_SITE, SECONDS_PER_HOUR, Site
from agent.measure.site_book import CAPACITY, CO2E, ENERGY, EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.engine import TokenKind

FORMULAS = {
    "energy_per_million_tokens": "1e6 / tokens_per_joule / 3.6e6 * price_per_kwh * pue",
    "capacity_per_million_tokens": "price_per_gpu_hour * 1e6 / (3600 * tokens_per_second / gpus_expected)",
    "co2e_grams_per_million_tokens": "1e6 / tokens_per_joule / 3.6e6 * grams_co2e_per_kwh * pue",
    "energy_per_hour": "power_watts / 1000 * price_per_kwh * pue",
    "capacity_per_hour": "gpus_expected * price_per_gpu_hour",
    "co2e_grams_per_hour": "power_watts / 1000 * grams_co2e_per_kwh * pue",
    "energy_total": "sum of joules / 3.6e6 * price_per_kwh of their moment * pue",
    "capacity_total": "sum of gpus_expected * hours * price_per_gpu_hour",
    "co2e_grams_total": "sum of joules / 3.6e6 * grams_co2e_per_kwh of their moment * pue",
}
"""As `/api/v1/rack` shows them, by the names of its own keys."""
KILO = 1000.0
NO_PUE = "site.pue is not set"
NO_PRICE = "site.price_per_kwh is not set"
NO_GPU_PRICE = "site.price_per_gpu_hour is not set"
NO_GRAMS = "neither site.grams_co2e_per_kwh nor collectors.carbon is set"
NO_FEED_YET = "collectors.carbon has not told anything yet"


@dataclass(frozen=True, slots=True)
class SiteFigures:
    """What a rack costs and emits, now and since the beginning, and what that is reckoned from."""

    site: Site = NO_SITE
    price_per_kwh: float | None = None
    """Of this moment."""
    grams_co2e_per_kwh: float | None = None
    """Of this moment."""
    why_no_grams: str = ""
    """Why what electricity emits is not known now, though somebody should tell it."""
    grams_source: str = ""
    """Who says what electricity emits, and of when that is."""
    feed: bool = False
    """Whether a feed should tell it."""
    costs_total: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """By component, boundary and currency; of a rack with members."""
    grams_total: Mapping[str, float] = field(default_factory=dict)
    per_million: Mapping[tuple[TokenKind, str, str], float] = field(default_factory=dict)
    """Cost by kind, component and boundary."""
    grams_per_million: Mapping[tuple[TokenKind, str], float] = field(default_factory=dict)
    per_hour: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Cost of an hour like this moment, by component and boundary."""
    grams_per_hour: Mapping[str, float] = field(default_factory=dict)
    booked_joules: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    """Energy that is in the totals of cost or CO2e, and energy that is not because nobody knew what it
    cost or emitted at its moment; by total and boundary."""

    @property
    def unknown_because(self) -> dict[str, str]:
        """Why nothing is told of the cost of energy, of capacity, or of emissions; what is told is not in."""
        site, why = self.site, {}
        if self.price_per_kwh is None:
            why[ENERGY] = NO_PRICE
        if site.price_per_gpu_hour is None:
            why[CAPACITY] = NO_GPU_PRICE
        if self.grams_co2e_per_kwh is None:
            why[CO2E] = self.why_no_grams or (NO_FEED_YET if self.feed else NO_GRAMS)
        elif site.pue is None:
            why[CO2E] = NO_PUE
        return why


NO_FIGURES = SiteFigures()


def energy_per_million(
    ratios: Mapping[tuple[TokenKind, str], float], price_per_kwh: float | None, site: Site
) -> dict[tuple[TokenKind, str, str], float]:
    """Return the energy cost of a million tokens at every boundary inside the meter of the facility."""
    if price_per_kwh is None or site.pue is None:
        return {}
    factor = MILLION / JOULES_PER_KWH * price_per_kwh * site.pue.value
    return {
        (kind, ENERGY, boundary): factor / ratio
        for (kind, boundary), ratio in ratios.items()
        if ratio > 0.0 and boundary != FACILITY
    }


def energy_per_hour(watts: Mapping[str, float], price_per_kwh: float | None, site: Site) -> dict[str, float]:
    """Return what an hour at this power costs, at every boundary inside the meter of the facility."""
    if price_per_kwh is None or site.pue is None:
        return {}
    factor = price_per_kwh * site.pue.value / KILO
    return {boundary: told * factor for boundary, told in watts.items() if boundary != FACILITY}


def cost_per_hour(
    watts: Mapping[str, float], gpus_expected: int, price_per_kwh: float | None, site: Site
) -> dict[tuple[str, str], float]:
    """Return what an hour costs: energy at each boundary, and the GPUs that should be there."""
    costs = {(ENERGY, at): cost for at, cost in energy_per_hour(watts, price_per_kwh, site).items()}
    if site.price_per_gpu_hour is not None and gpus_expected > 0:
        costs[CAPACITY, EVERYWHERE] = gpus_expected * site.price_per_gpu_hour
    return costs


def capacity_per_million(
    rates: Mapping[TokenKind, float], gpus_expected: int, site: Site
) -> dict[tuple[TokenKind, str, str], float]:
    """Return what the GPUs cost that should be there, for a million tokens of those that are."""
    if site.price_per_gpu_hour is None or gpus_expected <= 0:
        return {}
    factor = site.price_per_gpu_hour * MILLION / SECONDS_PER_HOUR * gpus_expected
    return {(kind, CAPACITY, EVERYWHERE): factor / rate for kind, rate in rates.items() if rate > 0.0}


def grams_per_million(
    ratios: Mapping[tuple[TokenKind, str], float], grams_per_kwh: float | None, site: Site
) -> dict[tuple[TokenKind, str], float]:
    """Return what a million tokens emit, at the same boundaries."""
    if grams_per_kwh is None or site.pue is None:
        return {}
    factor = MILLION / JOULES_PER_KWH * grams_per_kwh * site.pue.value
    return {pair: factor / r for pair, r in ratios.items() if r > 0.0 and pair[1] != FACILITY}
