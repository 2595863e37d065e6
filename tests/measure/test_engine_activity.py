"""Serving, idle, unknown: by signs of life and proof of idleness, not by gauges alone (T4, T12)."""

import pytest

from agent.measure.engine import Demand, EngineReading
from agent.measure.snapshot import Activity


@pytest.fixture
def tell(bench, page):
    """Pages a second apart with what the engine says of its requests; the activity on the last of them."""

    def take(*demands, output=100.0, since=0.0, step=1.0, live=True):
        for number, demand in enumerate(demands):
            told = page(since + step * number, output, live=live)
            fields = {name: getattr(told, name) for name in told.__slots__}
            bench.take_page(EngineReading(**fields | {"demand": demand}), step)
        return bench.snapshot(since + step * (len(demands) - 1)).engines[0].activity

    return take


def busy(**more):
    return Demand(running=4.0, waiting=0.0, **more)


def empty(**more):
    return Demand(running=0.0, waiting=0.0, **more)


def test_t4_an_engine_with_requests_whose_steps_go_on_is_serving(tell):
    told = [busy(heartbeat=float(second)) for second in range(100)]

    assert tell(*told) is Activity.SERVING


def test_t4_an_engine_whose_steps_stand_still_is_not_serving_for_ever(tell):
    assert tell(*[busy(heartbeat=7.0)] * 40) is Activity.UNKNOWN


def test_t4_an_engine_whose_steps_stand_still_for_a_moment_is_serving(tell):
    assert tell(*[busy(heartbeat=7.0)] * 20) is Activity.SERVING


def test_t4_requests_that_wait_while_no_step_is_made_are_not_served(tell):
    assert tell(*[Demand(running=0.0, waiting=9.0, heartbeat=7.0)] * 40) is Activity.UNKNOWN


def test_t4_the_time_without_a_step_begins_with_the_requests(tell):
    assert tell(*[empty(heartbeat=7.0)] * 60, *[busy(heartbeat=7.0)] * 10) is Activity.SERVING


def test_t4_a_slow_reader_waits_for_three_readings_before_steps_stand_still(tell):
    assert tell(*[busy(heartbeat=7.0)] * 3, step=60.0) is Activity.SERVING


def test_t4_without_steps_a_live_engine_that_makes_no_token_for_two_minutes_is_unknown(tell):
    assert tell(*[busy()] * 130) is Activity.UNKNOWN


def test_t4_without_steps_a_live_engine_may_read_a_long_prompt(tell):
    assert tell(*[busy()] * 90) is Activity.SERVING


def test_t21_an_engine_that_counts_on_finish_and_shows_no_steps_is_serving_as_long_as_it_says_so(tell):
    assert tell(*[busy()] * 300, live=False) is Activity.SERVING


def test_t4_idle_time_that_grew_with_the_clock_is_proof_though_the_gauge_says_otherwise(tell):
    told = [busy(idle_seconds=50.0 + second, stale_seconds=30.0) for second in range(12)]

    assert tell(*told) is Activity.IDLE


def test_t4_idle_time_that_grew_less_than_the_clock_is_no_proof(tell):
    told = [busy(idle_seconds=50.0 + 0.8 * second) for second in range(12)]

    assert tell(*told) is Activity.SERVING


def test_t4_idle_time_of_a_moment_is_no_proof(tell):
    told = [busy(idle_seconds=50.0 + second) for second in range(5)]

    assert tell(*told) is Activity.SERVING


def test_t4_a_restart_of_the_engine_is_no_idle_time(tell):
    told = [busy(idle_seconds=seconds) for seconds in (5.0, *[9000.0 + second for second in range(9)], 3.0)]

    assert tell(*told) is Activity.SERVING


def test_t4_idle_though_requests_wait_is_no_idleness(tell):
    told = [Demand(running=0.0, waiting=2.0, idle_seconds=50.0 + second) for second in range(12)]

    assert tell(*told) is Activity.SERVING


def test_t4_a_gauge_at_zero_soon_after_traffic_is_not_yet_believed(tell):
    assert tell(*[busy(stale_seconds=10.0)] * 3, *[empty(stale_seconds=10.0)] * 5) is Activity.UNKNOWN


def test_t4_a_gauge_at_zero_is_believed_when_it_cannot_be_older_than_the_traffic(tell):
    assert tell(*[busy(stale_seconds=10.0)] * 3, *[empty(stale_seconds=10.0)] * 11) is Activity.IDLE


def test_t4_a_gauge_that_may_be_old_proves_nothing_at_first_sight(tell):
    assert tell(empty(stale_seconds=10.0)) is Activity.UNKNOWN


def test_t4_steps_behind_a_gauge_that_may_be_old_are_traffic(tell):
    told = [empty(stale_seconds=10.0, heartbeat=float(min(second, 20))) for second in range(28)]

    assert tell(*told) is Activity.UNKNOWN


def test_t4_a_gauge_that_may_be_old_proves_nothing_after_a_read_that_failed(tell, bench):
    tell(*[empty(stale_seconds=10.0)] * 15)
    bench.miss("engines/a:8000")

    assert tell(empty(stale_seconds=10.0), since=30.0) is Activity.UNKNOWN


def test_t4_a_fresh_gauge_at_zero_is_believed_at_once(tell):
    assert tell(busy(), empty()) is Activity.IDLE


def test_t4_a_read_that_failed_is_never_idle_whatever_was_proven_before(tell, bench):
    tell(*[empty(idle_seconds=float(second)) for second in range(15)])
    bench.miss("engines/a:8000")

    assert bench.snapshot(16.0).engines[0].activity is Activity.UNKNOWN


def test_t4_tokens_that_come_are_service_whatever_the_gauge_says(tell):
    tell(empty(stale_seconds=10.0))

    assert tell(empty(stale_seconds=10.0), output=150.0, since=1.0) is Activity.SERVING
