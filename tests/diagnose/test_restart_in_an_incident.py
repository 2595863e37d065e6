"""A daemon that ends in an incident opens it no second time: its beginning, cause and loss go on."""

import json

import pytest
from fakes.hand_node import HandNode, restarted
from fakes.rack_moments import away, member, rack

from agent.diagnose import kept, rack_diagnosis, rack_kept
from agent.diagnose.rack_diagnosis import RackMemory, rack_diagnosed
from agent.diagnose.rack_power import Away, PowerBook
from agent.diagnose.rack_signs import rack_signs_of

CAPPED = {"clock_hertz": 1.4e9, "throttle": frozenset({"sw_power_cap"})}


@pytest.fixture
def capped():
    return HandNode().live(120).gpu(**CAPPED).live(60, rate=700.0)


def test_a_drop_goes_on_as_the_same_one_with_its_cause(capped):
    (before,) = capped.incidents
    after = restarted(capped).live(40)

    (incident,) = after.incidents
    assert (incident.id, incident.started, incident.detected) == (before.id, before.started, before.detected)
    assert (incident.cause, incident.ended, incident.gpu) == (before.cause, None, before.gpu)
    assert [each.text for each in incident.evidence[1:]] == [each.text for each in before.evidence[1:]]
    assert incident.summary == before.summary


def test_its_loss_grows_on_and_not_by_what_was_not_seen(capped):
    (before,) = capped.incidents
    (incident,) = restarted(capped, pause_seconds=600).live(42).incidents

    assert incident.lost_tokens == pytest.approx(before.lost_tokens + 300.0 * 40, rel=0.03)
    assert incident.lost_gpu_seconds > before.lost_gpu_seconds
    assert incident.lost_joules is not None


def test_it_ends_when_nothing_is_missing_any_more(capped):
    (incident,) = restarted(capped).live(10).live(20, rate=1000.0).incidents

    assert incident.ended == pytest.approx(incident.started + 60 + 5 + 10, abs=4)


def test_it_is_over_if_it_ended_while_nobody_looked(capped):
    (incident,) = restarted(capped).live(30, rate=1000.0).incidents

    assert incident.ended is not None


def test_an_engine_that_is_gone_stays_down_though_nothing_was_seen_of_it_since():
    down = HandNode(gpus=()).live(120).live(40, rate=0.0, up=False, gone=True, output=None, running=None)
    (before,) = down.incidents
    (incident,) = restarted(down).live(60).incidents

    assert (incident.id, incident.cause, incident.severity) == (before.id, "engine_down", "critical")
    assert incident.ended is None
    assert incident.lost_tokens > before.lost_tokens + 50_000


def test_what_nothing_is_seen_of_for_a_minute_is_over(capped):
    after = restarted(capped)
    after.unseen = True

    assert after.live(55).incidents[0].ended is None
    assert after.live(10).incidents[0].ended is not None


def test_a_gap_of_telemetry_goes_on():
    blind = HandNode().live(120).live(30, up=False, output=None, running=None)
    (before,) = blind.incidents
    (incident,) = restarted(blind).live(20).incidents

    assert (incident.id, incident.kind, incident.ended) == (before.id, "gap", None)


def test_the_second_of_two_faults_goes_on_as_the_same_one_and_the_loss_is_divided_as_before(capped):
    stalled = capped.live(60, rate=0.0)
    before = {str(each.cause): each for each in stalled.incidents}
    assert set(before) == {"power_cap", "engine_stall"}

    after = {str(each.cause): each for each in restarted(stalled).live(40).incidents}
    assert {cause: (each.id, each.started, each.ended) for cause, each in after.items()} == {
        cause: (each.id, each.started, None) for cause, each in before.items()
    }
    more = {cause: after[cause].lost_tokens - each.lost_tokens for cause, each in before.items()}
    assert more == pytest.approx({"power_cap": 300.0 * 40, "engine_stall": 700.0 * 40}, rel=0.1)
    assert sum(each.lost_gpu_seconds for each in after.values()) == pytest.approx(0.3 * 60 + 100, rel=0.05)


def test_one_whose_forerunner_is_over_claims_nothing_of_it_after_a_restart():
    idle = {"power_watts": 150.0, "utilization_ratio": 0.0}
    node = HandNode().live(120).gpu(**idle).live(60, rate=0.0, up=False, gone=True, output=None)
    node.gpu(power_watts=700.0, utilization_ratio=0.97, **CAPPED).live(40, rate=700.0, restarts=1.0)
    assert {str(each.cause): each.ended is None for each in node.incidents} == {
        "power_cap": True,
        "engine_down": False,
    }

    after = {str(each.cause): each for each in restarted(node).live(40).incidents}
    assert after["engine_down"].lost_tokens == pytest.approx(1000.0 * 60, rel=0.05)
    assert after["power_cap"].lost_tokens == pytest.approx(300.0 * 80, rel=0.1)
    assert "fewer tokens" in after["power_cap"].summary


@pytest.mark.parametrize("told", [None, {}, {"gaps": 7, "crowds": {}}, {"gaps": {"m": {}}, "crowds": {}}])
def test_what_is_something_else_is_refused(told, capped):
    with pytest.raises((TypeError, KeyError, ValueError)):
        kept.recalled(told, capped.incidents)


FOUR = tuple(member(number) for number in range(4))
SLOW = (*FOUR[:3], member(3, 900.0))


def judged(memory, first, last, *members, watts=None):
    for second in range(first, last):
        power = {} if watts is None else {"rack": watts}
        memory = rack_diagnosed(memory, rack_signs_of(rack(second, *members, power_watts=power)))
    return memory


def resumed(memory):
    told = json.loads(json.dumps(rack_diagnosis.standing_of(memory)))
    return RackMemory(resumed=rack_kept.recalled(told, memory.own_incidents))


@pytest.mark.parametrize("members", [SLOW, (*FOUR[:3], away(3))], ids=["straggler", "gap"])
def test_what_only_a_rack_sees_goes_on(members):
    memory = judged(judged(RackMemory(), 0, 10, *FOUR), 10, 100, *members)
    (before,) = memory.incidents
    nobody = tuple(away(number) for number in range(4))
    after = judged(judged(resumed(memory), 103, 105, *nobody), 105, 200, *members)

    (incident,) = after.incidents
    assert (incident.id, incident.ended, incident.detected) == (before.id, None, before.detected)


def test_a_node_that_is_down_stays_down_and_costs_more():
    told = [member(number, power_watts={"node": 7000.0}) for number in range(4)]
    memory = judged(RackMemory(), 0, 40, *told, watts=29_000.0)
    memory = judged(memory, 40, 80, *told[:3], away(3), watts=22_000.0)
    (before,) = memory.incidents
    (incident,) = judged(resumed(memory), 90, 130, *told[:3], away(3), watts=22_000.0).incidents

    assert (incident.id, incident.cause, incident.severity) == (before.id, "node_down", "critical")
    assert incident.lost_tokens == pytest.approx(before.lost_tokens + 40_000.0, rel=0.05)


def test_what_a_controller_said_of_a_member_is_its_own_after_a_restart_too():
    off = Away(10.0, 10.0, {"tray-03": 7000.0}, 7000.0, 0.0, frozenset(), 40.0, own=True)
    memory = RackMemory(power=PowerBook(known={"tray-03": off}), at=rack(20).at)

    (away_,) = resumed(memory).resumed.away.values()
    assert (away_.own, away_.now, away_.power) == (True, 40.0, off.power)
