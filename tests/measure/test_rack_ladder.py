"""The power ladder of a rack: its meter, remainders over the same members, the facility, what it costs."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes.rack_node import OUTPUT, RackNode

from agent.measure.carbon import CarbonReading
from agent.measure.efficiency import Member
from agent.measure.node_meters import RackMeter
from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.rack_of_one import rack_of_one
from agent.measure.rack_rows import rack_rows
from agent.measure.rack_site import Beside
from agent.measure.reading import Moment, Reading
from agent.measure.series import Horizon, Point, Series
from agent.measure.site import Site, Stated
from agent.measure.snapshot import BoundaryFigures
from agent.measure.tariff import Period, Prices
from agent.measure.validity import Invalid
from agent.wire.rack_codec import to_plain

SITE = Site(
    pue=Stated(1.2, "report", "2026-06"),
    currency="USD",
    price_per_kwh=0.08,
    price_per_gpu_hour=3.3,
    grams_co2e_per_kwh=Stated(400.0),
)
BEGAN = datetime(2026, 3, 4, 7, 59, 30, tzinfo=UTC).timestamp()


class Bench:
    """Two trays of four GPUs, and a meter of their rack."""

    def __init__(self, site=SITE, prices=None, kept=None, *, feed=False):
        self.nodes = {
            f"http://{name}:1": RackNode(
                name, rate=5000.0, watts=500.0, outer={"module": 700.0, "node": 900.0}
            )
            for name in ("a", "b")
        }
        self.rack = RackReckoner(RackPlan(site=site, prices=prices or site.prices(None), feed=feed), 10.0)
        self.beside = {}
        if kept is not None:
            self.rack.load(json.loads(json.dumps(kept)))
        self.rack.expect(self.nodes)
        self.series = Series(Horizon(120.0))

    def live(self, start, end, *, meter=2500.0, without=()):
        for second in range(start, end):
            for url, node in self.nodes.items():
                if node.name not in without:
                    self.rack.take(url, node.reading(float(second)), 1.0)
            if meter is not None:
                self.series.add(Point(float(second), meter * second))
            snapshot = self.snapshot(second + 0.1, meter)
        return snapshot

    def snapshot(self, seconds, meter):
        told = None
        if meter is not None:
            figures = BoundaryFigures("rack", "redfish", meter, meter * (seconds - 0.1))
            told = RackMeter("redfish", figures, (Member(self.series, 1.0),))
        return self.rack.snapshot(Moment(seconds, BEGAN + seconds), "own", Beside(told, **self.beside))


def remainders(rack):
    return {(each.boundary, each.inner): each.power_watts for each in rack.remainders}


def standing(rack, figure):
    return next(each for each in rack.validity if each.figure == figure)


def output(rack):
    return {at: ratio for (kind, at), ratio in rack.tokens_per_joule.items() if kind is OUTPUT}


def test_every_boundary_stands_beside_the_others_and_nothing_is_counted_twice():
    rack = Bench().live(0, 25)

    assert rack.power_watts == {"gpu": 1000, "module": 1400, "node": 1800, "rack": 2500, "facility": 3000}
    assert rack.power_sources["rack"] == "redfish"
    assert output(rack) == {
        "gpu": pytest.approx(10.0),
        "module": pytest.approx(10_000 / 1400),
        "node": pytest.approx(10_000 / 1800),
        "rack": pytest.approx(4.0),
        "facility": pytest.approx(10_000 / 3000),
    }
    assert remainders(rack) == {
        ("module", "gpu"): pytest.approx(400.0),
        ("node", "module"): pytest.approx(400.0),
        ("rack", "node"): pytest.approx(700.0),
        ("facility", "rack"): pytest.approx(500.0),
    }


def test_without_a_meter_of_the_rack_its_nodes_are_not_taken_for_it():
    rack = Bench().live(0, 25, meter=None)

    assert rack.power_watts == {"gpu": 1000, "module": 1400, "node": 1800, "facility": 1800 * 1.2}
    assert ("rack", "node") not in remainders(rack)
    assert rack.crosschecks == {}


def test_all_nodes_together_are_only_a_cross_check_of_the_racks_meter():
    assert Bench().live(0, 25).crosschecks == {("rack", "nodes"): 1800.0}


def test_t5_with_a_node_missing_the_racks_meter_has_joules_whose_tokens_nobody_knows():
    bench = Bench()
    bench.live(0, 25)
    rack = bench.live(25, 50, without=("b",))

    assert "rack" not in output(rack)
    reasons = standing(rack, "rack_tokens_per_joule_rack").reasons
    assert {Invalid.LOW_COVERAGE, Invalid.MEMBER_MISSING} <= reasons
    assert remainders(rack)["rack", "node"] is None
    assert rack.power_watts["rack"] == 2500.0
    assert rack.power_coverage["node"] == 0.5


def test_a_rack_whose_meter_shows_less_than_its_nodes_has_a_wrong_meter():
    rack = Bench().live(0, 25, meter=1500.0)

    assert remainders(rack)["rack", "node"] == pytest.approx(-300.0)
    assert standing(rack, "rack_power_remainder_rack").reasons == {Invalid.INNER_EXCEEDS_OUTER}


def test_t1_energy_costs_what_the_counters_grew_by():
    """The first poll is the zero of what is booked; members were read 0.25 s before, and had nothing then."""
    bench = Bench()
    rack = bench.live(0, 25)
    told = rack.site

    assert told.costs_total["energy", "rack", "USD"] == pytest.approx(24 * 2500 / 3.6e6 * 0.08 * 1.2)
    assert told.costs_total["energy", "gpu", "USD"] == pytest.approx(23.751 * 1000 / 3.6e6 * 0.08 * 1.2)
    assert ("energy", "facility", "USD") not in told.costs_total
    assert told.grams_total["rack"] == pytest.approx(24 * 2500 / 3.6e6 * 400 * 1.2)
    assert rack.energy_joules_total["facility"] == pytest.approx(24 * 2500 * 1.2)


def test_capacity_costs_the_hours_of_the_gpus_that_should_be_there():
    assert Bench().live(0, 25).site.costs_total["capacity", "", "USD"] == pytest.approx(24 * 8 / 3600 * 3.3)


def test_t1_costs_survive_a_restart_and_what_was_used_meanwhile_is_in():
    bench = Bench()
    bench.live(0, 25)
    again = Bench(kept=bench.rack.dump())
    again.series = bench.series
    rack = again.live(125, 150)

    assert rack.site.costs_total["energy", "rack", "USD"] == pytest.approx(149 * 2500 / 3.6e6 * 0.08 * 1.2)
    assert rack.site.costs_total["capacity", "", "USD"] == pytest.approx(48 * 8 / 3600 * 3.3)


def test_a_kept_file_from_before_costs_is_understood():
    kept = Bench().rack.dump()
    del kept["site"]

    assert Bench(kept=kept).live(0, 3).site.costs_total["energy", "gpu", "USD"] > 0.0


def test_energy_is_priced_by_the_tariff_of_its_moment():
    """Half a minute before 08:00 UTC and half a minute after."""
    prices = Prices(0.10, (Period(0.30, "08:00-20:00"),), UTC)
    rack = Bench(prices=prices).live(0, 61)

    mean = (30 * 0.10 + 30 * 0.30) / 60
    assert rack.site.costs_total["energy", "rack", "USD"] == pytest.approx(
        60 * 2500 / 3.6e6 * 1.2 * mean, rel=0.005
    )
    assert rack.site.price_per_kwh == 0.30


def test_a_million_tokens_cost_and_emit():
    told = Bench().live(0, 25).site

    assert told.per_million[OUTPUT, "energy", "rack"] == pytest.approx(0.25 / 3.6 * 0.08 * 1.2)
    assert told.per_million[OUTPUT, "capacity", ""] == pytest.approx(3.3e6 / (3600 * 10_000 / 8))
    assert told.grams_per_million[OUTPUT, "rack"] == pytest.approx(0.25e6 / 3.6e6 * 400 * 1.2)
    assert (OUTPUT, "energy", "facility") not in told.per_million


def test_at_zero_tokens_nothing_costs_anything_per_token():
    bench = Bench()
    bench.nodes = {url: replace(node, rate=0.0) for url, node in bench.nodes.items()}
    told = bench.live(0, 25).site

    assert told.per_million == {}
    assert told.costs_total["energy", "rack", "USD"] > 0.0


def test_t19_the_cost_of_a_published_run():
    """Lenovo 8xB200, Llama2-70B Offline: 102,909 tokens/s at 10,401 W at the wall, 9.894 tokens/J."""
    bench = Bench(replace(SITE, pue=Stated(1.0)))
    bench.nodes = {
        url: RackNode(node.name, rate=102_909 / 2, watts=4000.0, outer={"node": 10_401 / 2})
        for url, node in bench.nodes.items()
    }
    rack = bench.live(0, 25, meter=None)

    assert output(rack)["node"] == pytest.approx(9.894, abs=5e-4)
    assert rack.site.per_million[OUTPUT, "energy", "node"] == pytest.approx(0.1011 / 3.6 * 0.08, rel=1e-3)


def test_rows_name_money_boundary_and_kind():
    rows = {(row.metric, row.labels): row.value for row in rack_rows(Bench().live(0, 25))}

    assert rows["rack_cost_total", ("r12", "capacity", "", "USD")] > 0.0
    assert rows["rack_co2e_grams_total", ("r12", "rack")] > 0.0
    assert rows["rack_cost_per_million_tokens", ("r12", "output", "energy", "rack", "USD")] > 0.0
    assert rows["rack_power_remainder_watts", ("r12", "rack", "node")] == pytest.approx(700.0)
    assert rows["rack_power_watts", ("r12", "facility", "pue")] == 3000.0


def test_without_a_site_nothing_is_reckoned_with_it():
    rack = Bench(Site()).live(0, 25)

    assert (rack.site.costs_total, rack.site.grams_total, rack.site.per_million) == ({}, {}, {})
    assert "facility" not in rack.power_watts


def test_a_feed_tells_what_electricity_emits_and_while_it_is_stale_nobody_does():
    bench = Bench(replace(SITE, grams_co2e_per_kwh=None))
    bench.live(0, 25)
    fed = bench.rack.snapshot(Moment(25.0, BEGAN + 25.0), "own", Beside(None, 250.0))
    stale = bench.rack.snapshot(Moment(26.0, BEGAN + 26.0), "own", Beside(None, None, "4 h old"))

    assert fed.site.grams_per_million[OUTPUT, "gpu"] == pytest.approx(0.1e6 / 3.6e6 * 250 * 1.2)
    assert (stale.site.grams_co2e_per_kwh, stale.site.grams_per_million) == (None, {})
    assert stale.site.why_no_grams == "4 h old"
    assert stale.site.grams_total == fed.site.grams_total


NO_GRAMS = replace(SITE, grams_co2e_per_kwh=None)


def test_energy_that_no_feed_rated_is_told_and_in_no_total():
    """Three quarters of the time the feed is stale: the total of grams is of a quarter of the joules."""
    bench = Bench(NO_GRAMS, feed=True)
    bench.beside = {"grams_per_kwh": 250.0}
    bench.live(0, 26)
    bench.beside = {"why_no_grams": "4 h old"}
    rack = bench.live(26, 101)
    rated, unrated = rack.site.booked_joules["co2e", "rack"]

    assert (rated, unrated) == (pytest.approx(25 * 2500), pytest.approx(75 * 2500))
    assert rack.site.grams_total["rack"] == pytest.approx(rated / 3.6e6 * 250 * 1.2)
    assert to_plain(rack)["site"]["unbooked_energy"][1] == {
        "total": "co2e",
        "boundary": "gpu",
        "joules": pytest.approx(75_000),
        "share": pytest.approx(0.75, rel=0.01),
    }
    rows = {(row.metric, row.labels): row.value for row in rack_rows(rack)}
    assert rows["rack_unbooked_joules_total", ("r12", "co2e", "rack")] == unrated


def test_energy_before_the_first_word_of_a_feed_is_told_as_well():
    rack = Bench(NO_GRAMS, feed=True).live(0, 25)

    assert rack.site.booked_joules["co2e", "rack"] == (0.0, pytest.approx(24 * 2500))
    assert rack.site.unknown_because["co2e"] == "collectors.carbon has not told anything yet"


def test_what_was_used_over_hours_of_absence_is_not_rated_by_the_figure_of_now():
    bench = Bench(NO_GRAMS, feed=True)
    bench.beside = {"grams_per_kwh": 250.0}
    bench.live(0, 25)
    again = Bench(NO_GRAMS, kept=bench.rack.dump(), feed=True)
    again.series, again.beside = bench.series, bench.beside
    rack = again.live(7200, 7225)

    assert rack.site.booked_joules["co2e", "rack"] == (pytest.approx(48 * 2500), pytest.approx(7176 * 2500))
    assert rack.site.booked_joules["cost", "rack"] == (pytest.approx(7224 * 2500), 0.0)


def test_energy_after_a_price_was_taken_away_is_in_no_total_and_told():
    bench = Bench()
    bench.live(0, 25)
    bench.rack.plan = RackPlan(site=Site(pue=Stated(1.2), currency="USD"))
    rack = bench.live(25, 50)

    assert rack.site.booked_joules["cost", "rack"] == (pytest.approx(24 * 2500), pytest.approx(25 * 2500))
    assert rack.site.unknown_because["energy"] == "site.price_per_kwh is not set"


def test_of_what_nobody_asked_for_nothing_is_missing():
    rack = Bench(Site(pue=Stated(1.2))).live(0, 25)

    assert rack.site.booked_joules == {}


def test_an_hour_costs_energy_at_every_boundary_and_the_gpus_that_should_be_there():
    told = Bench().live(0, 25).site

    assert told.per_hour == {
        ("energy", "gpu"): pytest.approx(1.0 * 0.08 * 1.2),
        ("energy", "module"): pytest.approx(1.4 * 0.08 * 1.2),
        ("energy", "node"): pytest.approx(1.8 * 0.08 * 1.2),
        ("energy", "rack"): pytest.approx(2.5 * 0.08 * 1.2),
        ("capacity", ""): pytest.approx(8 * 3.3),
    }
    assert told.grams_per_hour["rack"] == pytest.approx(2.5 * 400 * 1.2)
    assert told.unknown_because == {}


def test_what_is_not_told_says_which_setting_is_missing():
    told = Bench(Site(pue=Stated(1.2), currency="USD", price_per_kwh=0.08)).live(0, 25).site

    assert told.unknown_because == {
        "capacity": "site.price_per_gpu_hour is not set",
        "co2e": "neither site.grams_co2e_per_kwh nor collectors.carbon is set",
    }


def test_what_a_node_alone_emits_is_as_its_feed_tells(bench, gpu, page):
    bench.node.account_for(SITE)
    for second in map(float, range(21)):
        bench.take_gpus(gpu(second, 500.0 * second, 500.0))
        bench.take_page(page(second, 1000.0 * second))
    at = Moment(20.0, BEGAN)
    bench.node.take(Reading("carbon", at, carbon=CarbonReading(250.0, "DE", BEGAN)), 300.0)
    fed = rack_of_one(bench.snapshot(20.0), RackPlan(site=SITE))
    bench.node.miss("carbon")
    without = rack_of_one(bench.snapshot(20.0), RackPlan(site=SITE))

    assert fed.site.grams_per_million[OUTPUT, "gpu"] == pytest.approx(0.5e6 / 3.6e6 * 250 * 1.2)
    assert fed.site.grams_source == "feed, zone DE, of 2026-03-04 07:59 UTC"
    assert fed.site.per_hour["capacity", ""] == pytest.approx(3.3)
    assert without.site.grams_co2e_per_kwh == 400.0
