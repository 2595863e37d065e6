"""An engine that does not answer: down where its GPUs do nothing, otherwise only not seen."""

from dataclasses import replace

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


def told_after(*stretches, engines=1, gone=False):
    """A minute and a half of work, then stretches (seconds, GPUs) in which no page can be read."""
    memory, second = Memory(), 0
    whole = len(stretches[0][1:]) or 1
    for seconds, *gpus in ((90, *[BUSY] * whole), *stretches):
        for _ in range(seconds):
            memory = diagnosed(memory, moment(second, gpus, second < 90, engines, gone))
            second += 1
    return [each for each in memory.incidents if each.ended is None]


def moment(second, gpus, up, engines, gone):
    at = Moment(1000.0 + second, 1_760_000_000.0 + second)
    signs = tuple(
        EngineSigns(
            f"e{place}",
            up=up,
            gone=not up and gone,
            activity=Activity.SERVING if up else Activity.UNKNOWN,
            restarts=0.0,
            output=Point(at.monotonic_seconds, 800.0 * second) if up else None,
            running=8.0 if up else None,
        )
        for place in range(engines)
    )
    numbered = tuple(replace(each, gpu=number) for number, each in enumerate(gpus))
    unit = UnitSigns("m", "m", signs, numbered)
    return NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=numbered)


def kinds(incidents):
    return [(str(each.kind), str(each.cause)) for each in incidents]


@pytest.mark.parametrize("gpu", [BUSY, SPINNING, UNTOLD])
def test_while_gpus_may_work_it_is_a_gap(gpu):
    assert kinds(told_after((40, gpu))) == [("gap", "telemetry_gap")]


@pytest.mark.parametrize("engines", [1, 2])
def test_while_gpus_do_nothing_it_is_down(engines):
    assert kinds(told_after((40, IDLE), engines=engines)) == [("drop", "engine_down")]


def test_it_may_still_be_a_restart_at_first():
    assert kinds(told_after((15, IDLE))) == [("restart", "engine_down")]


def test_a_reading_or_two_that_were_missed_are_nothing():
    assert kinds(told_after((3, IDLE))) == []


def test_while_nothing_listens_and_every_gpu_works_on_it_is_the_page_that_is_away():
    (gap,) = told_after((300, BUSY, BUSY), gone=True)

    assert (gap.kind, gap.cause) == ("gap", "telemetry_gap")
    assert gap.evidence[0].text == (
        "nothing listens at the page of e0, and its GPUs work as before: it serves, unseen"
    )


@pytest.mark.parametrize(
    "gpus", [(IDLE,), (SPINNING,), (UNTOLD,), (BUSY, IDLE)], ids=["idle", "spinning", "untold", "one idle"]
)
def test_while_nothing_listens_and_a_gpu_works_no_more_it_is_down(gpus):
    assert kinds(told_after((40, *gpus), gone=True)) == [("drop", "engine_down")]


def test_gpus_that_are_busy_for_a_moment_after_it_ended_only_delay_it():
    (restart,) = told_after((3, BUSY), (6, IDLE), gone=True)

    assert (restart.kind, restart.cause) == ("restart", "engine_down")


@pytest.mark.parametrize("unseen", [30, 200], ids=["a while", "longer than anything is kept"])
def test_one_that_served_unseen_and_then_ended_is_down(unseen):
    (down,) = told_after((unseen, BUSY), (40, IDLE), gone=True)

    assert (down.kind, down.cause, down.severity) == ("drop", "engine_down", "critical")


def test_an_idle_gpu_is_one_that_says_so():
    assert are_idle((IDLE, IDLE))
    assert not are_idle((IDLE, BUSY))
    assert not are_idle(())
