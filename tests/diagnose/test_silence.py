"""An engine that does not answer: down where its GPUs do nothing, otherwise only not seen."""

import pytest

from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns, are_idle
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity

BUSY = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97)
IDLE = GpuSigns(0, "ok", power_watts=180.0, limit_watts=1400.0, utilization_ratio=0.0)
SPINNING = GpuSigns(0, "ok", power_watts=260.0, limit_watts=1400.0, utilization_ratio=1.0)
UNTOLD = GpuSigns(0, "ok")


def told_after(seconds, gpu, engines=1):
    """A minute and a half of work, then so many seconds in which no page can be read."""
    memory = Memory()
    for second in range(90 + seconds):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        up = second < 90
        signs = tuple(
            EngineSigns(
                f"e{place}",
                up=up,
                gone=False,
                activity=Activity.SERVING if up else Activity.UNKNOWN,
                restarts=0.0,
                output=Point(at.monotonic_seconds, 800.0 * second) if up else None,
                running=8.0 if up else None,
            )
            for place in range(engines)
        )
        gpus = (BUSY if up else gpu,)
        unit = UnitSigns("m", "m", signs, gpus)
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=gpus))
    return [(str(each.kind), str(each.cause)) for each in memory.incidents if each.ended is None]


@pytest.mark.parametrize("gpu", [BUSY, SPINNING, UNTOLD])
def test_while_gpus_may_work_it_is_a_gap(gpu):
    assert told_after(40, gpu) == [("gap", "telemetry_gap")]


@pytest.mark.parametrize("engines", [1, 2])
def test_while_gpus_do_nothing_it_is_down(engines):
    assert told_after(40, IDLE, engines) == [("drop", "engine_down")]


def test_it_may_still_be_a_restart_at_first():
    assert told_after(15, IDLE) == [("restart", "engine_down")]


def test_a_reading_or_two_that_were_missed_are_nothing():
    assert told_after(3, IDLE) == []


def test_an_idle_gpu_is_one_that_says_so():
    assert are_idle((IDLE, IDLE))
    assert not are_idle((IDLE, BUSY))
    assert not are_idle(())
