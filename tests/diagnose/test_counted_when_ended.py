"""Engines that count tokens when a request ends: told by what moves, never by a pause that chance makes."""

import pytest
from fakes.hand_node import GPU, HandNode

from agent.diagnose import tally
from agent.diagnose.case import Explanation
from agent.diagnose.onset import onset
from agent.diagnose.sample import Sample, sample_of
from agent.diagnose.signs import EngineSigns, UnitSigns
from agent.diagnose.stillness import still_since
from agent.diagnose.verdict import score
from agent.measure.incident import Cause
from agent.measure.series import Point
from agent.measure.snapshot import Activity

TOKENS = 250.0
"""Of each request."""
ENDS = (2, 0, 3, 1, 4, 0, 2, 5, 1, 2)
"""Requests that end in each of ten seconds: two a second."""
FEWER = (1, 0, 2, 0, 2, 0, 1, 2, 1, 1)
"""Half as many."""
KNOWN_SECONDS = 300


class Ending(HandNode):
    """A node whose engine counts the tokens of requests that have ended; its cache fills with each step."""

    finished = 0
    cache = 0.0
    shown = ("kv_cache_usage_ratio", "heartbeat")

    def go(self, seconds, ends=ENDS, steps=True, **engine):
        for _ in range(seconds):
            ended = ends[self.second % len(ends)]
            self.finished += ended
            self.cache = (self.cache + 0.0137 * steps) % 0.5
            moves = {"kv_cache_usage_ratio": 0.1 + self.cache, "heartbeat": None}
            self.live(
                1,
                TOKENS * ended,
                on_finish=True,
                finished=float(self.finished),
                **({key: moves[key] for key in self.shown} | engine),
            )
        return self

    def loud(self):
        return [(second, each) for second, each in self.told if each.severity != "info"]


@pytest.fixture
def node():
    return Ending().go(KNOWN_SECONDS)


def test_what_is_missing_is_as_unlikely_as_chance_makes_it():
    assert tally.surprise(1000.0, 1000.0) == 0.0
    assert tally.surprise(1000.0, 1200.0) == 0.0
    assert tally.surprise(1000.0, 0.0) == 1000.0
    assert tally.surprise(1000.0, 500.0) == pytest.approx(153.4, abs=0.1)


@pytest.mark.parametrize(("length", "proof"), [(100.0, 21.2), (1000.0, 2.1)])
def test_the_same_pause_says_less_where_requests_are_long(length, proof):
    """Ten seconds without any of 480 tokens/s: some twenty grains of twice 100 tokens, or two of 2000."""
    book = tally.Tally(seconds=900.0, grain=2.0 * length)
    for second in range(12):
        book = tally.counted(book, float(second), 1.0, 480.0, 480.0 if second < 2 else 0.0)

    short = tally.shortfall(book, length)

    assert short.since == 1.0
    assert short.missing == 1.0
    assert short.proof == pytest.approx(proof, rel=0.1)


def test_how_much_comes_at_once_is_learned_from_how_the_count_varies():
    """Four requests of 250 tokens that always end together are grains of 1000."""
    book = tally.Tally()
    for second in range(900):
        made = 1000.0 if (second * 7919) % 10 < 5 else 0.0
        book = tally.learned(tally.counted(book, float(second), 1.0, 500.0, made), 250.0, 1.0)

    assert book.factor == pytest.approx(1.0, abs=0.02)
    assert tally.grain_of(book, 250.0) == 250.0  # so evenly that no more than a request is to be seen

    for second in range(900, 2700):
        made = 5000.0 if second % 20 == 0 else 250.0 * (second % 2)
        book = tally.learned(tally.counted(book, float(second), 1.0, 375.0, made), 250.0, 1.0)

    assert tally.grain_of(book, 250.0) > 1000.0


def test_a_pause_is_no_incident_while_gpus_work_as_before(node):
    """Eight seconds in which no request ends: long ones came together."""
    node.go(8, ends=(0,)).go(60)

    assert node.loud() == []


