"""What was due while nobody saw what clients asked for, and what was not made of it."""

from dataclasses import replace

import pytest

from agent.diagnose.baseline import Baseline, Level, at_batch, place_of
from agent.diagnose.gap import Gap
from agent.diagnose.loss import MOST_BLIND, MOST_CAPPED, Beyond, Loss, Moment, Seen, closed, stepped
from agent.diagnose.toll import Loss as Cost
from agent.diagnose.toll import tokens_of

OPEN = Loss(before=Seen(0.0, 1000.0), side_seconds=2.0)


def blind(seconds, books=OPEN, rate=0.0, queued=False):
    """Books after so many seconds in which nothing was seen of what is asked for."""
    for second in range(1, seconds + 1):
        moment = Moment(float(second), 1.0, rate, 2000.0, queued)
        books = stepped(books, float(second), moment, None)
    return books


def test_until_it_is_seen_again_as_much_is_asked_for_as_before():
    assert blind(100).reckoned().lost_tokens == pytest.approx(100_000.0)


def test_what_was_asked_for_unseen_goes_in_a_line_to_what_is_seen_after():
    books = closed(blind(100), Seen(100.0, 500.0))

    assert books.lost_tokens == pytest.approx(75_000.0, rel=0.01)


def test_no_more_is_due_than_could_be_made():
    books = closed(blind(100), Seen(100.0, 9000.0))

    assert books.lost_tokens < 200_000.0


def test_what_is_seen_is_booked_as_it_is_seen():
    books = OPEN
    for second in range(1, 21):
        books = stepped(books, float(second), Moment(float(second), 1.0, 400.0, 2000.0), 700.0)

    assert books.reckoned().lost_tokens == pytest.approx(20 * 300.0)


def seen(books, seconds, asked, rate=0.0):
    """Books after moments in each of which so much is seen to be asked for."""
    for second in seconds:
        books = stepped(books, float(second), Moment(float(second), 1.0, rate, 2000.0), asked)
    return books


def test_once_it_is_seen_again_nothing_of_the_time_before_is_left_out():
    books = seen(blind(100), range(101, 121), 1000.0)

    assert books.reckoned().lost_tokens == pytest.approx(120_000.0)


def test_what_is_seen_of_the_last_moments_without_sight_is_not_believed():
    """A flow over four seconds that began before it could be seen is a flow of nothing known."""
    books = seen(blind(10), range(11, 14), 0.0)

    assert seen(books, range(14, 31), 1000.0).reckoned().lost_tokens == pytest.approx(30_000.0)


def test_while_it_is_not_seen_it_is_as_it_was_seen_last_and_not_long_ago():
    books = seen(seen(OPEN, range(1, 21), 700.0), range(21, 41), 500.0)

    assert books.held.rate == 500.0


def test_what_was_made_beyond_what_was_asked_for_was_due():
    books = seen(OPEN, range(1, 11), 700.0, rate=900.0).reckoned()

    assert (books.due_tokens, books.lost_tokens) == pytest.approx((9000.0, 0.0))


def test_where_it_came_in_bursts_it_comes_as_it_came_before():
    books = blind(10, Loss(before=Seen(0.0, 1000.0), bursts=(500.0, 1500.0), side_seconds=2.0), rate=800.0)

    assert closed(books, Seen(10.0, 0.0)).lost_tokens == pytest.approx(10 * (0.0 + 700.0) / 2)


def test_behind_a_queue_that_does_not_shrink_no_less_came_than_was_made():
    bursts = Loss(before=Seen(0.0, 1000.0), bursts=(500.0, 1500.0), side_seconds=2.0)
    books = blind(10, bursts, rate=800.0, queued=True)

    assert closed(books, Seen(10.0, 0.0)).lost_tokens == pytest.approx(10 * 700.0)


def test_a_day_without_sight_is_held_in_bounded_memory():
    books = blind(5000)

    assert len(books.blind) <= MOST_BLIND
    assert books.reckoned().lost_tokens == pytest.approx(5_000_000.0)


def test_what_is_known_afterwards_is_booked_for_the_time_in_which_it_was_not_seen():
    books = blind(100, Loss(before=Seen(0.0, 1000.0), bursts=(500.0, 1500.0), side_seconds=2.0))
    moment = Moment(101.0, 1.0, 0.0, 2000.0)

    assert stepped(books, 101.0, moment, None, meanwhile=700.0).reckoned().lost_tokens == pytest.approx(
        101 * 700.0
    )


NOISY = replace(OPEN, noise=0.1)


def test_what_is_seen_is_uncertain_by_the_noise_of_the_rate():
    lost = seen(NOISY, range(1, 21), 700.0, rate=400.0).reckoned().lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((20 * 230.0, 20 * 300.0, 20 * 370.0))


