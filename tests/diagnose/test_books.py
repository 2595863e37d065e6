"""What was due while nobody saw what clients asked for, and what was not made of it."""

import pytest

from agent.diagnose.loss import MOST_BLIND, Loss, Moment, Seen, closed, stepped

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
