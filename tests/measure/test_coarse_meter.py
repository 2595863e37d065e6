"""Counters in kilowatt hours: good for a total, too coarse for a window, and held against power (T1, T9)."""

import json

import pytest

from agent.measure.ledger import Ledger
from agent.measure.meter import MeterReading
from agent.measure.node_meters import NodeMeters
from agent.measure.reading import Moment, Reading
from agent.measure.series import Horizon
from agent.measure.validity import Flag, Invalid

UNIX = 1_760_000_000.0
STEP = 0.1 * 3.6e6
"""A PDU that shows tenths of a kilowatt hour."""
WATTS = 60_000.0
EVERY = 5.0


class Pdu:
    """A PDU that draws 60 kW, read every 5 s; its counter and its power are what a test makes of them."""

    def __init__(self, kept=None):
        self.ledger = Ledger()
        if kept is not None:
            self.ledger.load(json.loads(json.dumps(kept)))
        self.meters = NodeMeters(self.ledger, Horizon(600.0))

    def take(self, seconds, raw, watts=WATTS):
        at = Moment(seconds, UNIX + seconds)
        meter = MeterReading(
            "rack", "pdu-1", at, watts, None, coarse_joules=raw, unverified=True, source="redfish"
        )
        self.meters.take(Reading("redfish/pdu-1", at, meters=(meter,)), EVERY, ())

    def live(self, start, end, *, began=7.0e9, share=1.0, shown=True):
        for second in range(start, end, int(EVERY)):
            used = WATTS * share * second
            self.take(float(second), (began + used) // STEP * STEP if shown else None)
        return self.told

    @property
    def told(self):
        return self.meters.rack().figures


def test_t1_the_total_is_the_counters_and_the_window_is_integrated_power():
    """An hour at 60 kW in 600 steps; the live series moves with every reading all the same."""
    pdu = Pdu()
    told = pdu.live(0, 3605)
    (series,) = [member.series for member in pdu.meters.rack().members]

    assert told.energy_joules_total % STEP == 0.0
    assert told.energy_joules_total == pytest.approx(60 * 3.6e6, abs=STEP)
    assert series.last.value == pytest.approx(3600 * WATTS)
    assert pdu.meters.energy_by == {("redfish", "rack", "pdu-1"): "coarse_counter"}


def test_t9_a_counter_that_agrees_with_power_verifies_it():
    pdu = Pdu()

    assert pdu.live(0, 60).flags == {Flag.INTEGRATED, Flag.UNVERIFIED}
    assert pdu.live(60, 400).flags == {Flag.INTEGRATED}
    assert pdu.told.reasons == frozenset()


def test_t9_a_counter_that_contradicts_power_twice_running_is_a_reason():
    pdu = Pdu()

    assert pdu.live(0, 135, share=1.5).reasons == frozenset()
    assert pdu.live(135, 300, share=1.5).reasons == {Invalid.COUNTER_POWER_MISMATCH}


def test_what_was_used_while_nobody_read_is_in_the_counter_and_so_in_the_total():
    pdu = Pdu()
    pdu.live(0, 100)
    pdu.live(1000, 1005)

    assert pdu.told.energy_joules_total == pytest.approx(1000 * WATTS, abs=STEP)


def test_t1_a_restart_of_ours_goes_on_where_the_counter_is():
    pdu = Pdu()
    pdu.live(0, 100)
    again = Pdu(pdu.ledger.dump())

    assert again.live(7200, 7300).energy_joules_total == pytest.approx(7295 * WATTS, abs=STEP)


def test_t2_a_counter_that_was_reset_counts_from_zero():
    pdu = Pdu()
    before = pdu.live(0, 600).energy_joules_total
    after = pdu.live(600, 1200, began=-600 * WATTS).energy_joules_total

    assert after - before == pytest.approx(595 * WATTS, abs=2 * STEP)


def test_a_jump_that_no_rack_can_draw_is_not_counted():
    pdu = Pdu()
    pdu.live(0, 100)
    total = pdu.told.energy_joules_total
    pdu.take(100.0, 9.0e11)

    assert pdu.told.energy_joules_total == total


def test_while_the_counter_is_not_told_power_is_integrated_and_nothing_is_counted_twice():
    pdu = Pdu()
    pdu.live(0, 100)
    pdu.live(100, 200, shown=False)

    assert pdu.meters.energy_by == {("redfish", "rack", "pdu-1"): "integrated"}
    assert pdu.live(200, 300).energy_joules_total == pytest.approx(295 * WATTS, abs=3 * STEP)


def test_a_counter_that_stands_still_while_power_flows_is_no_counter():
    """Three kilowatt hours at 60 kW are three minutes; what it had not counted till then is in the total."""
    pdu = Pdu()
    for second in range(0, 605, 5):
        pdu.take(float(second), 4.2e9)

    assert pdu.meters.energy_by == {("redfish", "rack", "pdu-1"): "integrated"}
    assert pdu.told.energy_joules_total == pytest.approx(600 * WATTS)
    assert pdu.told.reasons == frozenset()


def test_a_counter_that_moves_again_is_believed_from_there_on():
    pdu = Pdu()
    for second in range(0, 605, 5):
        pdu.take(float(second), 4.2e9)
    told = pdu.live(605, 905, began=5.0e9)

    assert pdu.meters.energy_by == {("redfish", "rack", "pdu-1"): "coarse_counter"}
    assert told.energy_joules_total == pytest.approx(900 * WATTS, abs=3 * STEP)


def test_a_small_meter_may_move_in_steps_larger_than_what_it_draws_between_two_readings():
    """A whole kilowatt hour at once is 18 MW over a fifth of a second; the meter draws 1 kW."""
    pdu = Pdu()
    for second in (0.0, 3599.8, 3600.0, 7200.0):
        pdu.take(second, 1000.0 * second // 3.6e6 * 3.6e6, watts=1000.0)

    assert pdu.told.energy_joules_total == 7.2e6
