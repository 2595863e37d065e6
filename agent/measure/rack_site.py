"""What the rack's own daemon adds to what its members tell: the rack's meter, the facility, what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.costs import SiteFigures, capacity_per_million, energy_per_million, grams_per_million
from agent.measure.meter import FACILITY, NODE, PUE, RACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_figures import RackFigures
    from agent.measure.rack_snapshot import RackSnapshot
    from agent.measure.site import Site
    from agent.measure.site_book import SiteBook
    from agent.measure.tariff import Prices

SUM_OF_NODES = "nodes"
"""The source of a cross-check: what all nodes draw together, which is no meter of the rack."""


class Beside(NamedTuple):
    """What the rack's daemon reads itself."""

    meter: RackMeter | None = None
    grams_per_kwh: float | None = None
    """By a feed."""
    why_no_grams: str = ""
    """Why a feed that there is tells nothing."""


NOTHING = Beside()


def with_site(
    rack: RackSnapshot,
    figures: RackFigures,
    beside: Beside,
    site: Site,
    prices: Prices | None,
    book: SiteBook,
) -> RackSnapshot:
    """Return a rack with its own meter, its facility and its costs; books what it has cost since."""
    sources, watts, joules = dict(rack.power_sources), dict(rack.power_watts), dict(rack.energy_joules_total)
    meter = beside.meter
    if meter is not None:
        sources[RACK] = meter.source
        told = meter.figures
        if told is not None and told.power_watts is not None:
            watts[RACK] = told.power_watts
        if told is not None and told.energy_joules_total is not None:
            joules[RACK] = told.energy_joules_total
    base = base_of(sources)
    grams = grams_of(site, beside)
    book.take(rack.at, joules, base, rack.gpus_expected, site, prices, grams)
    if site.pue is not None and base is not None:
        sources[FACILITY] = PUE
        if base in watts:
            watts[FACILITY] = watts[base] * site.pue.value
    return replace(
        rack,
        power_sources=sources,
        power_watts=watts,
        energy_joules_total=book.joules(joules),
        remainders=figures.remainders,
        power_coverage=figures.power_coverage,
        crosschecks=_crosschecks(meter, watts, figures),
        site=replace(
            live_costs(rack, site, prices, grams),
            why_no_grams=beside.why_no_grams,
            costs_total=dict(book.costs),
            grams_total=dict(book.grams),
        ),
    )


def base_of(sources: Mapping[str, str]) -> str | None:
    """Return the boundary that the PUE multiplies: the outermost measured one that is no part of a node."""
    return next((boundary for boundary in (RACK, NODE) if boundary in sources), None)


def grams_of(site: Site, beside: Beside) -> float | None:
    """Return what a kilowatt hour emits now: as a feed tells it, or as it was stated where there is none."""
    if beside.grams_per_kwh is not None or beside.why_no_grams or site.grams_co2e_per_kwh is None:
        return beside.grams_per_kwh
    return site.grams_co2e_per_kwh.value


def live_costs(rack: RackSnapshot, site: Site, prices: Prices | None, grams: float | None) -> SiteFigures:
    """Return what a million tokens cost and emit now."""
    price = None if prices is None else prices.at(rack.at.unix_seconds)
    rates = rack.tokens_per_second if rack.valid else {}
    costs = energy_per_million(rack.tokens_per_joule, price, site)
    return SiteFigures(
        site=site,
        price_per_kwh=price,
        grams_co2e_per_kwh=grams,
        per_million=costs | capacity_per_million(rates, rack.gpus_expected, site),
        grams_per_million=grams_per_million(rack.tokens_per_joule, grams, site),
    )


def _crosschecks(
    meter: RackMeter | None, watts: Mapping[str, float], figures: RackFigures
) -> dict[tuple[str, str], float]:
    """Return what all nodes draw together beside what the rack's meter says; only when all of them tell."""
    if meter is None or NODE not in watts or figures.power_coverage.get(NODE, 0.0) < 1.0:
        return {}
    return {(RACK, SUM_OF_NODES): watts[NODE]}
