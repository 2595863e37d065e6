"""How often an engine is asked."""

from __future__ import annotations

from agent.measure.reading import Reason, SourceError
from agent.wire.pace import Pace, Retry

ERROR = SourceError(Reason.DENIED, "no")


def learned(pace: Pace, *first_byte_seconds: float) -> float:
    for seconds in first_byte_seconds:
        pace.learn(seconds)
    return pace.interval_seconds


def test_T26_engine_that_answers_within_a_hundredth_of_the_interval_keeps_it():  # noqa: N802 - the rule's name
    assert learned(Pace(1.0), *[0.005] * 30) == 1.0


def test_T26_dear_engine_is_asked_at_the_next_multiple_that_it_can_afford():  # noqa: N802 - the rule's name
    assert learned(Pace(1.0), *[0.045] * 30) == 9.0


def test_T26_cost_is_that_of_the_quickest_page():  # noqa: N802 - the rule's name
    assert learned(Pace(1.0), *[0.5] * 29, 0.02) == 4.0


def test_T26_engine_whose_page_costs_more_than_its_first_byte_tells_stays_below_a_hundredth():  # noqa: N802
    interval = learned(Pace(1.0), *[0.0066] * 30)

    assert 0.0103 / interval < 0.01  # what such a page was seen to cost: cold, and until its last byte


def test_T26_old_costs_are_forgotten():  # noqa: N802 - the rule's name
    assert learned(Pace(1.0), 0.01, *[0.04] * 30) == 8.0


def test_T26_interval_has_a_ceiling():  # noqa: N802 - the rule's name
    assert learned(Pace(1.0), *[2.0] * 30) == 10.0


def test_first_pages_say_nothing_yet():
    assert learned(Pace(1.0), 0.9, 0.9, 0.9, 0.9) == 1.0


def test_configured_interval_beyond_the_ceiling_stays():
    assert learned(Pace(30.0), *[2.0] * 30) == 30.0


def test_failed_page_is_left_alone_for_waits_that_double_up_to_a_minute():
    retry = Retry()
    waits = []
    now = 100.0
    for _ in range(8):
        retry.failed(ERROR, now)
        wait = next(seconds for seconds in range(1, 100) if retry.due(now + seconds))
        waits.append(wait)
        now += wait

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retry.failure == "no"


def test_page_that_works_is_due_at_once():
    retry = Retry()
    retry.failed(ERROR, 100.0)
    retry.worked()

    assert retry.due(100.0)
    assert retry.failure == ""
