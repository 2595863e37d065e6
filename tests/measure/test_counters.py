"""Totals made of counters that restart (T1, T2)."""

import pytest

from agent.measure.counters import Change, advance, begin
from agent.measure.ledger import Ledger


def test_t1_a_total_starts_at_zero_when_its_source_is_first_seen(moment):
    step = begin(5000.0, moment(0), "start:1")

    assert step.counter.total == 0.0


def test_t1_a_total_grows_by_the_observed_difference(moment):
    first = begin(5000.0, moment(0), None).counter
    step = advance(first, 5120.0, moment(1), None)

    assert (step.counter.total, step.delta, step.change) == (120.0, 120.0, Change.GREW)


def test_t1_after_a_restart_of_rackwatt_the_same_process_adds_raw_minus_last(moment):
    before, after = Ledger(), Ledger()
    before.observe("k", 5000.0, moment(0), "start:1")
    before.observe("k", 5100.0, moment(1), "start:1")
    after.load(before.dump())
    step = after.observe("k", 5900.0, moment(60), "start:1")

    assert step.counter.total == 900.0


def test_t1_after_a_restart_of_rackwatt_another_process_adds_its_raw_value(moment):
    before, after = Ledger(), Ledger()
    before.observe("k", 5000.0, moment(0), "boot:1")
    after.load(before.dump())
    step = after.observe("k", 5900.0, moment(60), "boot:2")

    assert (step.counter.total, step.change) == (5900.0, Change.RESET)


def test_t2_a_counter_that_goes_down_is_counted_from_zero(moment):
    first = begin(5000.0, moment(0), None).counter
    step = advance(first, 70.0, moment(1), None)

    assert (step.counter.total, step.change, step.counter.resets) == (70.0, Change.RESET, 1)


def test_t2_a_changed_start_time_is_a_restart_though_the_counter_has_grown(moment):
    first = begin(50.0, moment(0), "start:1760000000").counter
    step = advance(first, 80.0, moment(100), "start:1760000050")

    assert (step.counter.total, step.change) == (80.0, Change.RESET)


def test_a_process_that_began_before_the_last_look_is_foreign_and_not_counted(moment):
    first = begin(50.0, moment(100), "start:1760000000").counter
    step = advance(first, 9000.0, moment(101), "start:1760000010")

    assert (step.counter.total, step.change) == (0.0, Change.FOREIGN)


def test_a_process_may_tell_its_start_up_to_five_seconds_early(moment):
    first = begin(50.0, moment(100), "start:1760000000").counter
    step = advance(first, 80.0, moment(101), "start:1760000096")

    assert step.change is Change.RESET


def test_a_process_that_tells_its_start_six_seconds_early_is_foreign(moment):
    first = begin(50.0, moment(100), "start:1760000000").counter
    step = advance(first, 80.0, moment(101), "start:1760000094")

    assert step.change is Change.FOREIGN


def test_a_foreign_process_seen_three_times_in_a_row_is_adopted_as_it_stands(moment):
    counter = begin(50.0, moment(100), "start:1760000000").counter
    for second, raw in ((101, 9000.0), (102, 9010.0), (103, 9020.0)):
        counter = advance(counter, raw, moment(second), "start:1760000010").counter
    step = advance(counter, 9030.0, moment(104), "start:1760000010")

    assert (step.counter.total, step.change) == (10.0, Change.GREW)
    assert (counter.total, counter.resets) == (0.0, 1)


def test_our_own_process_between_two_foreign_ones_forgets_them(moment):
    counter = begin(50.0, moment(100), "start:1760000000").counter
    counter = advance(counter, 9000.0, moment(101), "start:1760000010").counter
    counter = advance(counter, 60.0, moment(102), "start:1760000000").counter

    assert (counter.total, counter.foreign) == (10.0, 0)


def test_a_value_read_before_the_last_one_is_not_counted(moment):
    counter = advance(begin(50.0, moment(0), None).counter, 90.0, moment(2), None).counter
    step = advance(counter, 60.0, moment(1), None)

    assert (step.counter, step.delta, step.change) == (counter, 0.0, Change.LATE)


def test_a_value_of_the_same_moment_is_not_late(moment):
    counter = advance(begin(50.0, moment(0), None).counter, 90.0, moment(2), None).counter

    assert advance(counter, 95.0, moment(2), None).counter.total == 45.0


def test_more_than_the_source_can_produce_is_not_counted(moment):
    first = begin(0.0, moment(0), None).counter
    step = advance(first, 1e9, moment(1), None, max_rate=3000.0)

    assert (step.counter.total, step.change) == (0.0, Change.IMPLAUSIBLE)


def test_an_implausible_leap_is_where_counting_goes_on(moment):
    leapt = advance(begin(0.0, moment(0), None).counter, 1e9, moment(1), None, max_rate=3000.0).counter
    step = advance(leapt, 1e9 + 700.0, moment(2), None, max_rate=3000.0)

    assert step.counter.total == 700.0


def test_the_bound_allows_one_second_of_slack(moment):
    first = begin(0.0, moment(0), None).counter
    step = advance(first, 6000.0, moment(1), None, max_rate=3000.0)

    assert step.change is Change.GREW


def test_after_a_restart_of_rackwatt_the_same_boot_is_not_bounded_by_a_clock_that_was_stepped(moment):
    before, after = Ledger(), Ledger()
    before.observe("k", 0.0, moment(0), "boot:1")
    after.load(before.dump())
    step = after.observe("k", 50_000.0, moment(60, stepped=-3600), "boot:1", max_rate=3000.0)

    assert step.counter.total == 50_000.0


def test_a_total_without_a_raw_counter_grows_by_what_is_added(moment):
    ledger = Ledger()
    ledger.add("k", 2.0, moment(0))

    assert ledger.add("k", 3.0, moment(1)) == 5.0


def test_a_total_that_was_never_seen_is_unknown():
    assert Ledger().total("k") is None


@pytest.mark.parametrize(
    "entry",
    [
        [1.0, 2.0, None, 3.0],
        [None, 2.0, None, 3.0, 0],
        ["x", 2.0, None, 3.0, 0],
        [float("nan"), 2.0, None, 3.0, 0],
        [-1.0, 2.0, None, 3.0, 0],
        [float("inf"), 2.0, None, 3.0, 0],
        7,
    ],
)
def test_a_kept_entry_that_dump_does_not_write_is_refused_and_nothing_is_taken(entry):
    ledger = Ledger()
    with pytest.raises((TypeError, ValueError)):
        ledger.load({"good": [1.0, 2.0, None, 3.0, 0], "bad": entry})

    assert ledger.dump() == {}


@pytest.mark.parametrize("book", [None, 7, "text", [1, 2]])
def test_a_kept_book_that_is_no_mapping_is_refused(book):
    with pytest.raises((TypeError, ValueError)):
        Ledger().load(book)


def test_what_is_dumped_loads_into_the_same_book(moment):
    before, after = Ledger(), Ledger()
    before.observe("k", 5.0, moment(0), "start:1")
    before.add("sum", 2.5, moment(1))
    after.load(before.dump())

    assert after.dump() == before.dump()


@pytest.mark.parametrize("start", ["", "soon", "nan", "-inf", "1e999", "\ud800", "0x10", "1 2", "\x00"])
def test_an_epoch_that_tells_no_moment_is_another_process_and_not_foreign(moment, start):
    first = begin(50.0, moment(100), "start:1760000000").counter

    assert advance(first, 80.0, moment(101), f"start:{start}").change is Change.RESET
