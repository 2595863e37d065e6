"""What somebody stated of the site as rows of the catalogue: the inputs of every modelled figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.row import Row, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.measure.costs import SiteFigures
    from agent.measure.site import Site


def rack_site_rows(rack: str, told: SiteFigures) -> Iterator[Row]:
    """Yield what a rack costs and emits."""
    money = told.site.currency
    for (component, boundary, currency), amount in told.costs_total.items():
        yield Row("rack_cost_total", (rack, component, boundary, currency), amount)
    for boundary, grams in told.grams_total.items():
        yield Row("rack_co2e_grams_total", (rack, boundary), grams)
    for (total, boundary), (_, joules) in told.booked_joules.items():
        yield Row("rack_unbooked_joules_total", (rack, total, boundary), joules)
    for (kind, component, boundary), cost in told.per_million.items():
        yield Row("rack_cost_per_million_tokens", (rack, kind, component, boundary, money), cost)
    for (kind, boundary), grams in told.grams_per_million.items():
        yield Row("rack_co2e_grams_per_million_tokens", (rack, kind, boundary), grams)
    yield from known("site_price_per_kwh", (money,), told.price_per_kwh)
    yield from known("site_co2e_grams_per_kwh", (), told.grams_co2e_per_kwh)


def site_rows(site: Site) -> Iterator[Row]:
    """Yield what was configured; what was not is left out."""
    if site.pue is not None:
        yield Row("site_pue_ratio", (), site.pue.value)
        yield Row("site_pue_info", (site.pue.source, site.pue.date), 1)
