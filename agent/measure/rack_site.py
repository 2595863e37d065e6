"""What the rack's own daemon adds to what its members tell: the rack's meter, the facility, what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.costs import (
    SiteFigures,
    capacity_per_million,
    cost_per_hour,
    energy_per_hour,
    energy_per_million,
    grams_per_million,
)
from agent.measure.meter import FACILITY, NODE, PUE, RACK
from agent.measure.site import NO_SITE, Site
from agent.measure.site_book import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.node_meters import RackMeter
    from agent.measure.rack_figures import RackFigures
    from agent.measure.rack_snapshot import RackSnapshot
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
    grams_source: str = ""
    """Whose figure it is, and of when."""


NOTHING = Beside()


class Pricing(NamedTuple):
    """What was stated of the site."""

    site: Site = NO_SITE
    prices: Prices | None = None
    """What a kilowatt hour costs, by the clock of the site."""
    feed: bool = False
    """Whether a feed is configured that tells what electricity emits."""


def with_site(
    rack: RackSnapshot,
    figures: RackFigures,
    beside: Beside,
    pricing: Pricing,
    book: SiteBook,
) -> RackSnapshot:
    """Return a rack with its own meter, its facility and its costs; books what it has cost since."""
    site = pricing.site
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
    book.take(rack.at, joules, base, rack.gpus_expected, _terms(pricing, beside))
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
            live_costs(replace(rack, power_watts=watts), pricing, beside),
            costs_total=dict(book.costs),
            grams_total=dict(book.grams),
            booked_joules=dict(book.booked_joules),
        ),
    )


def _terms(pricing: Pricing, beside: Beside) -> Terms:
    feed = pricing.feed or bool(beside.why_no_grams)
    return Terms(pricing.site, pricing.prices, grams_of(pricing.site, beside), feed)


def base_of(sources: Mapping[str, str]) -> str | None:
    """Return the boundary that the PUE multiplies: the outermost measured one that is no part of a node."""
    return next((boundary for boundary in (RACK, NODE) if boundary in sources), None)


def grams_of(site: Site, beside: Beside) -> float | None:
    """Return what a kilowatt hour emits now: as a feed tells it, or as it was stated where there is none."""
    if beside.grams_per_kwh is not None or beside.why_no_grams or site.grams_co2e_per_kwh is None:
        return beside.grams_per_kwh
    return site.grams_co2e_per_kwh.value


def live_costs(rack: RackSnapshot, pricing: Pricing, beside: Beside) -> SiteFigures:
    """Return what a million tokens and an hour cost and emit now."""
    site, prices, feed = pricing
    grams = grams_of(site, beside)
    price = None if prices is None else prices.at(rack.at.unix_seconds)
    rates = rack.tokens_per_second if rack.valid else {}
    costs = energy_per_million(rack.tokens_per_joule, price, site)
    return SiteFigures(
        site=site,
        price_per_kwh=price,
        grams_co2e_per_kwh=grams,
        per_million=costs | capacity_per_million(rates, rack.gpus_expected, site),
        grams_per_million=grams_per_million(rack.tokens_per_joule, grams, site),
        per_hour=cost_per_hour(rack.power_watts, rack.gpus_expected, price, site),
        grams_per_hour=energy_per_hour(rack.power_watts, grams, site),
        why_no_grams=beside.why_no_grams,
        grams_source=_source_of(site, beside),
        feed=feed,
    )


def _source_of(site: Site, beside: Beside) -> str:
    """Return who says what electricity emits."""
    stated = site.grams_co2e_per_kwh
    if beside.grams_per_kwh is not None or stated is None:
        return beside.grams_source
    return ", ".join(each for each in (stated.source, stated.date) if each)


def _crosschecks(
    meter: RackMeter | None, watts: Mapping[str, float], figures: RackFigures
) -> dict[tuple[str, str], float]:
    """Return what all nodes draw together beside what the rack's meter says; only when all of them tell."""
    if meter is None or NODE not in watts or figures.power_coverage.get(NODE, 0.0) < 1.0:
        return {}
    return {(RACK, SUM_OF_NODES): watts[NODE]}
