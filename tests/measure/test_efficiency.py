"""Tokens per joule as a ratio of sums (T3, T5, T19)."""

import pytest

from agent.measure.efficiency import (
    Member,
    Window,
    joules_per_token,
    sum_over,
    tokens_per_joule,
    window_of,
)
from agent.measure.series import Horizon, Point, Series
from agent.measure.validity import Invalid


@pytest.fixture
def member():
    """A member sampled each second at a constant rate."""

    def make(rate, last, first=0, cadence=1.0, step=1):
        series = Series(Horizon(1000.0))
        for second in range(first, last + 1, step):
            series.add(Point(float(second), rate * second))
        return Member(series, cadence)

    return make


@pytest.mark.parametrize(
    ("tokens_per_second", "watts", "tokens_a_joule"),
    [
        (102_909, 10_401.0, 9.894),  # Llama2-70B Offline
        (99_159.3, 10_442.3, 9.496),  # Llama2-70B Server
        (146_960, 9_436.1, 15.57),  # Llama3.1-8B Offline
        (1_637.11, 9_891.8, 0.1655),  # Llama3.1-405B Offline
    ],
)
def test_t19_tokens_per_joule_of_a_published_system(tokens_per_second, watts, tokens_a_joule):
    ratio = tokens_per_joule(tokens_per_second * 60, watts * 60)

    assert f"{ratio:.4g}" == f"{tokens_a_joule:.4g}"


def test_t19_joules_per_token_of_a_published_system():
    assert round(joules_per_token(102_909 * 60, 10_401.0 * 60), 4) == 0.1011


def test_a_ratio_over_no_energy_is_unknown():
    assert tokens_per_joule(10.0, 0.0) is None


def test_joules_per_token_of_no_tokens_are_unknown():
    assert joules_per_token(0.0, 10.0) is None


def test_t3_the_window_ends_where_every_fresh_member_has_arrived(member):
    window = window_of([member(1.0, 100), member(1.0, 98)], 10.0, 100.0)

    assert window == Window(88.0, 98.0)


def test_t3_a_member_whose_samples_stopped_does_not_hold_the_window_back(member):
    window = window_of([member(1.0, 100), member(1.0, 50)], 10.0, 100.0)

    assert window == Window(90.0, 100.0)


def test_t3_the_window_holds_three_cadences_of_its_slowest_member(member):
    window = window_of([member(1.0, 100), member(1.0, 90, cadence=15.0, step=15)], 10.0, 100.0)

    assert window == Window(45.0, 90.0)


def test_nobody_fresh_leaves_no_window(member):
    assert window_of([member(1.0, 50)], 10.0, 100.0) is None


def test_a_member_whose_samples_stopped_is_a_gap_also_when_nobody_is_fresh(member):
    told = sum_over([member(1.0, 50)], None, Invalid.NO_ENGINES)

    assert (told.amount, told.reasons) == (None, {Invalid.GAP})


def test_t5_the_sum_over_members_is_the_sum_of_the_members(member):
    told = sum_over([member(100.0, 20), member(7.0, 20)], Window(5.0, 15.0), Invalid.NO_ENGINES)

    assert (told.amount, told.reasons) == (1070.0, frozenset())


def test_t5_a_member_that_does_not_report_is_left_out_and_named(member):
    told = sum_over([member(100.0, 20), Member(None, 1.0)], Window(5.0, 15.0), Invalid.NO_ENGINES)

    assert (told.amount, told.reasons) == (1000.0, {Invalid.MEMBER_MISSING})


def test_t3_a_member_younger_than_the_window_is_warming_up(member):
    told = sum_over([member(100.0, 20, first=6)], Window(5.0, 15.0), Invalid.NO_ENGINES)

    assert (told.amount, told.reasons) == (None, {Invalid.WARMING_UP})


def test_t3_a_gap_around_an_edge_is_a_reason(member):
    told = sum_over([member(100.0, 20, step=4)], Window(5.0, 15.0), Invalid.NO_ENGINES)

    assert (told.amount, told.reasons) == (None, {Invalid.GAP})


def test_nobody_to_add_up_is_unknown_and_not_zero():
    assert sum_over([], Window(5.0, 15.0), Invalid.NO_ENGINES).amount is None


def test_t7_a_member_that_never_told_energy_has_no_meter():
    told = sum_over([Member(Series(Horizon(100.0)), 1.0)], Window(5.0, 15.0), Invalid.NO_METER)

    assert told.reasons == {Invalid.NO_METER}
