"""Prices, emissions and tariffs: the formulas, and the clock that a tariff follows."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.measure.site import Site, Stated, capacity_cost, co2e_grams, energy_cost
from agent.measure.tariff import Period, Prices

BERLIN = ZoneInfo("Europe/Berlin")
DAYTIME = Prices(0.10, (Period(0.30, "08:00-20:00", ("mon", "tue", "wed", "thu", "fri")),), BERLIN)
NIGHT = Prices(0.30, (Period(0.10, "22:00-06:00", ("fri",)),), BERLIN)


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def test_energy_costs_what_the_facility_draws_for_it():
    """T19's Llama2-70B Offline: 0.1011 J a token, here at 0.08 a kilowatt hour and a PUE of 1.2."""
    million_tokens_joules = 10_401.0 / 102_909 * 1e6

    assert energy_cost(million_tokens_joules, 0.08, 1.2) == pytest.approx(0.0026952, rel=1e-4)


def test_a_gpu_costs_its_hours_whatever_it_does():
    """72 GPUs for the time of a million tokens at the published record's rate."""
    assert capacity_cost(72, 1e6 / 1_100_948.3, 3.30) == pytest.approx(0.05995, rel=1e-3)


def test_energy_emits_what_the_facility_draws_for_it():
    assert co2e_grams(3.6e6, 400.0, 1.2) == pytest.approx(480.0)


def test_without_hours_there_is_one_price():
    assert Prices(0.08).at(0.0) == 0.08
    assert Prices(0.08).mean(0.0, 1e6) == 0.08


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        ("2026-03-04 07:59:59", 0.10),
        ("2026-03-04 08:00:00", 0.30),
        ("2026-03-04 19:59:59", 0.30),
        ("2026-03-04 20:00:00", 0.10),
        ("2026-03-07 12:00:00", 0.10),  # a Saturday
    ],
)
def test_a_period_begins_with_its_minute_and_ends_before_it(moment, price):
    assert DAYTIME.at(at(moment)) == price


@pytest.mark.parametrize(
    ("moment", "price"),
    [
        ("2026-03-06 21:59:00", 0.30),
        ("2026-03-06 22:00:00", 0.10),  # a Friday
        ("2026-03-07 05:59:00", 0.10),
        ("2026-03-07 06:00:00", 0.30),
        ("2026-03-06 05:00:00", 0.30),  # the night from Thursday
        ("2026-03-07 23:00:00", 0.30),
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(moment, price):
    assert NIGHT.at(at(moment)) == price


def test_months_bound_a_period():
    winter = Prices(0.10, (Period(0.30, months=(12, 1)),), UTC)

    assert winter.at(at("2026-01-31 23:59:00", UTC)) == 0.30
    assert winter.at(at("2026-02-01 00:00:00", UTC)) == 0.10


def test_hours_follow_the_summer_time_of_their_zone():
    """06:30 UTC is 07:30 in Berlin on the Friday before the clocks change, and 08:30 on the Monday after."""
    assert DAYTIME.at(at("2026-03-27 06:30:00", UTC)) == 0.10
    assert DAYTIME.at(at("2026-03-30 06:30:00", UTC)) == 0.30


def test_the_hour_that_comes_twice_is_priced_twice():
    """In Berlin 02:00 to 03:00 of 25 October 2026 lasts two hours."""
    small = Prices(0.0, (Period(1.0, "02:00-03:00"),), BERLIN)
    midnight, noon = at("2026-10-25 00:00:00"), at("2026-10-25 12:00:00")

    assert noon - midnight == 13 * 3600
    assert small.mean(midnight, noon) == pytest.approx(2 / 13)


def test_the_hour_that_is_left_out_costs_nothing():
    small = Prices(0.0, (Period(1.0, "02:00-03:00"),), BERLIN)

    assert small.mean(at("2026-03-29 00:00:00"), at("2026-03-29 12:00:00")) == 0.0


def test_energy_over_a_change_of_price_costs_the_mean_of_its_time():
    begins = at("2026-03-04 08:00:00")

    assert DAYTIME.mean(begins - 15.0, begins + 45.0) == pytest.approx(0.25 * 0.10 + 0.75 * 0.30)


def test_a_long_absence_is_priced_in_few_pieces():
    week = at("2026-03-02 00:00:00")

    assert DAYTIME.mean(week, week + 7 * 86400) == pytest.approx((60 * 0.30 + 108 * 0.10) / 168, rel=2e-3)


def test_a_site_without_a_price_has_none():
    assert Site().prices(None) is None
    assert Site(pue=Stated(1.2), currency="USD", price_per_kwh=0.0).prices(None).at(0.0) == 0.0
