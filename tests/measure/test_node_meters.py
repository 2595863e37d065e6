"""Meters beside the GPUs: a boundary has one source, others are cross-checks, parts are added to nothing."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.ledger import Ledger
from agent.measure.meter import MeterReading
from agent.measure.node_meters import NodeMeters
from agent.measure.reading import Moment, Reading
from agent.measure.series import Horizon
from agent.measure.validity import Flag, Invalid

UNIX = 1_760_000_000.0


@pytest.fixture
def metered(bench):
    """A node with NVML and hwmon."""
    bench.node.expect(["nvml", "hwmon", "redfish", "engines/a:8000"])
    return bench


def at(seconds):
    return Moment(seconds, UNIX + seconds)


def watts(seconds, part, unit="0", power=490.0, **more):
    return MeterReading(part, unit, at(seconds), power, **more)


def joules(seconds, part, energy, unit="0"):
    return MeterReading(part, unit, at(seconds), None, energy)


def take(bench, seconds, *meters, source="hwmon"):
    bench.node.take(Reading(source, at(seconds), meters=meters), 1.0)


def boundary(snapshot, name):
    return next((each for each in snapshot.boundaries if each.boundary == name), None)


def parts(snapshot):
    return {(each.part, each.unit): each for each in snapshot.parts}


def test_t7_where_nvml_tells_the_module_hwmon_only_cross_checks_it(metered, gpu):
    metered.take_gpus(gpu(0.0, 0.0, 300.0, serial="165", module_watts=980.0))
    take(metered, 0.0, watts(0.0, "module", "0", 490.0), watts(0.0, "module", "1", 495.0))
    snapshot = metered.snapshot(0.1)

    assert (boundary(snapshot, "module").source, boundary(snapshot, "module").power_watts) == ("nvml", 980.0)
    assert snapshot.crosschecks == {("module", "hwmon"): 985.0}


def test_t3_a_meter_that_tells_means_speaks_of_the_middle_of_each(metered, gpu):
    """GPUs that count, and sockets that tell the mean of a second, while the load steps."""
    for second in range(31):
        counted, mean = 100.0 * second + 900.0 * max(0, second - 20), 100.0 if second <= 20 else 1000.0
        metered.take_gpus(gpu(float(second), counted, mean))
        take(metered, float(second), watts(float(second), "module", power=mean + 390.0, mean_seconds=1.0))
        told = [rest.power_watts for rest in metered.snapshot(float(second)).remainders]

        assert second < 12 or told == [pytest.approx(390.0)], second


def test_t7_where_nvml_does_not_hwmon_is_the_source(metered, gpu):
    metered.take_gpus(gpu(0.0, 0.0, 300.0))
    take(metered, 0.0, watts(0.0, "module", "0", 490.0), watts(0.0, "module", "1", 495.0))
    snapshot = metered.snapshot(0.1)

    assert (boundary(snapshot, "module").source, boundary(snapshot, "module").power_watts) == ("hwmon", 985.0)
    assert snapshot.crosschecks == {}


def test_energy_of_a_meter_without_a_counter_is_integrated_and_says_so(metered):
    for second in (0.0, 1.0, 2.0):
        take(metered, second, watts(second, "module", power=500.0))
    figures = boundary(metered.snapshot(2.0), "module")

    assert figures.energy_joules_total == 1000.0
    assert figures.flags == {Flag.INTEGRATED}


def test_energy_is_not_integrated_over_a_gap(metered):
    for second in (0.0, 1.0, 9.0, 10.0):
        take(metered, second, watts(second, "module", power=500.0))

    assert boundary(metered.snapshot(10.0), "module").energy_joules_total == 1000.0


def test_a_short_mean_is_flagged_as_unverified(metered):
    take(metered, 0.0, watts(0.0, "module", unverified=True))

    assert Flag.UNVERIFIED in boundary(metered.snapshot(0.0), "module").flags


def test_tokens_are_divided_by_the_joules_of_a_meter(metered, page):
    for second in range(13):
        take(metered, float(second), watts(float(second), "node", power=700.0))
        metered.take_page(page(float(second), 7000.0 * second))

    assert metered.snapshot(12.0).tokens_per_joule[TokenKind.OUTPUT, "node"] == pytest.approx(10.0)


def test_t5_a_socket_that_is_silent_makes_the_ratio_absent(metered, page):
    for second in range(13):
        both = [watts(float(second), "module", "0"), watts(float(second), "module", "1")]
        take(metered, float(second), *(both if second < 12 else both[:1]))
        metered.take_page(page(float(second), 7000.0 * second))
    snapshot = metered.snapshot(12.0)

    assert (TokenKind.OUTPUT, "module") not in snapshot.tokens_per_joule
    assert boundary(snapshot, "module").reasons == {Invalid.MEMBER_MISSING}
    assert boundary(snapshot, "module").power_watts == 490.0


def test_t15_a_source_that_fails_takes_its_boundary_with_it(metered):
    take(metered, 0.0, watts(0.0, "module"), joules(0.0, "package", 5.0))
    metered.node.miss("hwmon")
    snapshot = metered.snapshot(0.1)

    assert boundary(snapshot, "module") is None
    assert parts(snapshot)["package", "0"].power_watts is None


def test_of_two_meters_of_one_boundary_one_is_the_source(metered):
    take(metered, 0.0, watts(0.0, "node", power=7000.0))
    take(metered, 0.0, watts(0.0, "node", power=7100.0), source="redfish")
    snapshot = metered.snapshot(0.1)

    assert boundary(snapshot, "node").source == "redfish"
    assert snapshot.crosschecks == {("node", "hwmon"): 7000.0}


def test_t7_rails_that_contain_each_other_are_added_to_nothing(metered):
    rails = [watts(0.0, rail, power=power) for rail, power in (("grace", 104.0), ("cpu", 53.0))]
    take(metered, 0.0, *rails)
    snapshot = metered.snapshot(0.0)

    assert snapshot.boundaries == ()
    assert {key: each.power_watts for key, each in parts(snapshot).items()} == {
        ("grace", "0"): 104.0,
        ("cpu", "0"): 53.0,
    }


def test_t1_a_counter_starts_at_zero_and_its_power_is_what_it_grew_by(metered):
    take(metered, 0.0, joules(0.0, "package", 5000.0))
    take(metered, 2.0, joules(2.0, "package", 5400.0))
    package = parts(metered.snapshot(2.0))["package", "0"]

    assert (package.energy_joules_total, package.power_watts) == (400.0, 200.0)


def test_t1_over_a_restart_of_rackwatt_a_wrapped_counter_adds_nothing_unseen(metered):
    take(metered, 0.0, joules(0.0, "package", 5000.0))
    take(metered, 1.0, joules(1.0, "package", 5100.0))
    again = metered.restart()
    again.node.expect(["hwmon"])
    take(again, 60.0, joules(60.0, "package", 300.0))
    take(again, 61.0, joules(61.0, "package", 400.0))

    assert parts(again.snapshot(61.0))["package", "0"].energy_joules_total == 200.0


# ---- meters that are read rarely, in several readings, in several ways


def shelf(seconds, unit, power, reading, readings=("redfish/a", "redfish/b"), **more):
    meter = MeterReading("rack", unit, at(seconds), power, source="redfish", readings=readings, **more)
    return Reading(reading, at(seconds), meters=(meter,))


@pytest.fixture
def rack():
    """Meters of a rack, which two readings tell of."""
    meters = NodeMeters(Ledger(), Horizon(120.0))
    meters.expect(["redfish/a", "redfish/b"])
    return meters


def test_power_that_is_read_every_five_seconds_is_integrated_and_said_to_be_unverified(metered):
    for second in (0.0, 5.0, 10.0):
        metered.node.take(Reading("redfish", at(second), meters=(watts(second, "node", power=700.0),)), 5.0)
    figures = boundary(metered.snapshot(10.0), "node")

    assert figures.energy_joules_total == 7000.0
    assert figures.flags == {Flag.INTEGRATED, Flag.UNVERIFIED}


def test_power_is_not_integrated_over_more_than_two_and_a_half_cadences(metered):
    for second in (0.0, 5.0, 20.0):
        metered.node.take(Reading("redfish", at(second), meters=(watts(second, "node", power=700.0),)), 5.0)

    assert boundary(metered.snapshot(20.0), "node").energy_joules_total == 3500.0


def test_a_meter_that_tells_both_is_believed_for_power_and_for_energy(metered):
    for second, energy in ((0.0, 9000.0), (5.0, 12_600.0)):
        take(metered, second, MeterReading("node", "0", at(second), 700.0, energy))
    figures = boundary(metered.snapshot(5.0), "node")

    assert (figures.power_watts, figures.energy_joules_total) == (700.0, 3600.0)


def test_t7_a_second_way_of_one_reading_is_a_cross_check(metered):
    meters = (
        MeterReading("node", "bmc", at(0.0), 7000.0, source="redfish"),
        MeterReading("node", "bmc/psu-0", at(0.0), 3550.0, source="redfish_supplies"),
        MeterReading("node", "bmc/psu-1", at(0.0), 3550.0, source="redfish_supplies"),
    )
    take(metered, 0.0, *meters, source="redfish")
    snapshot = metered.snapshot(0.0)

    assert (boundary(snapshot, "node").source, boundary(snapshot, "node").power_watts) == ("redfish", 7000.0)
    assert snapshot.crosschecks == {("node", "redfish_supplies"): 7100.0}


def test_a_meter_of_the_rack_is_nothing_of_the_node(metered):
    metered.node.take(shelf(0.0, "a", 66_000.0, "redfish"), 5.0)
    snapshot = metered.snapshot(0.0)

    assert (snapshot.boundaries, snapshot.parts) == ((), ())


def test_the_meters_of_a_rack_are_added_over_readings(rack):
    rack.take(shelf(0.0, "a", 66_000.0, "redfish/a"), 5.0, ())
    rack.take(shelf(0.1, "b", 65_000.0, "redfish/b"), 5.0, ())
    figures = rack.rack().figures

    assert (figures.source, figures.power_watts, figures.reasons) == ("redfish", 131_000.0, frozenset())


def test_t7_a_rack_of_which_one_reading_never_came_has_no_power(rack):
    rack.take(shelf(0.0, "a", 66_000.0, "redfish/a"), 5.0, ())
    figures = rack.rack().figures

    assert (figures.power_watts, figures.reasons) == (None, {Invalid.MEMBER_MISSING})


def test_t7_a_rack_of_which_one_reading_failed_has_no_power(rack):
    rack.take(shelf(0.0, "a", 66_000.0, "redfish/a"), 5.0, ())
    rack.take(shelf(0.1, "b", 65_000.0, "redfish/b"), 5.0, ())
    rack.miss("redfish/b")

    assert rack.rack().figures.power_watts is None


def test_a_counter_of_a_rack_may_grow_faster_than_any_nodes(rack):
    for second, energy in ((0.0, 0.0), (5.0, 330_000.0)):
        rack.take(shelf(second, "a", None, "redfish/a", ("redfish/a",), energy_joules=energy), 5.0, ())
    figures = rack.rack().figures

    assert (figures.power_watts, figures.energy_joules_total) == (66_000.0, 330_000.0)
