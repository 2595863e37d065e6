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


def lived(memory, first, last, seen, tokens, *, gpu=IDLE, gone=True, restarts=0.0):
    """Seconds in which the page can be read or not, while the engine makes what `tokens` says of a second."""
    for second in range(first, last):
        signs = moment(second, [gpu], seen, 1, gone)
        (unit,) = signs.units
        point = Point(signs.at.monotonic_seconds, tokens(second)) if seen else None
        engines = tuple(replace(each, output=point, restarts=restarts) for each in unit.engines)
        memory = diagnosed(memory, replace(signs, units=(replace(unit, engines=engines),)))
    return memory


def test_an_engine_that_comes_back_with_all_it_should_have_made_was_never_down():
    memory = lived(Memory(), 0, 90, True, lambda second: 800.0 * second)
    memory = lived(memory, 90, 130, False, lambda second: 0.0)
    (down,) = memory.incidents
    memory = lived(memory, 130, 160, True, lambda second: 800.0 * second)

    (gap,) = memory.incidents
    assert (str(down.cause), str(down.severity), down.lost_tokens > 20_000) == (
        "engine_down",
        "critical",
        True,
    )
    assert (gap.id, str(gap.kind), str(gap.cause), str(gap.severity)) == (
        down.id,
        "gap",
        "telemetry_gap",
        "warning",
    )
    assert (gap.lost_tokens, gap.ended) == (0.0, 1_760_000_130.0)
    assert gap.summary == (
        "node-a: engine e0 could not be read for 41 s; its counter shows 32800 tokens made meanwhile: "
        "it was there, nothing is lost"
    )


def test_one_that_comes_back_where_it_stopped_was_down():
    memory = lived(Memory(), 0, 90, True, lambda second: 800.0 * second)
    memory = lived(memory, 90, 130, False, lambda second: 0.0)
    memory = lived(memory, 130, 190, True, lambda second: 800.0 * (second - 40))

    (drop,) = memory.incidents
    assert (str(drop.kind), str(drop.cause)) == ("drop", "engine_down")
    assert drop.lost_tokens == pytest.approx(32_000, rel=0.1)


def test_an_engine_that_answers_nonsense_while_its_gpus_do_nothing_is_not_down():
    memory = lived(Memory(), 0, 90, True, lambda second: 800.0 * second, gpu=BUSY)
    for second in range(90, 120):
        signs = moment(second, [IDLE], False, 1, False)
        (unit,) = signs.units
        engines = tuple(replace(each, answers=True) for each in unit.engines)
        memory = diagnosed(memory, replace(signs, units=(replace(unit, engines=engines),)))

    assert kinds(memory.incidents) == [("gap", "telemetry_gap")]


def test_one_that_hung_and_goes_on_has_stalled_and_was_not_restarted():
    memory = lived(Memory(), 0, 90, True, lambda second: 800.0 * second, gpu=BUSY)
    memory = lived(memory, 90, 105, False, lambda second: 0.0, gone=False)
    (first,) = memory.incidents
    memory = lived(memory, 105, 140, True, lambda second: 800.0 * (second - 15), gpu=BUSY)

    (stall,) = memory.incidents
    assert kinds([first]) == [("restart", "engine_down")]
    assert kinds([stall]) == [("stall", "engine_stall")]
    assert "engine e0 did not answer, and made nothing, until it went on as the same process" in stall.summary
    assert 8_000 < stall.lost_tokens <= 12_000


@pytest.mark.parametrize("away", [12, 18])
def test_one_that_is_back_within_the_grace_was_restarted_and_is_never_told_to_be_down(away):
    memory, told = lived(Memory(), 0, 90, True, lambda second: 800.0 * second, gpu=BUSY), set()
    memory = lived(memory, 90, 90 + away, False, lambda second: 0.0)
    for second in range(90 + away, 130):
        memory = lived(
            memory, second, second + 1, True, lambda at: 800.0 * (at - away), gpu=BUSY, restarts=1.0
        )
        told |= set(kinds(memory.incidents))

    assert told == {("restart", "engine_restart")}
