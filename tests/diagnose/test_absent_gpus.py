"""GPUs that should be there and were never seen: a fault of the node that stands while they are missing."""

from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import GpuSigns, NodeSigns
from agent.measure.incident import Cause, Kind
from agent.measure.reading import Moment


def after(*absent, memory=None, drained=False):
    """Seconds in which so many are missed, beside three GPUs that are well."""
    memory = memory or Memory()
    for second, count in enumerate(absent):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        gpus = tuple(GpuSigns(n, "ok") for n in range(3))
        memory = diagnosed(memory, NodeSigns(at, "tray-7", drained, (), gpus, gpus_absent=count))
    return memory


def standing(memory):
    return [each for each in memory.incidents if each.ended is None]


def test_it_stands_as_one_incident_for_as_long_as_they_are_missing():
    memory = after(0, *[1] * 120)
    (incident,) = standing(memory)

    assert (incident.kind, incident.cause, incident.gpu) == (Kind.FAULT, Cause.GPU_LOST, None)
    assert incident.summary.startswith("tray-7: only 3 of 4 GPUs were ever seen here")
    assert incident.started == 1_760_000_001.0
    assert len(memory.incidents) == 1


def test_it_ends_when_they_are_there():
    memory = after(1, 1, 0)

    assert standing(memory) == []
    assert memory.incidents[0].ended == 1_760_000_002.0


def test_of_a_node_that_was_taken_out_nothing_is_missed():
    assert standing(after(1, 1, drained=True)) == []
