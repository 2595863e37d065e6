"""A full KV cache while nothing is lost is told once it lasts, and gives way to a drop."""

from agent.diagnose.gap import Gap
from agent.diagnose.sample import Rates, Sample
from agent.diagnose.saturation import Crowd, watched
from agent.diagnose.signs import EngineSigns, NodeSigns, UnitSigns
from agent.diagnose.watch import Watch
from agent.measure.incident import Cause, Kind, Severity
from agent.measure.reading import Moment
from agent.measure.snapshot import Activity

UNIT = UnitSigns("chat", "llama", (), ())


def sample(second, cache, waiting, put_off=0.0):
    engine = EngineSigns("e", True, False, Activity.SERVING, 0.0, kv_cache_usage_ratio=cache)
    rates = {"e": Rates(output=1000.0, preemptions=put_off)}
    return Sample(float(second), {"e": engine}, rates, (), 1000.0, 50.0, waiting, 50.0 + waiting)


def live(*phases, drop_at=None):
    """Lives through (seconds, cache, waiting, put off); returns (second, incident) as told."""
    crowd, told, second = Crowd(), [], 0
    for seconds, *values in phases:
        for _ in range(seconds):
            gap = Gap(sure=drop_at is not None and second >= drop_at)
            watch = Watch(samples=(sample(second, *values),), gap=gap)
            node = NodeSigns(Moment(float(second), 1e9 + second), "n", False, (UNIT,), ())
            crowd, incident = watched(crowd, watch, UNIT, node)
            if incident is not None:
                told.append((second, incident))
            second += 1
    return told


def test_a_cache_that_is_full_for_half_a_minute_while_requests_wait_is_told():
    told = live((60, 0.99, 12.0), (40, 0.5, 0.0))
    second, incident = told[0]

    assert second == 30
    assert (incident.kind, incident.cause, incident.severity) == (
        Kind.SATURATION,
        Cause.KV_SATURATION,
        Severity.INFO,
    )
    assert incident.started == 1e9
    assert incident.lost_tokens == 0.0
    assert incident.summary == (
        "n: llama: the KV cache is 99% full, and 12 requests wait; it makes as many tokens as usual"
    )
    assert {each.id for _, each in told} == {incident.id}
    assert told[-1][1].ended == 1e9 + 75
    assert [second for second, each in told if each.ended is not None] == [75]


def test_a_batch_that_fills_its_cache_for_hours_wakes_nobody():
    """All of it was sent at once: the queue only becomes shorter."""
    told = live(*[(10, 0.99, 2000.0 - step) for step in range(200)])

    assert {str(each.severity) for _, each in told} == {"info"}


def test_a_queue_that_grows_while_the_cache_is_full_is_told_to_somebody():
    told = live((40, 0.99, 12.0), *[(10, 0.99, 12.0 + step) for step in range(20)])

    assert (told[0][1].severity, told[-1][1].severity) == (Severity.INFO, Severity.WARNING)
    assert told[0][1].id == told[-1][1].id
    assert "requests wait, more and more; it makes" in told[-1][1].summary
    first = next(second for second, each in told if each.severity is Severity.WARNING)
    assert 100 < first < 220


def test_a_queue_that_is_longer_for_some_seconds_does_not_grow():
    told = live((40, 0.99, 12.0), (30, 0.99, 30.0), (200, 0.99, 12.0))

    assert {str(each.severity) for _, each in told} == {"info"}


def test_requests_that_are_put_off_are_told_also_while_none_waits():
    (_, incident), *_ = live((40, 0.97, 0.0, 0.5))

    assert incident.evidence[1].text == "0.5 requests a second are put off for want of cache"


def test_a_full_cache_that_nobody_waits_for_is_no_incident():
    assert live((120, 0.99, 0.0)) == []


def test_requests_that_wait_for_something_else_are_no_incident():
    assert live((120, 0.6, 40.0)) == []


def test_a_cache_that_is_full_now_and_then_is_no_incident():
    assert live(*[(20, 0.99, 12.0), (3, 0.9, 0.0)] * 6) == []


def test_a_drop_takes_its_place():
    told = live((60, 0.99, 12.0), drop_at=45)

    assert told[-1][0] == 45
    assert told[-1][1].ended == 1e9 + 45


def test_a_cache_that_is_full_once_more_is_another_incident():
    told = live((60, 0.99, 12.0), (30, 0.5, 0.0), (60, 0.99, 12.0), (30, 0.5, 0.0))

    assert len({each.id for _, each in told}) == 2
    assert sum(each.ended is not None for _, each in told) == 2


def test_a_cache_that_is_full_again_within_a_moment_is_the_same_incident():
    told = live((60, 0.99, 12.0), (10, 0.5, 0.0), (60, 0.99, 12.0), (30, 0.5, 0.0))

    assert len({each.id for _, each in told}) == 1
    assert sum(each.ended is not None for _, each in told) == 1
