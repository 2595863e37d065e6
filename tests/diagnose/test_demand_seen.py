"""What clients ask for: what was made and what piled up, as long as nothing hides what comes."""

from dataclasses import replace

import pytest

from agent.diagnose.baseline import Baseline
from agent.diagnose.demand import Asked, Sight, asked_before, came_between, demanded
from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.sample import Sample
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity

USUAL = Baseline(tokens_per_request=100.0)
ASKED = Asked(rate=10_000.0, mean=10_000.0, in_flight=100.0)


def sample(second, made, waiting, running=100.0, up=True, restarts=0.0):
    """A sample of one instance that has made so many tokens since the beginning."""
    point = Point(float(second), float(made))
    engine = EngineSigns("e0", up, False, Activity.SERVING, restarts, output=point, running=running)
    return Sample(float(second), {"e0": engine}, {}, (), 0.0, running, waiting, running + waiting)


def queued(*waiting, rate=6000.0):
    """A sample each second, with so many that wait, of an instance that makes so much."""
    return tuple(sample(second, rate * second, float(each)) for second, each in enumerate(waiting))


def test_what_came_is_what_was_made_and_what_piled_up():
    assert came_between(USUAL, *queued(100, 140)) == pytest.approx(6000.0 + 40 * 100.0)


def test_of_what_is_in_work_half_is_done():
    first, last = sample(0, 0, 10.0, running=80.0), sample(1, 0, 10.0, running=100.0)

    assert came_between(USUAL, first, last) == pytest.approx(10 * 100.0)


def test_what_waited_in_an_engine_that_began_anew_has_gone():
    first, last = sample(0, 0, 500.0), sample(1, 6000, 20.0, restarts=1.0)

    assert came_between(USUAL, first, last) is None


def test_how_many_waited_is_not_known_of_a_page_that_could_not_be_read():
    """It is carried on from when it was read: as if all that piled up had come in one second."""
    samples = [*queued(100, 140, 180, 220), *(replace(each, waiting=220.0) for each in queued(*[0] * 14)[4:])]
    hidden = [
        replace(each, engines={"e0": replace(each.engines["e0"], up=False)}, rate=None)
        for each in samples[4:]
    ]

    assert demanded(USUAL, ASKED, (*samples[:4], *hidden, sample(14, 84_000, 660.0))) is None


def test_while_more_wait_than_ever_it_is_seen_what_is_asked_for():
    assert demanded(USUAL, ASKED, queued(*range(100, 600, 40))) == pytest.approx(10_000.0)


def test_a_queue_that_is_full_hides_what_comes():
    assert demanded(USUAL, ASKED, queued(100, 300, *[500] * 10)) is None


def test_more_requests_in_work_before_a_full_queue_are_no_sign_that_it_is_not_full():
    stalled = queued(100, 300, *[500] * 10)

    assert demanded(USUAL, ASKED, (*stalled, sample(12, 72_000, 500.0, running=150.0))) is None


def test_a_queue_that_stood_higher_is_not_full():
    assert demanded(USUAL, ASKED, queued(500, 400, *[300] * 10)) == pytest.approx(6000.0)


def test_a_queue_that_grows_by_a_few_each_second_is_not_full():
    assert demanded(USUAL, ASKED, queued(*range(2000, 2013))) == pytest.approx(6000.0 + 100.0)


def test_once_more_wait_than_ever_it_is_known_what_came_while_it_was_not_seen():
    samples = queued(400, *[500] * 20, 560)
    sight = Sight(samples[0])
    for each in samples[1:-1]:
        sight = sight.looked(each)

    assert sight.since(USUAL, samples[-2]) is None
    assert sight.since(USUAL, samples[-1]) == pytest.approx(6000.0 + 160 * 100.0 / 21)


def test_what_waited_in_an_engine_that_is_gone_tells_nothing():
    first, last = queued(400, 600)
    gone = replace(first, engines={"e0": replace(first.engines["e0"], up=False, gone=True)})

    assert Sight(first).looked(gone).since(USUAL, last) is None


BUSY = GpuSigns(0, "ok", power_watts=900.0, limit_watts=1400.0, utilization_ratio=0.97)
HIDDEN, STALLS_AT = range(190, 250), 210


def lived(seconds):
    """The incidents of an engine that hangs while nobody can read it; 8 requests come each second."""
    memory, told = Memory(), None
    for second in range(seconds):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        if second not in HIDDEN:
            made = 800.0 * min(second, STALLS_AT)
            waiting = 8.0 * max(0, second - STALLS_AT)
            told = EngineSigns(
                "e0", True, False, Activity.SERVING, 0.0, output=Point(at.monotonic_seconds, made),
                running=8.0, waiting=waiting, finished=made / 100.0,
            )  # fmt: skip
        engine = replace(told, up=second not in HIDDEN)
        unit = UnitSigns("m", "m", (engine,), (BUSY,))
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=(BUSY,)))
    return [each for each in memory.incidents if each.kind in {"drop", "stall"}]


def test_what_was_lost_of_a_gap_that_began_out_of_sight_is_known_when_somebody_looks_again():
    (incident,) = lived(300)

    assert incident.lost_tokens == pytest.approx((299 - STALLS_AT) * 800.0, rel=0.03)
    assert incident.lost_gpu_seconds == pytest.approx(299 - STALLS_AT, rel=0.03)


def test_an_engine_that_went_out_of_sight_lost_something_between_nothing_and_all_of_that_time():
    memory, told = Memory(), None
    for second in range(300):
        at = Moment(1000.0 + second, 1_760_000_000.0 + second)
        if second < HIDDEN.start:
            point = Point(at.monotonic_seconds, 800.0 * second)
            told = EngineSigns("e0", True, False, Activity.SERVING, 0.0, output=point, running=8.0)
        engine = replace(told, up=second < HIDDEN.start, gone=second >= HIDDEN.stop)
        gpu = replace(BUSY, power_watts=90.0, utilization_ratio=0.0) if second >= HIDDEN.stop else BUSY
        unit = UnitSigns("m", "m", (engine,), (gpu,))
        memory = diagnosed(memory, NodeSigns(at, "node-a", drained=False, units=(unit,), gpus=(gpu,)))
    (incident,) = (each for each in memory.incidents if each.kind == "drop")

    assert incident.lost_tokens == pytest.approx((50 + 60 / 2) * 800.0, rel=0.05)
    assert incident.lost_gpu_seconds == pytest.approx(50 + 60 / 2, rel=0.05)
    assert incident.lost_tokens_bounds.lower == pytest.approx(50 * 800.0, rel=0.05)
    assert incident.lost_tokens_bounds.upper == pytest.approx(110 * 800.0, rel=0.05)


def test_what_is_made_of_a_queue_was_not_asked_for_in_that_minute():
    samples = queued(*range(5000, 1000, -50), rate=9000.0)

    assert asked_before(USUAL, samples, 80.0) == pytest.approx(9000.0 - 50 * 100.0)


def test_where_none_waited_the_middle_of_what_was_made_was_asked_for():
    assert asked_before(USUAL, queued(*[0] * 80), 80.0) is None


def test_a_queue_that_soon_grows_by_one_grows_slowly():
    samples = queued(2000, 1998, 1999, 1997, 2001)
    sight = Sight(samples[0]).looked(samples[0])
    for each in samples[1:-1]:
        sight = sight.looked(each)

    assert sight.since(USUAL, samples[-2]) is None
    assert sight.since(USUAL, samples[-1]) == pytest.approx(6000.0 + 100.0 / 4)
