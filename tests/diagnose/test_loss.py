"""What a gap costs beside its tokens: joules that made none, and time of GPUs, with bounds."""

from dataclasses import replace

import pytest

from agent.diagnose import loss
from agent.diagnose.gap import Gap
from agent.diagnose.sample import Sample
from agent.diagnose.signs import GpuSigns
from agent.diagnose.toll import Loss, Toll, begun, joules_of, paid


def sample(second, rate, *watts):
    gpus = tuple(
        GpuSigns(number, "ok" if each is not None else "lost", power_watts=each)
        for number, each in enumerate(watts)
    )
    return Sample(float(second), {}, {}, gpus, rate, 10.0, 0.0, 10.0)


BEFORE = tuple(sample(second, 1000.0, 500.0, 500.0) for second in range(-20, 0))
"""A joule a token."""


def gap(due, lost, missing=0.0, healthy=None):
    books = loss.Loss(due_tokens=due, lost=loss.Sum(lost, lost, lost))
    return Gap(since=0.0, loss=books, missing=missing, healthy_since=healthy, step_seconds=1.0)


def lived(*moments):
    """Pays for samples of (second, rate, watts...), of which 1,000 tokens a second are due."""
    toll = begun(BEFORE)
    for second, rate, *watts in moments:
        now = sample(second, rate, *watts)
        toll = paid(toll, now, gap(0.0, 0.0, missing=1.0 - rate / 1000.0))
    return toll


def test_an_engine_that_is_gone_loses_all_that_its_gpus_draw():
    toll = lived(*((second, 0.0, 90.0, 110.0) for second in range(10)))

    assert joules_of(toll, 0.0) == Loss(2000.0, 2000.0, 2000.0)
    assert toll.gpu_seconds == pytest.approx(20.0)


def test_a_stall_at_full_power_loses_all_of_it():
    assert joules_of(lived((0, 0.0, 500.0, 500.0)), 0.02).amount == 1000.0


def test_fewer_tokens_for_fewer_joules_lose_none():
    """A power cap: three quarters of the tokens for six tenths of the power."""
    toll = lived((0, 750.0, 300.0, 300.0))

    assert joules_of(toll, 0.02).amount == 0.0
    assert toll.gpu_seconds == pytest.approx(0.5)


def test_what_tokens_took_is_not_lost():
    joules = joules_of(lived((0, 600.0, 400.0, 400.0)), 0.1)

    assert joules.amount == pytest.approx(200.0)
    assert joules.lower == pytest.approx(140.0)
    assert joules.upper == pytest.approx(260.0)


def test_a_gpu_that_tells_no_power_may_have_drawn_as_much_as_before():
    joules = joules_of(lived((0, 0.0, None, 100.0)), 0.0)

    assert joules == Loss(100.0, 100.0, 600.0)


def test_nothing_is_paid_for_the_seconds_in_which_it_is_well_again():
    toll = begun(BEFORE)

    assert paid(toll, sample(0, 990.0, 500.0, 500.0), gap(0.0, 0.0, healthy=0.0)) == toll


@pytest.mark.parametrize(
    "before",
    [
        (),
        BEFORE[:3],
        tuple(sample(second, 1000.0, 500.0, None) for second in range(-20, 0)),
        tuple(sample(second, 1000.0) for second in range(-20, 0)),
        tuple(replace(each, rate=0.0) for each in BEFORE),
    ],
    ids=["nothing", "too little", "a GPU that tells nothing", "no GPU", "no tokens"],
)
def test_without_what_a_token_usually_takes_no_joules_are_told(before):
    assert begun(before) == Toll()
    assert joules_of(begun(before), 0.02) is None


def test_an_engine_of_the_twin_that_crashes_loses_what_its_gpus_draw_idle(live):
    (incident,) = live("{kind: engine_crash, at: 150s, lasts: 60s}").incidents
    watts = 4 * 178.0

    assert incident.lost_joules == pytest.approx(60 * watts, rel=0.25)
    assert incident.lost_joules_bounds.lower <= incident.lost_joules <= incident.lost_joules_bounds.upper
    assert incident.lost_tokens_bounds.lower <= incident.lost_tokens <= incident.lost_tokens_bounds.upper
    assert incident.lost_gpu_seconds == pytest.approx(4 * 60, rel=0.1)


def test_a_power_cap_of_the_twin_loses_tokens_and_no_joules(live):
    (incident,) = live("{kind: power_cap, at: 150s, lasts: 60s, watts: 700}").incidents

    assert incident.lost_tokens > 0.0
    assert incident.lost_joules == 0.0
