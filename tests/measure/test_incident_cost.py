"""Money: energy that made no tokens and time of GPUs, each once, at the prices of the site."""

from dataclasses import replace

import pytest
from fakes.incidents import power_capped

from agent.incident_desk import IncidentDesk
from agent.measure.incident import Bounds
from agent.measure.incident_cost import Pricing
from agent.measure.site import NO_SITE, Site, Stated

ENERGY = Site(pue=Stated(1.2), currency="USD", price_per_kwh=0.10)
BOTH = replace(ENERGY, price_per_gpu_hour=3.0)
LOST = replace(
    power_capped(), lost_joules=3.6e7, lost_joules_bounds=Bounds(1.8e7, 7.2e7), lost_gpu_seconds=7200.0
)
"""Ten kilowatt hours, and two hours of a GPU."""


def priced(site, incident=LOST):
    return Pricing(site).priced((incident,))[0]


def test_energy_and_time_of_gpus_are_added_once_each():
    told = priced(BOTH)

    assert told.lost_cost == pytest.approx(10.0 * 1.2 * 0.10 + 2.0 * 3.0)
    assert told.lost_cost_bounds == Bounds(pytest.approx(0.6 + 6.0), pytest.approx(2.4 + 6.0))
    assert told.currency == "USD"


def test_one_price_alone_gives_its_part():
    assert priced(ENERGY).lost_cost == pytest.approx(1.2)
    assert priced(Site(currency="EUR", price_per_gpu_hour=3.0)).lost_cost == pytest.approx(6.0)


def test_what_is_not_known_costs_nothing_known():
    unknown = replace(LOST, lost_joules=None, lost_joules_bounds=None, lost_gpu_seconds=None)

    assert priced(NO_SITE) is LOST
    assert priced(BOTH, unknown) is unknown
    assert priced(ENERGY, unknown).lost_cost is None


def test_a_price_that_a_node_has_told_stands():
    told = replace(LOST, lost_cost=9.0, currency="EUR")

    assert priced(BOTH, told) is told


def test_what_goes_on_is_priced_anew_and_what_has_ended_only_once():
    pricing = Pricing(BOTH)
    (first,) = pricing.priced((LOST,))

    assert pricing.priced((LOST,))[0] is first
    assert pricing.priced((replace(LOST, lost_gpu_seconds=3600.0),))[0].lost_cost < first.lost_cost


def test_a_desk_without_a_site_tells_no_cost():
    assert IncidentDesk()._pricing.priced((LOST,)) == (LOST,)
