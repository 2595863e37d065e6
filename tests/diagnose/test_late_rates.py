"""What was made while nobody could read an engine is a mean, and no rate of now."""

import pytest

from agent.diagnose.baseline import Baseline
from agent.diagnose.demand import asked_of, wanted
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.gap import Gap, stepped
from agent.diagnose.sample import Sample
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity

BUSY = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97)
HIDDEN = range(90, 130)


def gap_after(seconds, hidden_rate, later_rate=800.0):
    """The gap of a deployment that makes 800 tokens/s, but another rate while it is not read, and after."""
    memory, made, point = Memory(), 0.0, None
    for second in range(seconds):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        made += hidden_rate if second in HIDDEN else 800.0 if second < HIDDEN.start else later_rate
        up = second not in HIDDEN
        point = Point(at.monotonic_seconds, made) if up else point
        activity = Activity.SERVING if up else Activity.UNKNOWN
        running = 8.0 if up else None
        engine = EngineSigns("e0", up, False, activity, 0.0, output=point, running=running)
        unit = UnitSigns("m", "m", (engine,), (BUSY,))
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=(BUSY,)))
    return memory.watches["m"].gap


@pytest.mark.parametrize("seconds", [131, 132, 133, 140])
def test_fewer_tokens_while_nobody_saw_it_begin_no_gap(seconds):
    assert gap_after(seconds, hidden_rate=200.0).since is None


def test_fewer_tokens_that_go_on_begin_one():
    gap = gap_after(140, hidden_rate=400.0, later_rate=400.0)

    assert gap.sure
    assert gap.since == pytest.approx(1000.0 + HIDDEN.stop, abs=3.0)


def test_what_was_asked_for_while_demand_fell_is_of_one_time():
    """A rate goes over the last seconds: when half of a minute is at another load, the middles differ."""
    loads = [(6200.0, 128.0)] * 33 + [(6200.0, 111.0)] * 3 + [(5350.0, 111.0)] * 29
    samples = tuple(
        Sample(float(second), {}, {}, (), rate, load, 0.0, load) for second, (rate, load) in enumerate(loads)
    )
    asked = asked_of(samples, 70.0)

    assert wanted(Baseline(), asked, samples) == pytest.approx(5350.0, rel=0.01)


@pytest.mark.parametrize(("instances", "sure"), [(1, True), (2, False)])
def test_each_instance_counts_whole_requests(instances, sure):
    """Of sixteen requests of two instances either may have half a one less: six percent are nothing."""
    gap, samples = Gap(), ()
    for second in range(200):
        names = [f"e{place}" for place in range(instances)]
        rate = 1600.0 if second < 150 else 1505.0
        engines = {name: EngineSigns(name, True, False, Activity.SERVING, 0.0) for name in names}
        sample = Sample(float(second), engines, {}, (), rate, 16.0, 0.0, 16.0)
        gap, samples = stepped(gap, samples, sample), (*samples, sample)

    assert gap.sure is sure
