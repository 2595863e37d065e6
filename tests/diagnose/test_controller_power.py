"""A member that does not report, whose controller the rack's daemon reads: down, or only not seen."""

from dataclasses import replace

import pytest
from fakes.incidents import not_reporting

from agent.diagnose.absence import told_of
from agent.diagnose.rack_considered import rack_considered, rack_unknown
from agent.diagnose.rack_power import Power, PowerBook, powered
from agent.diagnose.rack_signs import MemberSigns, RackSigns
from agent.measure.incident import Cause, Kind
from agent.measure.reading import Moment

AT_WORK = 6100.0
UP = MemberSigns("a", up=True, power_watts=AT_WORK, power_boundary="node", controller_watts=AT_WORK)
B = replace(UP, node="b")


def rack(second, *members):
    return RackSigns(Moment(float(second), 0.0), "r12", members)


def away(watts):
    return replace(UP, up=False, power_watts=None, power_boundary="", controller_watts=watts)


def lived(watts, seconds=15):
    """Half a minute at work; then `a` does not report, and its controller shows this."""
    book = PowerBook()
    for second in range(30):
        book = powered(book, rack(second, UP, B))
    for second in range(30, 30 + seconds):
        book = powered(book, rack(second, away(watts), B))
    return book.known.get("a")


@pytest.mark.parametrize(
    ("watts", "power"), [(35.0, Power.OFF), (0.0, Power.OFF), (1300.0, Power.ON), (6050.0, Power.ON)]
)
def test_a_controller_tells_a_node_that_is_off_from_one_that_is_only_not_seen(watts, power):
    """1.3 kW is a tray whose GPUs do nothing: its engine is gone, and it is on."""
    assert lived(watts).power is power


def test_nothing_is_judged_before_the_controller_has_been_read_anew():
    assert lived(6050.0, seconds=5).power is None


def test_in_between_nobody_knows():
    assert lived(750.0).power is None


def test_a_node_that_is_off_is_told_as_down_with_what_its_controller_shows():
    told = told_of(away(35.0), None, lived(35.0), 15.0)

    assert (told["kind"], told["cause"]) == (Kind.DROP, Cause.NODE_DOWN)
    assert told["summary"].endswith("its controller shows 35 W, at work it was 6,100 W")
    assert (told["evidence"][1].before, told["evidence"][1].during) == (AT_WORK, 35.0)


def test_a_node_that_is_on_is_only_not_seen():
    told = told_of(away(6050.0), None, lived(6050.0), 15.0)

    assert (told["kind"], told["cause"]) == (Kind.GAP, Cause.TELEMETRY_GAP)
    assert "its power is still there" in told["summary"]


def test_what_was_considered_names_the_controller_and_lacks_no_meter():
    signs = rack(45, away(35.0), B)
    incident = replace(not_reporting(), node="a", cause=Cause.NODE_DOWN)

    assert rack_considered(signs, incident)[0].text == "1 of 2 members report, its controller shows 35 W"
    assert list(rack_unknown(signs, incident)) == []
