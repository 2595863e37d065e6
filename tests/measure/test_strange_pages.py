"""Pages that no engine can have written make no tokens; what an engine can do is counted (T2)."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from agent.measure.engine import Demand, EngineReading, TokenCounter, TokenKind
from agent.measure.engine_book import EngineBook
from agent.measure.ledger import Ledger
from agent.measure.reading import Moment
from agent.measure.series import Horizon

UNIX = 1_760_000_000.0


class Engine:
    """A book of one engine that does not tell when it started, and pages for it."""

    def __init__(self):
        self.book = EngineBook("a:8000", Ledger(), Horizon(120.0))

    def show(self, seconds, *raws, epoch=None, **more):
        """Read a page of these output counters; return what is counted in all, None if it was refused."""
        counters = tuple(TokenCounter(str(n), "m", TokenKind.OUTPUT, raw) for n, raw in enumerate(raws))
        at = Moment(seconds, UNIX + seconds)
        demand = Demand(running=1.0)
        page = EngineReading("sglang", "a:8000", "m", at, seconds, epoch, counters, demand, **more)
        self.book.take(page, 1.0)
        return None if self.book.reading is None else self.book.total(TokenKind.OUTPUT)

    @property
    def restarts(self):
        return self.book.figures(Moment(0.0, UNIX), 10.0).restarts


@pytest.fixture
def engine():
    return Engine()


def test_a_counter_that_falls_a_little_with_each_page_makes_no_tokens(engine):
    shown = [engine.show(0.2 * n, 1_000_000.0 - 1000 * n) for n in range(12)]

    assert set(shown) == {0.0, None}


def test_a_page_that_is_not_believed_is_told_and_takes_the_engine_away(engine):
    engine.show(0.0, 1_000_000.0)
    engine.show(1.0, 999_000.0)

    assert engine.book.reading is None
    assert engine.book.note.startswith("a:8000: its output tokens fell or leapt to what it cannot have made")
    assert not engine.book.figures(Moment(1.0, UNIX + 1), 10.0).up


def test_what_it_shows_three_times_is_taken_as_it_stands_and_counted_from_there(engine):
    for second, raw in enumerate((1_000_000.0, 500_000.0, 500_100.0, 500_200.0)):
        engine.show(float(second), raw)

    assert engine.show(4.0, 500_350.0) == 150.0
    assert engine.restarts == 1.0
    assert engine.book.note == ""


def test_an_old_page_between_new_ones_is_left_out(engine):
    shown = [engine.show(float(n), raw) for n, raw in enumerate((900e3, 900.1e3, 500e3, 900.3e3))]

    assert shown == [0.0, 100.0, None, 300.0]


def test_a_restart_may_make_as_much_as_any_engine_can(engine):
    engine.show(0.0, 1_000_000.0)

    assert engine.show(9.0, 200_000.0) == 200_000.0


def test_a_restart_may_not_make_more_than_any_engine_can(engine):
    engine.show(0.0, 1_000_000.0)

    assert engine.show(9.0, 200_001.0) is None


def test_a_restart_of_a_fast_engine_may_make_eight_times_what_it_made_before(engine):
    for second in range(10):
        engine.show(float(second), 10_000_000.0 + 60_000.0 * second)

    assert engine.show(10.0, 960_001.0) is None
    assert engine.show(10.0, 960_000.0) == 9 * 60_000.0 + 960_000.0


def test_a_leap_to_another_process_does_not_make_its_fall_back_plausible(engine):
    engine.show(0.0, 500_000.0)
    engine.show(1.0, 9_000_000.0)

    assert engine.show(2.0, 500_100.0) is None


def test_the_time_in_which_it_was_away_counts_for_a_restart(engine):
    engine.show(0.0, 10_000_000.0)

    assert engine.show(600.0, 9_000_000.0) == 9_000_000.0


def test_a_restart_that_is_told_is_believed_whatever_it_shows(engine):
    engine.show(0.0, 1_000_000.0, epoch=f"start:{UNIX - 100}")

    assert engine.show(1.0, 900_000.0, epoch=f"start:{UNIX + 0.5}") == 900_000.0


def test_a_leap_back_to_where_it_fell_from_is_another_process(engine):
    shown = [engine.show(float(n), raw) for n, raw in enumerate((1e6, 7e3, 1_000_050.0, 7.1e3))]

    assert shown == [0.0, 7000.0, None, 7100.0]


def test_a_leap_is_work_where_nothing_fell(engine):
    engine.show(0.0, 1000.0)

    assert engine.show(1.0, 2_000_000.0) == 1_999_000.0


def test_a_leap_back_to_just_where_it_fell_from_is_another_process(engine):
    shown = [engine.show(float(n), raw) for n, raw in enumerate((1e6, 7e3, 1e6))]

    assert shown == [0.0, 7000.0, None]


def test_one_that_learns_to_tell_its_start_is_compared_all_the_same(engine):
    engine.show(0.0, 1_000_000.0)

    assert engine.show(1.0, 900_000.0, epoch=f"start:{UNIX - 50}") is None


def test_after_a_refusal_a_leap_is_no_work_for_a_thousand_pages(engine):
    engine.show(0.0, 1_000_000.0)
    engine.show(1.0, 900_000.0)
    for page in range(999):
        engine.show(2.0 + page, 1_000_000.0)

    assert engine.show(1001.0, 9_000_000.0) is None
    assert engine.show(1002.0, 1_000_000.0) == 0.0


def test_a_thousand_pages_after_a_refusal_a_leap_is_work_again(engine):
    engine.show(0.0, 1_000_000.0)
    engine.show(1.0, 900_000.0)
    for page in range(1001):
        engine.show(2.0 + page, 1_000_000.0)

    assert engine.show(1003.0, 9_000_000.0) == 8_000_000.0


def test_work_after_a_restart_grows_beyond_where_it_fell_from(engine):
    engine.show(0.0, 30_000.0)
    shown = [engine.show(float(n), 10_000.0 * n) for n in range(1, 8)]

    assert shown == [10_000.0 * n for n in range(1, 8)]
    assert engine.show(8.0, 5_000_000.0) == 5_000_000.0


def test_requests_that_end_together_long_after_a_restart_are_work_where_they_are_counted_on_finish(engine):
    engine.show(0.0, 1_000_000.0, live=False)
    for second in range(1, 12):
        engine.show(float(second), 0.0, live=False)

    assert engine.show(12.0, 1_500_000.0, live=False) == 1_500_000.0


def test_requests_that_seem_to_end_together_soon_after_a_restart_are_another_process(engine):
    engine.show(0.0, 1_000_000.0, live=False)
    for second in range(1, 10):
        engine.show(float(second), 0.0, live=False)

    assert engine.show(10.0, 1_500_000.0, live=False) is None


def test_requests_that_end_together_are_work_where_a_substitute_makes_them_live(engine):
    engine.show(0.0, 1_000_000.0, pending_output_tokens=0.0)
    for second in range(1, 12):
        engine.show(float(second), 0.0, pending_output_tokens=100_000.0 * second)

    assert engine.show(12.0, 1_500_000.0, pending_output_tokens=0.0) == 1_500_000.0


def test_another_process_that_comes_back_after_a_long_time_is_not_work_where_it_is_counted_live(engine):
    engine.show(0.0, 1_000_000.0)
    for second in range(1, 40):
        engine.show(float(second), 500.0 * second)

    assert engine.show(40.0, 1_000_050.0) is None


def test_series_that_come_back_are_no_leap(engine):
    engine.show(0.0, 600_000.0, 600_000.0)
    engine.show(1.0, 10.0, 600_000.0)
    engine.show(2.0, 20.0)

    assert engine.show(3.0, 30.0, 600_000.0) is not None


def test_one_of_several_ranks_that_begins_anew_in_one_process_is_believed(engine):
    same = {"epoch": f"start:{UNIX - 100}"}
    engine.show(0.0, 9_000_000.0, 9_000_000.0, **same)

    assert engine.show(1.0, 70.0, 9_000_500.0, **same) == 570.0


def test_a_rank_that_falls_to_more_than_it_can_have_made_is_not_believed_though_its_process_is_told(engine):
    same = {"epoch": f"start:{UNIX - 100}"}
    engine.show(0.0, 9_000_000.0, 9_000_000.0, **same)

    assert engine.show(1.0, 8_000_000.0, 9_000_500.0, **same) is None


def test_a_series_that_begins_at_zero_is_no_fall(engine):
    engine.show(0.0, 1_000_000.0)

    assert engine.show(1.0, 1_000_100.0, 0.0) == 100.0


def test_a_page_read_late_is_not_compared(engine):
    engine.show(5.0, 1_000_000.0)
    engine.show(4.0, 999_000.0)

    assert engine.show(6.0, 1_000_100.0) == 100.0


def test_a_process_that_tells_to_be_older_is_told(engine):
    engine.show(100.0, 50.0, epoch=f"start:{UNIX}")
    engine.show(101.0, 9000.0, epoch=f"start:{UNIX - 50}")

    assert engine.book.note.startswith("a:8000: a process that is older than its last page answers")


@given(
    st.lists(st.floats(2e5, 1e9), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.2, 2.0), st.integers(0, 5000)), max_size=60),
)
def test_replicas_behind_one_address_count_for_no_more_than_they_made_and_one_leap(raws, turns):
    """Whoever answers, in whatever order; none tells when it started. Until one falls nobody can know."""
    engine, seconds, made = Engine(), 0.0, max(raws) - min(raws)
    for who, gap, tokens in turns:
        seconds += gap
        raws = [raw + tokens for raw in raws]
        made += tokens * len(raws)
        engine.show(seconds, raws[who % len(raws)])

        assert engine.book.total(TokenKind.OUTPUT) <= made * (1 + 1e-9)