def test_a_rate_goes_over_forty_requests(node):
    rates = [sample.rate for sample in node.memory.watches["m"].samples[-10:]]

    assert rates == pytest.approx([500.0] * 10, rel=0.12)


def test_a_rate_goes_over_no_more_than_a_minute():
    samples = ()
    for second in range(100):
        engine = EngineSigns(
            "e",
            True,
            False,
            Activity.SERVING,
            0.0,
            output=Point(float(second), 100.0 * (second // 20)),
            finished=second // 20,
            running=3.0,
            on_finish=True,
        )
        sample = sample_of(UnitSigns("m", "m", (engine,), ()), samples, float(second))
        samples = (*samples, sample)

    assert samples[-1].rate == pytest.approx(5.0)
    assert samples[-1].finished_rate == pytest.approx(0.05)


def test_heat_is_told_by_clocks_and_what_is_missing_together(node):
    node.gpu(clock_hertz=1.0e9, throttle=frozenset({"sw_thermal_slowdown"}), power_watts=700.0)
    node.go(40, ends=FEWER)
    second, first = node.loud()[0]

    assert first.cause == "thermal"
    assert second <= KNOWN_SECONDS + 20
    assert first.started == pytest.approx(1_760_000_000 + KNOWN_SECONDS, abs=1.1)


def test_it_begins_with_the_clocks_and_not_with_a_pause_before(node):
    node.go(8, ends=(0,)).gpu(clock_hertz=1.0e9, throttle=frozenset({"sw_thermal_slowdown"}))
    node.go(40, ends=FEWER)

    assert node.loud()[0][1].started == pytest.approx(1_760_000_000 + KNOWN_SECONDS + 8, abs=1.1)


def test_slow_clocks_alone_are_no_drop(node):
    node.gpu(clock_hertz=1.0e9, throttle=frozenset({"sw_thermal_slowdown"}), power_watts=700.0).go(60)

    assert node.loud() == []


def test_answers_that_grow_longer_are_no_drop_while_gpus_work_as_before(node):
    """Half as many are counted, and nothing else is another: clients ask for what takes longer, or twice."""
    node.go(140, ends=FEWER)

    assert node.loud() == []


def test_what_nothing_explains_is_told_once_chance_can_not_be_it(node):
    node.gpu(power_watts=800.0).go(120, ends=FEWER)
    second, first = node.loud()[0]

    assert first.cause == "host_pressure"
    assert second > KNOWN_SECONDS + 30
    assert first.started == pytest.approx(1_760_000_000 + KNOWN_SECONDS, abs=1.1)


def test_without_gpus_it_must_last_longer_than_long_answers_take():
    node = Ending(gpus=()).go(KNOWN_SECONDS).go(140, ends=FEWER)

    assert {each.cause for _, each in node.loud()} == {"unknown"}
    assert node.loud()[0][0] == pytest.approx(KNOWN_SECONDS + 120, abs=8)


def test_it_is_over_when_as_many_end_as_before(node):
    node.gpu(clock_hertz=1.0e9, throttle=frozenset({"sw_thermal_slowdown"}), power_watts=700.0)
    node.go(60, ends=FEWER)
    node.gpu(clock_hertz=2.0e9, throttle=frozenset(), power_watts=900.0)
    node.go(60)

    assert node.incidents[0].ended == pytest.approx(1_760_000_000 + KNOWN_SECONDS + 60, abs=10.0)
    assert node.incidents[0].lost_tokens == pytest.approx(60 * 250.0, rel=0.2)


@pytest.mark.parametrize("shown", [("kv_cache_usage_ratio",), ("heartbeat",)])
def test_a_hang_is_told_within_seconds_by_what_moves_no_more(shown):
    """Its cache or its count of steps stands still, and its GPU draws less; that none ended says little."""
    node = Ending()
    for second in range(KNOWN_SECONDS):
        node.go(1, **({"heartbeat": 50.0 * second} if shown == ("heartbeat",) else {}))
    last = {"heartbeat": 50.0 * KNOWN_SECONDS} if shown == ("heartbeat",) else {}
    if last:
        node.cache = 0.0
    node.gpu(power_watts=400.0).go(10, ends=(0,), steps=False, **last)
    second, first = node.loud()[0]

    assert (first.kind, first.cause) == ("stall", "engine_stall")
    assert second <= KNOWN_SECONDS + 6
    assert first.started == pytest.approx(1_760_000_000 + KNOWN_SECONDS, abs=1.1)


def test_a_hang_is_told_without_gpus_by_its_cache():
    node = Ending(gpus=()).go(KNOWN_SECONDS).go(15, ends=(0,), steps=False)

    assert {each.cause for _, each in node.loud()} == {"engine_stall"}
    assert node.loud()[0][0] <= KNOWN_SECONDS + 12


def still_after(looks, watts, finished=0.0, running=8.0):
    """Since when an engine stands still after so many looks at which nothing moved."""
    samples = []
    for second in range(60 + looks):
        moved = min(second, 59)
        engine = EngineSigns(
            "e",
            True,
            False,
            Activity.SERVING,
            0.0,
            output=Point(float(second), 0.0),
            running=running,
            finished=finished * (second >= 59),
            kv_cache_usage_ratio=moved / 100.0,
            on_finish=True,
        )
        gpu = () if watts is None else (GPU.__class__(0, "ok", power_watts=watts if second > 59 else 900.0),)
        samples.append(Sample(float(second), {"e": engine}, {}, gpu, 0.0, running, 0.0, running))
    return still_since(samples, "e")


def test_looks_that_it_takes_go_by_what_the_gpus_say():
    assert [still_after(2, 400.0), still_after(3, 400.0)] == [None, 59.0]
    assert [still_after(9, None), still_after(10, None)] == [None, 59.0]
    assert [still_after(60, 900.0), still_after(125, 900.0)] == [None, 59.0]  # a long prompt


def test_requests_that_ended_with_the_last_step_stand_on_its_gauges():
    """An idle engine shows what was in work at its last step: if all of that has ended, nothing hangs."""
    assert still_after(10, 400.0, finished=8.0) is None
    assert still_after(10, 400.0, finished=7.0) == 59.0


def test_an_engine_that_is_gone_needs_no_count(node):
    node.gpu(power_watts=150.0, utilization_ratio=0.0)
    node.live(30, 0.0, up=False, gone=True, running=None, waiting=None, finished=None, on_finish=False)
    second, first = node.loud()[0]

    assert first.cause == "engine_down"
    assert second <= KNOWN_SECONDS + 25  # the grace of a restart, which is information until then
    assert node.told[0][0] <= KNOWN_SECONDS + 3
    assert node.memory.watches["m"].samples[-1].on_finish  # what it was, it is while nobody reads it


def samples_of(clocks):
    gpus = [(GPU.__class__(0, "ok", clock_hertz=clock, power_watts=900.0),) for clock in clocks]
    return tuple(Sample(float(at), {}, {}, gpu, 1.0, 1.0, 0.0, 1.0) for at, gpu in enumerate(gpus))


def test_gpus_tell_to_the_second_since_when_they_do_less():
    wobbly = [2.0e9 + 1e7 * (second % 3) for second in range(50)]

    assert onset(samples_of([*wobbly, *(each / 1.3 for each in wobbly[:10])]), since=55.0) == 49.0
    assert onset(samples_of(wobbly), since=45.0) is None


def test_what_lies_within_chance_explains_as_well_as_what_fits():
    thermal = Explanation(Cause.THERMAL, 0.3, 1.0, "", ())

    assert score(thermal, 0.6) == 0.5
    assert score(thermal, 0.6, 0.3) == 1.0
    assert score(thermal, 0.6, 0.1) == pytest.approx(0.6)
