"""How old what is known is, and when to ask again; the time is told."""

from fakes.racks import member, rack

from agent.measure.reading import Moment
from agent.top.history import RATE
from agent.top.page import read
from agent.top.watch import Watch
from agent.wire.rack_codec import to_json


def page(sequence):
    return read(to_json(rack(member("a"), sequence=sequence, at=Moment(0.0, float(sequence)))))


def test_a_page_is_fresh_for_three_seconds():
    watch = Watch("u")
    watch.came(page(1), 100.0)

    assert not watch.stale(103.0)
    assert watch.stale(103.1)
    assert watch.status(107.0).age_seconds == 7.0


def test_before_the_first_answer_nothing_is_stale():
    assert not Watch("u").stale(50.0)
    assert Watch("u").status(50.0).age_seconds is None


def test_a_repeated_snapshot_is_no_news():
    watch = Watch("u")
    for second in range(6):
        watch.came(page(1), 100.0 + second)

    assert watch.stale(105.0)
    assert watch.status(105.0).error == ""


def test_a_slow_rack_is_not_stale_between_two_of_its_snapshots():
    watch = Watch("u")
    watch.came(page(1), 100.0)
    watch.came(page(2), 110.0)

    assert not watch.stale(120.0)
    assert watch.stale(136.0)


def test_a_restarted_server_counts_anew_and_is_fresh():
    watch = Watch("u")
    watch.came(page(900), 100.0)
    watch.came(page(1), 104.0)

    assert watch.status(104.0).age_seconds == 0.0


def test_waits_double_up_to_a_ceiling_and_an_answer_ends_them():
    watch = Watch("u")

    assert [watch.failed("no", float(i)) for i in range(6)] == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert watch.status(5.0).retry_seconds == 15.0
    assert watch.came(page(1), 6.0) == 1.0
    assert watch.failed("no", 7.0) == 1.0


def test_what_was_known_stays_with_its_age_when_asking_fails():
    watch = Watch("u")
    watch.came(page(1), 100.0)
    watch.failed("it is gone", 101.0)

    status = watch.status(110.0)
    assert (status.error, status.age_seconds, status.stale) == ("it is gone", 10.0, True)
    assert watch.page is not None


def test_stale_seconds_are_gaps_in_the_sparkline():
    watch = Watch("u")
    watch.came(page(1), 100.0)
    for second in (101.0, 102.0, 104.0, 105.0):
        watch.tick(second)

    assert watch.history.values(RATE) == [60_000.0, None, None]
