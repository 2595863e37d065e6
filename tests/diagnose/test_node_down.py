"""A member that does not answer: down where the rack's meter shows its power gone, else not seen."""

import random

import pytest
from fakes.rack_moments import away, member, rack

from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.diagnose.rack_signs import rack_signs_of

NODES = 7
TRAY_WATTS = 7_000.0
SWITCHES_WATTS = 4_000.0
GONE_AT = 30
RATE = 1_000.0


class Rack:
    """A rack of trays lived through second by second; its meter is before shelves that lose a part."""

    def __init__(self, *, boundary="node", noise=0.0, cadence=1, metered=True, seed=3):
        self.boundary, self.noise, self.cadence, self.metered = boundary, noise, cadence, metered
        self.dice, self.memory, self.meter, self.told = random.Random(seed), RackMemory(), None, []

    def live(self, first, last, gone=(), draws=0.0, rate=RATE, drained=()):
        """`gone` do not answer, and each draws so much."""
        for second in range(first, last):
            watts = [TRAY_WATTS * (1.0 + self.dice.gauss(0.0, self.noise)) for _ in range(NODES)]
            for number in (*gone, *drained):
                watts[number] = draws
            if second % self.cadence == 0:
                self.meter = 1.04 * (sum(watts) + SWITCHES_WATTS)
            members = [self.member(number, watts[number], rate, gone, drained) for number in range(NODES)]
            power = {"rack": self.meter} if self.metered else {}
            moment = rack(second, *members, power_watts=power)
            self.memory = rack_diagnosed(self.memory, rack_signs_of(moment))
            for each in self.memory.incidents:
                if not self.told or (each.kind, each.cause) != self.told[-1][1:3]:
                    self.told.append((second, str(each.kind), str(each.cause), each.id))
        return self

    def member(self, number, watts, rate, gone, drained):
        if number in gone:
            return away(number)
        inside = watts * (0.8 if self.boundary == "gpu" else 1.0)
        changes = {"up": False, "drained": True} if number in drained else {}
        return member(number, rate, power_watts={self.boundary: inside}, **changes)

    @property
    def incident(self):
        (incident,) = self.memory.incidents
        return incident


def test_a_member_whose_power_is_gone_with_it_is_down():
    lived = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3])

    incident = lived.incident
    assert (incident.kind, incident.cause, incident.severity) == ("drop", "node_down", "critical")
    assert (incident.node, incident.scope) == ("tray-03", "rack")
    assert incident.summary == (
        "tray-03 is down: it does not answer, and its power is gone with it: beside the nodes that answer "
        "the rack draws 5.8 kW, with tray-03 at work it was 13.1 kW"
    )
    assert [each.metric for each in incident.evidence] == ["rack_member_up", "rack_power_watts"]
    told_at, *_ = lived.told[-1]
    assert told_at - GONE_AT <= 12


def test_until_the_meter_is_sure_it_is_a_gap_and_stays_one_incident():
    lived = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3])

    (_, *gap, first), (_, *down, second) = lived.told
    assert (gap, down) == (["gap", "telemetry_gap"], ["drop", "node_down"])
    assert first == second
    assert lived.incident.detected < lived.incident.started + 7.0


def test_a_member_that_still_draws_power_is_a_gap_and_says_so():
    incident = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3], draws=TRAY_WATTS).incident

    assert (incident.kind, incident.cause, incident.lost_tokens) == ("gap", "telemetry_gap", 0.0)
    assert incident.summary == (
        "tray-03 does not report: timed_out: no answer; "
        "its power is still there: the way to it or its daemon is away, not the node"
    )
    assert incident.evidence[1].metric == "rack_power_watts"


@pytest.mark.parametrize("share", [0.5, 0.6])
def test_half_of_its_power_says_neither(share):
    incident = (
        Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3], draws=share * TRAY_WATTS).incident
    )

    assert incident.summary.endswith("whether it works meanwhile is not known")


def test_without_a_meter_of_the_rack_nobody_knows():
    incident = Rack(metered=False).live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3]).incident

    assert (incident.cause, incident.summary.endswith("is not known")) == ("telemetry_gap", True)


def test_a_meter_that_is_read_each_ten_seconds_and_gpus_that_alone_tell_power_are_enough():
    lived = Rack(boundary="gpu", cadence=10).live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3])

    assert lived.incident.cause == "node_down"


@pytest.mark.parametrize("draws", [0.0, TRAY_WATTS])
def test_power_that_swings_more_than_one_tray_draws_is_no_proof(draws):
    """What the meter and the members say is of different seconds: the swing of all hides one of them."""
    lived = Rack(noise=0.25, cadence=10).live(0, GONE_AT).live(GONE_AT, GONE_AT + 40, gone=[3], draws=draws)

    assert lived.incident.summary.endswith("is not known")


def test_a_rack_that_loses_a_shelf_has_all_its_trays_down():
    lived = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + 3, gone=[3]).live(33, 70, gone=[3, 4, 5])

    assert [str(each.cause) for each in lived.memory.incidents] == ["node_down"] * 3


def test_two_that_go_one_after_the_other_are_told_apart():
    """The network of one fails, then the power of another, which is missed three seconds late."""
    lived = Rack().live(0, GONE_AT).live(GONE_AT, 60, gone=[3], draws=TRAY_WATTS)
    meter = 1.04 * ((NODES - 1) * TRAY_WATTS + SWITCHES_WATTS)
    for second in range(60, 90):
        gone = [3] if second < 63 else [3, 5]
        members = [lived.member(number, TRAY_WATTS, RATE, gone, ()) for number in range(NODES)]
        moment = rack(second, *members, power_watts={"rack": meter})
        lived.memory = rack_diagnosed(lived.memory, rack_signs_of(moment))

    causes = {each.node: str(each.cause) for each in lived.memory.incidents}
    assert causes == {"tray-03": "telemetry_gap", "tray-05": "node_down"}


def test_it_is_over_when_it_answers_again_and_stays_down_while_it_boots():
    lived = Rack().live(0, GONE_AT).live(GONE_AT, 60, gone=[3]).live(60, 80, gone=[3], draws=TRAY_WATTS)
    assert (lived.incident.cause, lived.incident.ended) == ("node_down", None)

    assert lived.live(80, 82).incident.ended is not None


def test_it_costs_what_it_made_less_what_others_make_more():
    seconds = 60
    idle = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + seconds, gone=[3]).incident
    taken = Rack().live(0, GONE_AT).live(GONE_AT, GONE_AT + seconds, gone=[3], rate=RATE * 1.1).incident

    assert idle.lost_tokens == pytest.approx(RATE * seconds, rel=0.02)
    assert idle.lost_gpu_seconds == pytest.approx(seconds, rel=0.02)
    # Six others make a tenth more each: six tenths of what is missing.
    assert taken.lost_tokens == pytest.approx(RATE * seconds * (1.0 - 0.6), rel=0.05)
    assert taken.lost_tokens_bounds.upper == pytest.approx(RATE * seconds, rel=0.02)


def test_one_that_made_nothing_is_down_and_wakes_nobody():
    spare = Rack().live(0, GONE_AT, rate=0.0).live(GONE_AT, 50, gone=[3], rate=0.0).incident

    assert (spare.cause, spare.severity, spare.lost_tokens) == ("node_down", "warning", 0.0)


def test_one_that_is_drained_is_not_down():
    assert Rack().live(0, GONE_AT).live(GONE_AT, 50, drained=[3]).memory.incidents == ()
