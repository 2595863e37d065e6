"""One of two instances has nothing to do, the other has a queue: nothing is wrong with either."""

from dataclasses import replace

from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity

BUSY = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97, clock_hertz=2.0e9)
IDLE = GpuSigns(1, "ok", power_watts=180.0, limit_watts=1400.0, utilization_ratio=0.0, clock_hertz=3.4e8)


def engine(place, at, made, running, waiting):
    point = Point(at.monotonic_seconds, made)
    return EngineSigns(
        f"e{place}", True, False, Activity.SERVING, 0.0, output=point, running=running, waiting=waiting
    )


def lived(seconds, running):
    """Both are full for a minute and a half; then the second makes nothing of so many requests."""
    memory = Memory()
    for second in range(seconds):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        full = second < 90
        first = engine(0, at, 400.0 * second, 8.0, 5000.0 if full else 10_000.0)
        other = engine(1, at, 400.0 * min(second, 89), 8.0 if full else running, 5000.0 if full else 0.0)
        gpus = (BUSY, BUSY if full else IDLE)
        unit = UnitSigns("m", "m", (first, other), gpus)
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=gpus))
    return memory


def test_an_instance_that_nobody_asks_is_no_drop():
    assert lived(150, running=0.0).incidents == ()


def test_what_is_usual_is_not_learned_while_some_have_nothing_to_do():
    assert (
        lived(600, running=0.0).watches["m"].gap.baseline == lived(95, running=0.0).watches["m"].gap.baseline
    )


def test_one_that_has_requests_and_makes_nothing_is_one():
    (incident,) = lived(150, running=8.0).incidents

    assert str(incident.cause) == "engine_stall"


def test_gpus_that_have_next_to_nothing_to_do_at_work_say_nothing_of_an_engine_that_cannot_be_read():
    memory, gpu = Memory(), replace(IDLE, utilization_ratio=0.02)
    for second in range(130):
        at, up = Moment(1000.0 + second, 1_760_000_000.0 + second), second < 90
        told = replace(engine(0, at, 20.0 * min(second, 89), 1.0, 0.0), up=up)
        unit = UnitSigns("m", "m", (told,), (gpu,))
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=(gpu,)))

    assert [str(each.kind) for each in memory.incidents] == ["gap"]
