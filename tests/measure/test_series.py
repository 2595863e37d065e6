"""Cumulative series at common edges (T3)."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.measure.series import Grown, Horizon, Point, Series, max_gap_seconds


def series_of(*pairs, horizon=1000.0, spread=0.0):
    series = Series(Horizon(horizon))
    for seconds, value in pairs:
        series.add(Point(seconds, value, spread))
    return series


def test_t3_a_value_between_two_samples_is_interpolated():
    series = series_of((10.0, 100.0), (12.0, 140.0))

    assert series.at(11.5, 3.0) == Point(11.5, 130.0)


def test_t3_an_edge_between_samples_further_apart_than_the_limit_is_invalid():
    series = series_of((10.0, 100.0), (13.1, 140.0))

    assert series.at(11.0, 3.0) is None


def test_t3_an_edge_between_samples_just_as_far_apart_as_the_limit_is_valid():
    series = series_of((10.0, 100.0), (13.0, 160.0))

    assert series.at(11.0, 3.0) == Point(11.0, 120.0)


def test_t3_the_limit_is_three_seconds_for_a_quick_source():
    assert max_gap_seconds(1.0) == 3.0


def test_t3_the_limit_is_two_and_a_half_cadences_for_a_slow_source():
    assert max_gap_seconds(30.0) == 75.0


def test_t3_an_edge_on_a_sample_is_that_sample():
    series = series_of((10.0, 100.0), (90.0, 140.0))

    assert series.at(90.0, 3.0) == Point(90.0, 140.0)


def test_an_edge_before_the_first_sample_is_unknown():
    assert series_of((10.0, 100.0), (11.0, 140.0)).at(9.9, 3.0) is None


def test_an_edge_after_the_last_sample_is_unknown():
    assert series_of((10.0, 100.0), (11.0, 140.0)).at(11.1, 3.0) is None


def test_growth_between_two_edges_is_their_difference():
    series = series_of((0.0, 0.0), (1.0, 10.0), (2.0, 20.0), (3.0, 40.0))

    assert series.grown(0.5, 2.5, 3.0) == Grown(25.0, 0.0)


def test_a_gap_inside_the_window_loses_nothing_of_a_counter():
    series = series_of((0.0, 0.0), (1.0, 10.0), (8.0, 80.0), (9.0, 90.0))

    assert series.grown(0.5, 8.5, 3.0) == Grown(80.0, 0.0)


def test_t3_growth_is_uncertain_by_what_the_steepest_rate_makes_while_a_page_is_rendered():
    series = series_of((0.0, 0.0), (1.0, 10.0), (2.0, 40.0), spread=0.5)

    assert series.grown(0.0, 2.0, 3.0) == Grown(40.0, 15.0)


def test_a_sample_that_is_not_newer_is_dropped():
    series = series_of((10.0, 100.0), (10.0, 120.0), (9.0, 130.0))

    assert series.last == Point(10.0, 100.0)


def test_a_value_that_falls_stays_where_it_was():
    series = series_of((10.0, 100.0), (11.0, 90.0))

    assert series.last == Point(11.0, 100.0)


def test_samples_older_than_the_horizon_are_forgotten_but_for_one():
    series = series_of((0.0, 0.0), (5.0, 5.0), (9.0, 9.0), (20.0, 20.0), horizon=10.0)

    assert series.first == Point(9.0, 9.0)


def test_the_oldest_sample_that_is_kept_is_whole():
    series = Series(Horizon(10.0))
    for seconds in (0.0, 5.0, 9.0, 20.0):
        series.add(Point(seconds, 2 * seconds, seconds / 100, seconds / 10))

    assert series.first == Point(9.0, 18.0, 0.09, 0.9)


def test_an_interval_is_known_but_for_its_gaps_and_what_lies_outside():
    series = series_of((0.0, 0.0), (2.0, 1.0), (4.0, 2.0), (10.0, 3.0), (12.0, 4.0))

    assert series.known_seconds(1.0, 11.0, 3.0) == 3.0 + 1.0
    assert series.known_seconds(1.0, 11.0, 6.0) == 10.0
    assert series.known_seconds(-5.0, 1.0, 3.0) == 1.0
    assert series.known_seconds(11.5, 20.0, 3.0) == 0.5
    assert series_of((1.0, 0.0)).known_seconds(0.0, 2.0, 3.0) == 0.0


def test_an_interval_is_known_as_far_as_a_gap_that_is_just_allowed():
    assert series_of((0.0, 0.0), (3.0, 1.0)).known_seconds(0.0, 3.0, 3.0) == 3.0


def test_the_steepest_slope_is_unknown_before_there_are_two_samples():
    assert series_of((10.0, 100.0)).peak_slope(0.0, 10.0) is None


def test_the_steepest_slope_is_between_neighbours():
    assert series_of((0.0, 0.0), (1.0, 50.0), (10.0, 60.0)).peak_slope(0.0, 10.0) == 50.0


def test_a_horizon_holds_eight_ticks_of_a_slow_source():
    horizon = Horizon(120.0)
    horizon.stretch(60.0)

    assert horizon.seconds == 480.0


def test_a_horizon_is_never_shorter_than_it_was_at_the_start():
    horizon = Horizon(120.0)
    horizon.stretch(60.0)
    horizon.follow(1.0)

    assert horizon.seconds == 120.0


def test_a_horizon_has_an_end():
    horizon = Horizon(120.0)
    horizon.stretch(86_400.0)

    assert horizon.seconds == 3600.0


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100)), min_size=2, max_size=30),
    st.integers(-3, 130),
    st.integers(0, 40),
)
def test_steepest_slope_is_that_of_the_neighbours_around_the_interval(steps, start, length):
    series, seconds, value, points = Series(Horizon(50.0)), 0.0, 0.0, []
    for elapsed, growth in steps:
        seconds, value = seconds + elapsed, value + growth
        points.append((seconds, value))
        series.add(Point(seconds, value))
    kept = [point for point in points if point[0] >= series.first.seconds]
    before = max((at for at, _ in kept if at < start), default=start)
    slopes = [
        (after[1] - first[1]) / (after[0] - first[0])
        for first, after in pairwise(kept)
        if before <= first[0] < start + length
    ]

    assert series.peak_slope(start, start + length) == max(slopes, default=None)
