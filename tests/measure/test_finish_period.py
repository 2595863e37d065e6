"""A window that fits a counter which moves only when requests end (T3, T21), through the node."""

import pytest

from agent.measure.engine import TokenKind


@pytest.fixture
def finish(bench, page):
    """Pages a second apart of an engine that finishes 600 tokens every `period` seconds."""

    def take(seconds, period, *, running=1.0, live=False, since=0):
        for second in range(since, seconds + 1):
            output = 5000.0 + 600.0 * (second // period)
            bench.take_page(page(float(second), output, live=live, running=running))
        return bench.snapshot(float(seconds))

    return take


def test_t3_the_window_is_three_times_as_long_as_the_counter_stands_still(finish, standing):
    snapshot = finish(110, 20)

    assert standing(snapshot, "node_tokens_per_second").window_seconds == 60.0


def test_t21_the_rate_over_a_window_that_fits_is_the_true_one(finish):
    assert finish(110, 20).tokens_per_second == {TokenKind.OUTPUT: 30.0}


def test_t21_it_says_that_it_counts_on_finish(finish, standing):
    assert "on_finish" in standing(finish(110, 20), "node_tokens_per_second").flags


def test_the_window_of_the_engine_is_published(finish):
    assert finish(110, 20).engines[0].window_seconds == 60.0


def test_the_rate_of_the_engine_is_over_its_own_window(finish):
    assert finish(110, 20).engines[0].tokens[0].per_second == 30.0


def test_the_window_grows_while_a_request_takes_longer_than_any_before(finish, standing):
    assert standing(finish(50, 10_000), "node_tokens_per_second").window_seconds == 150.0


def test_the_window_is_five_minutes_at_most(finish, standing):
    assert standing(finish(1000, 10_000), "node_tokens_per_second").window_seconds == 300.0


def test_without_requests_the_counter_may_stand_still(finish, standing):
    snapshot = finish(60, 10_000, running=0.0)

    assert standing(snapshot, "node_tokens_per_second").window_seconds == 10.0


def test_a_live_counter_that_stands_still_keeps_its_window(finish, standing):
    snapshot = finish(60, 10_000, live=True)

    assert standing(snapshot, "node_tokens_per_second").window_seconds == 10.0


def test_the_window_is_short_again_some_time_after_the_last_request(finish, standing):
    finish(100, 20)
    snapshot = finish(200, 10_000, running=0.0, since=101)

    assert standing(snapshot, "node_tokens_per_second").window_seconds == 10.0


def test_pages_that_failed_are_no_time_in_which_the_counter_stood_still(bench, page, standing):
    bench.take_page(page(0.0, 500.0, live=False, running=1.0))
    bench.miss("engines/a:8000")
    for second in (50.0, 51.0):
        bench.take_page(page(second, 500.0, live=False, running=1.0))

    assert standing(bench.snapshot(51.0), "node_tokens_per_second").window_seconds == 10.0
