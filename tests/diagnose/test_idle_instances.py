"""One of two instances has nothing to do, the other has a queue: nothing is wrong with either."""

from dataclasses import replace

import pytest

from agent.diagnose.baseline import Baseline, Level, place_of
from agent.diagnose.case import Case
from agent.diagnose.causes import workload_shift
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.gap import capacity_at
from agent.diagnose.sample import Rates, sampled
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


def test_an_instance_without_a_queue_that_has_half_a_batch_makes_half_of_its_part():
    """Both have made 400 tokens/s of eight requests; one has worked off its queue."""
    full = engine(0, Moment(0.0, 0.0), 0.0, 8.0, 5000.0)
    half = engine(1, Moment(0.0, 0.0), 0.0, 4.0, 0.0)
    rates = {each.instance: Rates(output=400.0) for each in (full, half)}
    baseline = Baseline(levels={8: Level(800.0, 600.0, place_of(16.0))}, seconds=600.0, batch=16.0)
    samples = tuple(sampled(float(at), {"e0": full, "e1": half}, rates, ()) for at in range(5))

    assert capacity_at(baseline, samples) == pytest.approx(600.0)


def case_of_prompts(mix, learned, idle=0):
    """Before and now 1,500 tokens/s are made with so many prompt tokens for each; 1,950 are expected."""
    one = engine(0, Moment(0.0, 0.0), 0.0, 16.0, 5000.0)
    samples = [sampled(float(at), {"e0": one}, {"e0": Rates(1500.0, 1500.0 * mix)}, ()) for at in range(60)]
    level = Level(1950.0, 600.0, place_of(16.0), learned)
    baseline = Baseline(levels={8: level}, seconds=600.0, batch=16.0)
    return Case("node-a", 50.0, tuple(samples[:50]), tuple(samples[50:]), baseline, 1950.0, 0.23)


@pytest.mark.parametrize(("learned", "told"), [(0.9, 1), (2.8, 0), (None, 0)])
def test_prompts_that_were_long_before_are_other_work_than_what_the_load_was_learned_with(learned, told):
    assert len(list(workload_shift.explain(case_of_prompts(2.8, learned)))) == told


@pytest.mark.parametrize(("worked_on", "kind"), [(0, "drop"), (40, "gap"), (170, "gap")])
def test_gpus_that_worked_on_for_a_while_after_the_last_answer_may_have_ended_their_work(worked_on, kind):
    memory = Memory()
    for second in range(320):
        at, up = Moment(1000.0 + second, 1_760_000_000.0 + second), second < 90
        told = replace(engine(0, at, 400.0 * min(second, 89), 8.0, 5000.0), up=up)
        gpu = BUSY if second < 90 + worked_on else IDLE
        unit = UnitSigns("m", "m", (told,), (gpu,))
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=(gpu,)))

    assert [str(each.kind) for each in memory.incidents if each.ended is None] == [kind]


def test_also_where_nothing_at_all_was_asked_for_most_of_the_time_before():
    assert len(list(workload_shift.explain(case_of_prompts(2.8, 0.9, idle=40)))) == 1
