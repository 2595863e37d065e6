"""What a deployment gives at a load, learned online."""

import math

import pytest

from agent.diagnose.baseline import (
    FIRST_NOISE,
    Baseline,
    dumped,
    expected,
    learned,
    mix_at,
    recalled,
    with_mix,
    with_work,
)


def taught(*lessons, baseline=None):
    """A baseline after so many seconds at each load and rate."""
    known = baseline or Baseline()
    for in_flight, rate, seconds in lessons:
        for _ in range(seconds):
            known = learned(known, in_flight, rate, 1.0)
    return known


def test_nothing_is_expected_of_a_deployment_that_was_never_seen():
    assert expected(Baseline(), 8.0) is None


def test_a_load_that_was_seen_for_two_seconds_is_not_known_yet():
    assert expected(taught((8.0, 400.0, 2)), 8.0) is None


def test_what_was_seen_at_a_load_is_expected_at_it():
    assert expected(taught((8.0, 400.0, 60)), 8.0) == pytest.approx(400.0)


def test_between_two_known_loads_the_rate_is_between_theirs():
    between = expected(taught((8.0, 400.0, 60), (32.0, 1000.0, 60)), 16.0)

    assert between == pytest.approx((400.0 * 1000.0) ** 0.5, rel=0.01)


def test_below_the_lowest_known_load_the_rate_is_in_proportion():
    assert expected(taught((8.0, 400.0, 60)), 4.0) == pytest.approx(200.0)


def test_beyond_the_highest_known_load_no_more_is_expected_than_was_proved():
    assert expected(taught((8.0, 400.0, 60)), 64.0) == pytest.approx(400.0)


def test_without_requests_nothing_is_expected():
    assert expected(taught((8.0, 400.0, 60)), 0.0) == 0.0


def test_one_wild_sample_hardly_moves_what_is_known():
    known = taught((8.0, 400.0, 600), (8.0, 4.0, 1))

    assert expected(known, 8.0) == pytest.approx(400.0, rel=0.001)


def test_a_deployment_that_gives_more_for_half_an_hour_is_expected_to_give_more():
    known = taught((8.0, 400.0, 600), (8.0, 440.0, 5400))

    assert expected(known, 8.0) == pytest.approx(440.0, rel=0.02)


def test_noise_begins_at_a_guess_and_falls_where_rates_are_steady():
    assert Baseline().noise == FIRST_NOISE
    assert taught((8.0, 400.0, 600)).noise == pytest.approx(0.01)


def test_the_length_of_requests_is_the_rate_of_tokens_over_that_of_ends():
    assert with_work(Baseline(), 400.0, 2.0, 1.0).tokens_per_request == 200.0


def mixed(*stretches):
    known = Baseline()
    for mix, seconds in stretches:
        for _ in range(seconds):
            known = with_mix(known, mix, 1.0)
    return known


def test_prompts_that_vary_are_known_to_vary_and_steady_ones_to_be_steady():
    steady, wild = mixed((2.0, 600)), mixed(*[(1.0, 20), (4.0, 20)] * 20)

    assert (steady.mix, steady.mix_spread < 0.04) == (pytest.approx(2.0), True)
    assert wild.mix == pytest.approx(2.0, rel=0.1)
    assert wild.mix_spread == pytest.approx(math.log(2.0), rel=0.15)


def test_what_prompts_are_usual_is_renewed_within_half_an_hour():
    assert mixed((2.0, 600), (8.0, 60)).mix == pytest.approx(2.0, rel=0.2)
    assert mixed((2.0, 600), (8.0, 7200)).mix == pytest.approx(8.0, rel=0.1)


def test_no_prompts_say_nothing_of_prompts():
    assert mixed((2.0, 60), (None, 60), (0.0, 60)) == mixed((2.0, 60))


def test_what_is_known_survives_a_restart():
    known = with_work(taught((8.0, 400.0, 60), (32.0, 1000.0, 60)), 400.0, 2.0, 1.0)
    known = with_mix(known, 2.0, 1.0)

    assert recalled(dumped(known)) == known


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"levels": [[1.0, 2.0]], "noise": 0.1, "seconds": 1.0, "mix": None, "tokens_per_request": None},
        {"levels": [[1.0, -2.0, 3.0]], "noise": 0.1, "seconds": 1.0, "mix": None, "tokens_per_request": None},
        {"levels": [], "noise": "much", "seconds": 1.0, "mix": None, "tokens_per_request": None},
        {"levels": [], "noise": float("nan"), "seconds": 1.0, "mix": None, "tokens_per_request": None},
    ],
)
def test_kept_baselines_that_are_something_else_are_refused(kept):
    with pytest.raises((KeyError, TypeError, ValueError)):
        recalled(kept)


def test_the_most_that_was_given_is_expected_at_the_highest_load_though_its_level_is_a_mean():
    """A ramp to full: the loads of one level are 40 % apart."""
    known = taught(*((float(load), 10.0 * load, 12) for load in range(724, 1025, 4)))

    assert expected(known, 1024.0) == pytest.approx(10_240.0, rel=0.03)
    assert known.capacity == pytest.approx(10_240.0, rel=0.03)


def test_one_wild_sample_is_no_most():
    known = taught((8.0, 400.0, 600), (8.0, 4000.0, 1))

    assert known.capacity == pytest.approx(400.0, rel=0.01)


def test_a_load_is_known_with_the_prompts_it_was_learned_with():
    baseline = Baseline()
    for _ in range(60):
        baseline = learned(baseline, 100.0, 1000.0, 1.0, mix=0.5)
    for _ in range(60):
        baseline = learned(baseline, 10.0, 200.0, 1.0, mix=3.0)

    assert (mix_at(baseline, 100.0), mix_at(baseline, 10.0)) == (0.5, 3.0)
    assert mix_at(recalled(dumped(baseline)), 90.0) == 0.5