def test_what_was_not_seen_lies_between_what_was_before_and_after():
    lost = closed(blind(100), Seen(100.0, 500.0)).lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((50_000.0, 75_000.0, 100_000.0), rel=0.01)


def test_behind_a_full_queue_perhaps_no_more_came_than_was_made():
    lost = closed(blind(100, rate=800.0, queued=True), Seen(100.0, 500.0)).lost

    assert (lost.least, lost.most) == pytest.approx((0.0, 20_000.0))


def test_what_comes_in_bursts_may_have_been_all_of_the_low_ones_or_of_the_high_ones():
    bursts = Loss(before=Seen(0.0, 1000.0), bursts=(400.0, 600.0, 1400.0, 1600.0), side_seconds=2.0)
    lost = closed(blind(10, bursts), Seen(10.0, 0.0)).lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((5000.0, 10_000.0, 15_000.0))


def test_what_was_never_given_may_have_been_due():
    lost = seen(OPEN, range(1, 11), 2500.0, rate=1000.0).reckoned(Beyond(1.1, 1.0, 1.5)).lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((10_000.0, 12_000.0, 15_000.0))


def test_of_many_moments_it_is_as_well_known_what_could_have_been_due():
    books = seen(OPEN, range(1, 5001), 2500.0, rate=1000.0)

    assert len(books.capped) <= MOST_CAPPED
    assert books.reckoned(Beyond(1.1, 1.0, 1.5)).lost_tokens == pytest.approx(5000 * 1200.0)


HALF_FULL = Baseline(levels={round(place_of(50.0)): Level(2000.0, 60.0, place_of(50.0))}, noise=0.01)
"""Of fifty requests in work it gives 2,000 tokens a second; more of them were never there."""


def gap(**more):
    """A gap of ten seconds in which 2,500 tokens a second were asked for, and 1,000 made."""
    return Gap(baseline=HALF_FULL, loss=seen(OPEN, range(1, 11), 2500.0, rate=1000.0), **more)


def test_where_requests_waited_before_it_is_known_what_can_be_given():
    assert gap(full=True, batch=100.0).lost_tokens == pytest.approx(10 * 1000.0)


def test_where_none_waited_more_requests_in_work_would_give_more():
    assert gap(batch=60.0).lost_tokens == pytest.approx(10 * 1400.0)


def test_a_queue_that_is_worked_off_afterwards_shows_what_could_be_given():
    assert gap(batch=100.0, after=2200.0, after_full=True).lost_tokens == pytest.approx(10 * 1200.0)


def test_what_nobody_knows_to_be_given_is_within_what_was_asked_for():
    assert tokens_of(gap().reckoned.lost) == Cost(15_000.0, 10_000.0, 15_000.0)


@pytest.mark.parametrize(
    ("batch", "given"), [(50.0, None), (100.0, 4000.0), (0.0, None)], ids=["as ever", "twice", "none"]
)
def test_more_in_work_give_as_much_more_as_was_seen_of_fewer(batch, given):
    assert at_batch(HALF_FULL, batch) == (given and pytest.approx(given))


def test_what_gave_less_for_each_request_goes_on_to():
    low = Level(1500.0, 60.0, place_of(25.0))
    baseline = replace(HALF_FULL, levels={**HALF_FULL.levels, round(place_of(25.0)): low})

    assert at_batch(baseline, 100.0) == pytest.approx(2000.0 * 2000.0 / 1500.0)


def test_of_an_engine_that_went_out_of_sight_half_of_that_time_is_lost():
    went = Moment(60.0, 60.0, 0.0, 2000.0, perhaps=True)
    lost = closed(replace(OPEN, young=(went,)), Seen(60.0, 1000.0)).lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((0.0, 30_000.0, 60_000.0))


def test_until_it_is_seen_again_perhaps_nothing_is_lost_behind_a_full_queue():
    lost = blind(100, rate=800.0, queued=True).reckoned().lost

    assert (lost.least, lost.amount) == pytest.approx((0.0, 20_000.0))


def test_the_least_that_bursts_ask_for_is_no_more_than_could_be_given_of_them():
    bursts = Loss(before=Seen(0.0, 1000.0), bursts=(500.0, 1500.0, 1500.0, 1500.0), side_seconds=2.0)
    moments = tuple(Moment(float(second), 1.0, 0.0, 1000.0) for second in range(10))
    lost = closed(replace(bursts, blind=moments), Seen(10.0, 0.0)).lost

    assert (lost.least, lost.amount, lost.most) == pytest.approx((7500.0, 8750.0, 10_000.0))
