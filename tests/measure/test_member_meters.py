"""Meters of other nodes on the rack's daemon: none of them is a figure of its own node."""

import pytest

from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reading
from agent.measure.validity import Flag, Invalid

UNIX = 1_760_000_000.0


def reading(seconds, *told, source="redfish/bmc-07"):
    at = Moment(seconds, UNIX + seconds)
    meters = tuple(
        MeterReading("node", unit, at, watts, joules, source="redfish", node=node)
        for node, unit, watts, joules in told
    )
    return Reading(source, at, meters=meters)


@pytest.fixture
def metered(bench):
    """The rack's daemon, beside two BMCs."""
    bench.node.expect(["redfish/bmc-07", "redfish/bmc-08", "redfish/own"])
    bench.node.others.known = frozenset({"tray-07", "tray-08"})
    return bench


def test_t7_the_power_of_another_node_is_not_that_of_this_one(metered):
    metered.node.take(reading(0.0, ("tray-07", "bmc-07", 6120.0, None)), 5.0)
    snapshot = metered.snapshot(0.1)

    assert [each.boundary for each in snapshot.boundaries] == []
    assert metered.node.others.told()["tray-07"].figures.power_watts == 6120.0
    assert snapshot.meters == {("redfish", "node", "tray-07/bmc-07"): True}


def test_this_node_has_a_controller_of_its_own_beside(metered):
    metered.node.take(reading(0.0, ("tray-07", "bmc-07", 6120.0, None)), 5.0)
    metered.node.take(reading(0.0, ("", "own", 310.0, None), source="redfish/own"), 5.0)
    (own,) = metered.snapshot(0.1).boundaries

    assert (own.boundary, own.power_watts) == ("node", 310.0)


def test_each_node_has_a_total_of_its_own(metered):
    for seconds in (0.0, 5.0, 10.0):
        metered.node.take(reading(seconds, ("tray-07", "bmc-07", 6000.0, None)), 5.0)
        metered.node.take(
            reading(seconds, ("tray-08", "bmc-08", 5000.0, 1e9 + 5100.0 * seconds), source="redfish/bmc-08"),
            5.0,
        )
    told = metered.node.others.told()

    assert told["tray-07"].figures.energy_joules_total == 60_000.0
    assert told["tray-07"].figures.flags >= {Flag.INTEGRATED}
    assert told["tray-08"].figures.energy_joules_total == 51_000.0
    assert told["tray-08"].figures.flags.isdisjoint({Flag.INTEGRATED})


def test_a_dead_bmc_is_named_with_its_node(metered):
    metered.node.take(reading(0.0, ("tray-07", "bmc-07", 6120.0, None)), 5.0)
    metered.node.miss("redfish/bmc-07")
    snapshot = metered.snapshot(5.0)

    assert metered.node.others.told()["tray-07"].figures is None
    assert snapshot.meters == {("redfish", "node", "tray-07/bmc-07"): False}
    (note,) = snapshot.notes
    assert note.startswith(
        "redfish: the meter bmc-07 of node tray-07 does not answer: the rack lacks the power"
    )


def test_one_of_several_meters_that_is_silent_makes_the_sum_no_whole(metered):
    told = (("tray-07", "bmc-07/PSU0", 3000.0, None), ("tray-07", "bmc-07/PSU1", None, None))
    metered.node.take(reading(0.0, *told), 5.0)

    assert metered.node.others.told()["tray-07"].figures.reasons == {Invalid.MEMBER_MISSING}


def test_a_name_that_no_member_has_is_told(metered):
    metered.node.take(reading(0.0, ("trya-07", "bmc-07", 6120.0, None)), 5.0)

    (note,) = metered.snapshot(0.1).notes
    assert note.startswith(
        "the meter of node 'trya-07' is read, and no member of the rack that has answered is"
    )


def test_a_controller_that_is_no_longer_configured_is_forgotten(metered):
    metered.node.take(reading(0.0, ("tray-07", "bmc-07", 6120.0, None)), 5.0)
    metered.node.expect(["redfish/own"])

    assert metered.node.others.told() == {}
