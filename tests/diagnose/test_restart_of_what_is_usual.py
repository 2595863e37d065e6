"""What a token usually takes survives a restart of the daemon, and what stands beside drops goes on."""

from dataclasses import replace

import pytest
from fakes.hand_node import GPU, HandNode, restarted

from agent.diagnose import thrift
from agent.diagnose.diagnosis import Memory, baselines_of, diagnosed, standing_of, with_baselines
from agent.diagnose.kept import recalled
from agent.diagnose.signs import GpuSigns, NodeSigns
from agent.measure.reading import Moment

BUSY = {"running": 20.0, "waiting": 0.0}
FEW = {"running": 5.0, "waiting": 0.0}
GPUS = tuple(replace(GPU, gpu=number, temperature_celsius=60.0) for number in range(4))


@pytest.fixture
def thrifty():
    """It makes 1,000 tokens/s at 3,600 W for long enough to know that."""
    return HandNode(gpus=GPUS, engine=BUSY).live(400)


def shown(node):
    return [(str(each.kind), each.ended is None) for each in node.incidents]


def test_what_a_token_takes_is_known_at_once_after_a_restart(thrifty):
    after = restarted(thrifty).gpu(2, power_watts=1800.0, temperature_celsius=82.0).live(180)

    second, incident = after.told[0]
    assert (incident.kind, incident.cause, incident.gpu) == ("efficiency", "thermal", 2)
    assert second - 405 <= 160
    assert "3.6 J is usual" in incident.summary


def test_what_an_earlier_version_kept_is_read_and_what_a_token_takes_is_learned_anew(thrifty):
    after = restarted(thrifty, without=["thrift", "thrifts", "lulls"])

    assert after.gpu(2, power_watts=1800.0).live(180).told == []


def test_a_token_that_takes_too_much_does_so_after_a_restart_as_the_same_incident(thrifty):
    thrifty.gpu(2, power_watts=1800.0).live(240)
    (before,) = thrifty.incidents
    after = restarted(thrifty, pause_seconds=60).live(120)

    (incident,) = after.incidents
    assert (incident.id, incident.started, incident.detected) == (before.id, before.started, before.detected)
    assert (incident.ended, incident.gpu) == (None, 2)
    assert shown(after.gpu(2, power_watts=900.0).live(120)) == [("efficiency", False)]


def test_less_demand_goes_on_as_the_same_and_ends_when_clients_are_back(thrifty):
    thrifty.live(240, rate=250.0, **FEW)
    (before,) = thrifty.incidents
    after = restarted(thrifty).live(120)

    (incident,) = after.incidents
    assert (incident.id, incident.kind, incident.ended) == (before.id, "demand", None)
    assert shown(after.live(60, rate=1000.0, **BUSY)) == [("demand", False)]


def test_what_stands_beside_is_over_when_its_deployment_is_not_seen_for_a_minute(thrifty):
    after = restarted(thrifty.gpu(2, power_watts=1800.0).live(240))
    after.unseen = True

    assert shown(after.live(55)) == [("efficiency", True)]
    assert shown(after.live(10)) == [("efficiency", False)]
    after.unseen = False
    # What is usual was not forgotten; what was over is not opened once more.
    assert shown(after.live(200)) == [("efficiency", True), ("efficiency", False)]


def test_of_many_loads_those_seen_for_longest_are_kept():
    usual = {place: thrift.Cost(2.0, float(place), {0: 700.04}, {0: 61.0}) for place in range(40)}
    (*rows,) = thrift.dumped(thrift.Thrift(usual=usual))

    assert [row[0] for row in rows] == [*range(39, 23, -1)]
    assert rows[0] == [39, 2.0, 39.0, None, [[0, 700.0]], [[0, 61.0]]]
    assert thrift.recalled(rows).usual[30] == thrift.Cost(2.0, 30.0, {0: 700.0}, {0: 61.0})


@pytest.mark.parametrize(
    "told", [7, [[1, 2.0]], [[1, -2.0, 3.0, None, [], []]], [[1, 2.0, 3.0, None, [7], []]]]
)
def test_what_is_something_else_is_refused(told, thrifty):
    kept = baselines_of(thrifty.memory)
    kept["m"]["thrift"] = told

    with pytest.raises((TypeError, ValueError)):
        with_baselines(Memory(), kept)


def test_gpus_that_were_never_seen_are_missing_since_they_were_told():
    def seen(memory, second):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        return diagnosed(memory, NodeSigns(at, "n", False, (), (GpuSigns(0, "ok"),), gpus_absent=1))

    memory = seen(Memory(), 1)
    after = seen(Memory(resumed=recalled(standing_of(memory), memory.incidents)), 10)

    assert [each.id for each in after.incidents] == [each.id for each in memory.incidents]
