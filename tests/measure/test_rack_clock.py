"""A member's monotonic clock on ours, from what polls bracket."""

import pytest

from agent.measure.rack_clock import MemberClock


@pytest.fixture
def clock():
    return MemberClock()


def test_the_first_poll_brackets_the_shift(clock):
    clock.observe("boot:1", 500.0, 100.0, 100.1)

    assert clock.shift_seconds == pytest.approx(-399.95)
    assert clock.uncertainty_seconds == pytest.approx(0.055)


def test_the_quickest_poll_decides(clock):
    clock.observe("boot:1", 500.09, 100.0, 100.1)
    same = clock.observe("boot:1", 501.001, 101.0, 101.002)
    clock.observe("boot:1", 502.29, 102.0, 102.3)

    assert same
    assert clock.shift_seconds == pytest.approx(-400.0, abs=0.003)
    assert clock.uncertainty_seconds <= 0.008


def test_drift_within_the_allowance_is_followed(clock):
    for second in range(600):
        theirs = 1000.0 + second * 1.0005
        assert clock.observe("boot:1", theirs, second - 0.001, second + 0.001) == (second > 0)

    assert clock.shift_seconds == pytest.approx(599 - theirs, abs=0.01)


def test_a_jump_beyond_the_bracket_is_another_clock(clock):
    clock.observe("boot:1", 500.0, 100.0, 100.002)

    assert not clock.observe("boot:1", 502.0, 101.0, 101.002)
    assert clock.shift_seconds == pytest.approx(-401.0, abs=0.01)


def test_another_boot_is_another_clock(clock):
    clock.observe("boot:1", 500.0, 100.0, 100.002)

    assert not clock.observe("boot:2", 501.0, 101.0, 101.002)


def test_a_copy_of_an_earlier_answer_is_told_from_a_clock_that_was_set_back(clock):
    clock.observe("boot:1", 500.0, 100.0, 100.002)

    assert [clock.is_old("boot:1", 500.0), clock.is_old("boot:1", 400.0)] == [True, True]
    assert not clock.is_old("boot:1", 401.0)


def test_what_a_person_does_to_a_wall_clock_is_not_even_an_argument(clock):
    """T1: only monotonic moments go in."""
    assert "unix" not in " ".join(MemberClock.observe.__annotations__)
