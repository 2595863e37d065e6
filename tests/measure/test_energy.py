"""Integrated power and the cross-check of the counter (T9)."""

import pytest

from agent.measure.energy import CrossCheck, PowerIntegral, Verdict, trapezoid_joules


def checked(*, watts, counted, seconds=121, limit=1400.0, swing=0.0):
    """The verdict after so many seconds of samples at 1 Hz; the GPU was seen idle at 100 W first."""
    check = CrossCheck()
    check.add(0.0, 0.0, 0.0, 100.0, limit)
    check.restart()
    for second in range(seconds):
        now = watts + swing * (second % 2)
        check.add(1.0 + second, counted * second, watts * second, now, limit)
    return check.verdict


def halved(seconds, *, cut=(), right_from=300):
    """The verdict on a counter that shows half of 1 kW, never idle, with windows cut at some seconds."""
    check = CrossCheck()
    for second in range(seconds):
        counted = 500.0 * min(second, right_from) + 1000.0 * max(0, second - right_from)
        check.add(float(second), counted, 1000.0 * second, 1000.0, 1400.0)
        if second in cut:
            check.restart()
    return check.verdict


def test_t9_power_is_integrated_by_the_trapezoid_rule():
    assert trapezoid_joules(10.0, 400.0, 12.0, 600.0) == 1000.0


def test_t9_power_is_integrated_over_a_gap_of_three_seconds():
    assert trapezoid_joules(10.0, 400.0, 13.0, 400.0) == 1200.0


def test_t9_nobody_knows_what_was_drawn_in_a_longer_gap():
    assert trapezoid_joules(10.0, 400.0, 13.1, 400.0) is None


def test_two_powers_of_one_moment_have_nothing_between_them():
    assert trapezoid_joules(10.0, 400.0, 10.0, 600.0) is None


def test_the_first_sample_of_an_integral_tells_no_joules():
    assert PowerIntegral().add(10.0, 400.0) is None


def test_a_repeated_sample_adds_nothing_to_an_integral():
    integral = PowerIntegral()
    integral.add(10.0, 400.0)

    assert integral.add(10.0, 400.0) == 0.0


def test_a_sample_read_late_changes_nothing():
    integral = PowerIntegral()
    integral.add(10.0, 400.0)
    integral.add(9.0, 900.0)

    assert integral.add(11.0, 400.0) == 400.0


def test_t9_a_counter_that_agrees_with_power_agrees():
    assert checked(watts=1000.0, counted=1000.0) is Verdict.AGREES


def test_t9_five_percent_apart_still_agrees():
    assert checked(watts=1000.0, counted=1052.0) is Verdict.AGREES


def test_t9_six_percent_apart_in_two_windows_running_is_a_mismatch():
    assert checked(watts=1000.0, counted=1064.0) is Verdict.MISMATCH


def test_t9_one_bad_window_is_no_mismatch():
    assert checked(watts=1000.0, counted=1500.0, seconds=61) is Verdict.UNKNOWN


def test_t9_a_mismatch_below_1_3_times_idle_power_is_not_judged():
    assert checked(watts=120.0, counted=60.0) is Verdict.UNKNOWN


def test_t9_a_mismatch_above_1_3_times_idle_power_is_judged():
    assert checked(watts=140.0, counted=60.0) is Verdict.MISMATCH


def test_t9_just_five_percent_apart_agrees():
    assert checked(watts=1050.0, counted=1000.0) is Verdict.AGREES


def test_t9_a_swing_in_power_allows_as_much_as_the_reading_may_lag():
    """1.5 s of 1,250 W are 1,875 J, and the window's difference is 1,800 J."""
    assert checked(watts=150.0, counted=180.0, swing=1250.0) is Verdict.AGREES


def test_t9_a_swing_in_power_allows_no_more_than_the_reading_may_lag():
    """The window's difference is 1,920 J."""
    assert checked(watts=150.0, counted=182.0, swing=1250.0) is Verdict.MISMATCH


def test_t9_a_stuck_counter_is_a_mismatch():
    assert checked(watts=1000.0, counted=0.0) is Verdict.MISMATCH


def test_t9_a_gpu_never_seen_idle_is_checked_by_its_limit():
    assert halved(121) is Verdict.MISMATCH


def test_t9_a_mismatch_ends_with_the_first_window_that_agrees():
    assert halved(181, right_from=120) is Verdict.AGREES


@pytest.mark.parametrize("every", [30, 59])
def test_t9_a_counter_whose_every_window_is_cut_short_is_unverified(every):
    assert halved(300, cut=range(0, 300, every)) is Verdict.UNVERIFIED


def test_t9_two_windows_cut_short_are_waited_for():
    assert halved(50, cut={20, 40}) is Verdict.UNKNOWN


def test_t9_only_windows_cut_short_in_a_row_count():
    assert halved(130, cut={20, 40, 120}, right_from=0) is Verdict.AGREES


def test_t9_a_mismatch_stands_while_nothing_verifies_the_counter():
    assert halved(300, cut=range(151, 300)) is Verdict.MISMATCH
