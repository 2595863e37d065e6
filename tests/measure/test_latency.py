"""Histograms of durations, by hand: what PromQL would say of them, and what nobody can tell."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.measure.engine import Histogram
from agent.measure.latency import between, grown, mean_seconds, merged, nothing, quantile, share_within

INF = math.inf
BOUNDS = (0.1, 0.2, 0.4, INF)


def made(*counts, bounds=BOUNDS, seconds=None):
    return Histogram(bounds, tuple(float(count) for count in counts), seconds)


COUNTS = st.lists(st.integers(0, 50), min_size=4, max_size=4).map(
    lambda parts: made(parts[0], sum(parts[:2]), sum(parts[:3]), sum(parts), seconds=float(sum(parts)))
)


def test_a_quantile_lies_in_its_bucket_in_proportion():
    assert quantile(made(10, 30, 40, 40), 0.5) == pytest.approx(0.1 + 0.1 * 10 / 20)


def test_a_quantile_in_the_first_bucket_counts_from_zero():
    assert quantile(made(40, 40, 40, 40), 0.5) == pytest.approx(0.05)


def test_a_quantile_at_the_edge_of_a_bucket_is_its_bound():
    assert quantile(made(20, 40, 40, 40), 0.5) == pytest.approx(0.1)


def test_a_quantile_skips_buckets_that_are_empty():
    assert quantile(made(10, 10, 40, 40), 0.5) == pytest.approx(0.2 + 0.2 * 10 / 30)


def test_t4_a_quantile_above_every_finite_bound_is_unknown_and_not_the_highest_bound():
    assert quantile(made(10, 20, 30, 40), 0.9) is None


def test_t4_of_no_durations_there_is_no_quantile():
    assert quantile(made(0, 0, 0, 0), 0.5) is None


def test_without_a_finite_bound_there_is_no_quantile():
    assert quantile(made(40, bounds=(INF,)), 0.5) is None


@given(whole=COUNTS)
def test_quantiles_rise_with_their_share(whole):
    told = [quantile(whole, share) for share in (0.1, 0.5, 0.9, 0.99)]
    known = [each for each in told if each is not None]

    assert known == sorted(known)


def test_the_share_within_a_limit_that_is_a_bound_is_exact():
    assert share_within(made(10, 30, 40, 50), 0.2) == 0.6


def test_the_share_within_a_limit_inside_a_bucket_is_in_proportion():
    assert share_within(made(10, 30, 40, 40), 0.15) == pytest.approx(20 / 40)


def test_the_share_within_a_limit_below_the_first_bound_counts_from_zero():
    assert share_within(made(40, 40, 40, 40), 0.025) == pytest.approx(0.25)


def test_t4_how_many_were_within_a_limit_above_every_bound_is_unknown_when_some_took_longer():
    assert share_within(made(10, 30, 40, 41), 3.0) is None


def test_all_were_within_a_limit_above_every_bound_when_none_took_longer():
    assert share_within(made(10, 30, 40, 40), 3.0) == 1.0


def test_t4_of_no_durations_there_is_no_share():
    assert share_within(made(0, 0, 0, 0), 0.2) is None


@given(whole=COUNTS, limit=st.floats(0.0, 0.4))
def test_the_share_within_a_limit_is_a_share(whole, limit):
    share = share_within(whole, limit)

    assert share is None or 0.0 <= share <= 1.0


@given(whole=COUNTS, share=st.sampled_from([0.25, 0.5, 0.9, 0.99]))
def test_a_quantile_is_the_limit_that_its_share_stayed_within(whole, share):
    limit = quantile(whole, share)

    assert limit is None or share_within(whole, limit) == pytest.approx(share)


def test_the_mean_is_the_sum_over_the_count():
    assert mean_seconds(made(10, 30, 40, 40, seconds=6.0)) == 0.15


def test_t4_without_a_sum_there_is_no_mean():
    assert mean_seconds(made(10, 30, 40, 40)) is None


def test_histograms_of_the_same_bounds_add_up():
    assert merged([made(1, 2, 3, 4, seconds=1.0), made(0, 0, 5, 5, seconds=2.0)]) == made(
        1, 2, 8, 9, seconds=3.0
    )


def test_histograms_of_other_bounds_add_up_where_their_bounds_agree():
    other = made(7, 8, 9, bounds=(0.2, 0.3, INF))

    assert merged([made(1, 2, 3, 4), other]) == made(9, 13, bounds=(0.2, INF))


def test_the_sum_of_histograms_of_which_one_tells_none_is_unknown():
    assert merged([made(1, 2, 3, 4, seconds=1.0), made(0, 0, 5, 5)]).sum_seconds is None


def test_of_no_histograms_there_is_no_sum():
    assert merged([]) is None


@given(before=COUNTS, more=COUNTS)
def test_what_was_counted_between_two_states_is_what_was_added(before, more):
    assert grown(before, merged([before, more])) == more


def test_a_state_half_way_has_half_of_what_was_added():
    assert between(nothing(BOUNDS), made(2, 4, 6, 8, seconds=1.0), 0.5) == made(1, 2, 3, 4, seconds=0.5)
