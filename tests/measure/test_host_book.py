"""Counts of the host become totals: they never fall, and survive restarts of all that counts."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from agent.measure.host import HostClock, HostReading, LinkReading, PcieLink
from agent.measure.host_book import HostBook
from agent.measure.ledger import Ledger
from agent.measure.node import NodeReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.rows import rows_of

UNIX = 1_796_000_000.0
DAY = 86_400.0


def at(seconds):
    return Moment(seconds, UNIX + seconds)


def stalled(seconds, raw):
    return HostReading(at(seconds), stalled_seconds={("memory", "some"): raw})


def card(seconds, errors, name="eth0"):
    link = LinkReading(name, "", up=True, counts={"receive_errors": errors})
    return HostReading(at(seconds), interfaces=(link,))


class Bench:
    """A book over a ledger that goes through JSON when rackwatt restarts."""

    def __init__(self, epoch="boot:1", kept=None):
        self.ledger = Ledger()
        if kept is not None:
            self.ledger.load(json.loads(kept))
        self.book = HostBook(self.ledger, epoch)
        self.epoch = epoch

    def restart(self, epoch=None):
        return Bench(epoch or self.epoch, json.dumps(self.ledger.dump()))

    def take(self, reading, source="host"):
        self.book.take(source, reading)
        return self.book.figures

    def stalled(self, seconds, raw):
        return self.take(stalled(seconds, raw)).stalled_seconds_total["memory", "some"]

    def errors(self, seconds, raw, name="eth0"):
        return self.take(card(seconds, raw, name), "host/slow").interfaces[0].totals["receive_errors"]

    def steal(self, seconds, raw):
        return self.take(HostReading(at(seconds), cpu_steal_seconds=raw)).cpu_steal_seconds_total


@pytest.fixture
def bench():
    return Bench()


def test_t1_a_total_begins_at_zero_and_grows_by_what_was_observed(bench):
    assert [bench.stalled(1.0, 500.0), bench.stalled(2.0, 500.25), bench.stalled(3.0, 500.75)] == [
        0.0,
        0.25,
        0.75,
    ]


def test_t1_after_a_restart_of_rackwatt_what_came_meanwhile_is_counted(bench):
    bench.stalled(1.0, 500.0)
    bench.stalled(2.0, 500.5)

    assert bench.restart().stalled(60.0, 510.5) == 10.5


def test_t1_after_a_reboot_the_count_since_boot_is_added(bench):
    bench.stalled(1.0, 500.0)
    bench.stalled(2.0, 500.5)

    assert bench.restart("boot:2").stalled(9.0, 7.0) == 7.5


def test_t1_after_a_reboot_a_count_that_is_already_higher_is_added_whole(bench):
    bench.steal(1.0, 5.0)

    assert bench.restart("boot:2").steal(9000.0, 8.0) == 8.0


def test_steal_that_falls_within_one_boot_is_noise_and_not_counted_again(bench):
    told = [
        bench.steal(1.0, 1000.0),
        bench.steal(2.0, 1001.0),
        bench.steal(3.0, 1000.5),
        bench.steal(4.0, 1002.0),
    ]

    assert told == [0.0, 1.0, 1.0, 2.5]


def test_nothing_stalls_for_more_than_a_second_in_a_second(bench):
    told = [bench.stalled(1.0, 500.0), bench.stalled(2.0, 90_000.0), bench.stalled(3.0, 90_000.5)]

    assert told == [0.0, 0.0, 0.5]


def test_counts_of_a_card_begin_anew_with_its_driver(bench):
    assert [bench.errors(1.0, 100.0), bench.errors(2.0, 107.0), bench.errors(3.0, 2.0)] == [0.0, 7.0, 9.0]


def test_a_count_of_32_bits_that_wraps_only_grows(bench):
    assert [bench.errors(1.0, 4_294_967_290.0), bench.errors(2.0, 4.0)] == [0.0, 4.0]


def test_a_card_that_was_away_for_a_while_keeps_its_total(bench):
    bench.errors(1.0, 100.0)
    bench.errors(2.0, 107.0)
    bench.take(HostReading(at(3.0), interfaces=()), "host/slow")

    assert bench.errors(3.0 + 2 * DAY, 108.0) == 8.0


def test_a_card_that_stands_still_for_weeks_and_then_reloads_its_driver_keeps_its_total(bench):
    bench.errors(0.0, 100.0)
    bench.errors(1.0, 107.0)
    for hour in range(1, 24 * 20):
        bench.errors(3600.0 * hour, 107.0)
    for hour in range(24 * 20, 24 * 21):
        bench.take(card(3600.0 * hour, 1.0, "eth1"), "host/slow")

    assert bench.errors(3600.0 * 24 * 21, 0.0) == 7.0


def test_a_card_that_was_gone_for_a_week_is_forgotten(bench):
    bench.errors(0.0, 100.0)
    bench.errors(1.0, 107.0)
    bench.take(card(8 * DAY, 1.0, "eth1"), "host/slow")

    assert bench.ledger.keys("host/network/eth0") == []
    assert bench.ledger.keys("host/network/eth1") != []


def test_cards_that_come_and_go_leave_no_more_than_a_weeks_worth(bench):
    for day in range(60):
        bench.take(card(day * DAY, 1.0, f"vf{day}"), "host/slow")

    assert len(bench.ledger.dump()) <= 8


def test_t15_a_source_that_failed_takes_only_its_own_along(bench):
    clock = HostClock(synchronized=True, error_bound_seconds=0.5)
    bench.take(HostReading(at(1.0), stalled_seconds={("io", "full"): 3.0}, clock=clock))
    bench.take(card(1.0, 5.0), "host/slow")
    both = bench.book.figures
    bench.book.miss("host/slow")
    one = bench.book.figures
    bench.book.miss("host")

    assert (both.clock, len(both.interfaces)) == (clock, 1)
    assert (one.clock, one.interfaces) == (clock, ())
    assert bench.book.figures is None


def test_t4_zero_of_one_source_is_not_hidden_by_what_another_does_not_know(bench):
    bench.take(HostReading(at(1.0), cpu_steal_seconds=0.0, oom_kills=0.0), "host/slow")
    bench.take(stalled(1.0, 4.0))

    assert (bench.book.figures.cpu_steal_seconds_total, bench.book.figures.oom_kills_total) == (0.0, 0.0)


def test_a_source_that_is_no_longer_offered_is_forgotten(bench):
    bench.stalled(1.0, 4.0)
    bench.book.expect(["host/slow"])

    assert bench.book.figures is None


def test_a_node_without_the_collector_has_no_host():
    node = NodeReckoner("n", "", 10.0, "boot", "run")
    node.take(Reading("nvml", at(1.0)), 1.0)
    snapshot = node.snapshot(at(1.0), (), {})

    assert snapshot.host is None
    assert not [row for row in rows_of(snapshot) if row.metric.startswith("host_")]


def test_a_node_keeps_the_hosts_totals_over_its_own_restart():
    def node(kept=None):
        made = NodeReckoner("n", "", 10.0, "boot", "run")
        if kept:
            made.load(json.loads(kept))
        made.expect(["host", "host/slow"])
        return made

    first = node()
    first.take(Reading("host", at(1.0), host=stalled(1.0, 10.0)), 1.0)
    first.take(Reading("host", at(2.0), host=stalled(2.0, 10.5)), 1.0)
    second = node(json.dumps(first.dump()))
    second.take(Reading("host", at(30.0), host=stalled(30.0, 12.0)), 1.0)

    assert second.snapshot(at(30.0), (), {}).host.stalled_seconds_total["memory", "some"] == 2.0


@pytest.mark.parametrize("lose", [lambda node: node.miss("host"), lambda node: node.expect(["nvml"])])
def test_t15_a_node_forgets_what_a_failed_or_dropped_source_told(lose):
    node = NodeReckoner("n", "", 10.0, "boot", "run")
    node.expect(["host"])
    node.take(Reading("host", at(1.0), host=stalled(1.0, 10.0)), 1.0)
    known = node.snapshot(at(1.0), (), {}).host
    lose(node)

    assert known is not None
    assert node.snapshot(at(2.0), (), {}).host is None


def test_the_link_of_a_gpu_is_that_of_its_uuid(bench, new_bench, gpu):
    node = new_bench(engines=()).node
    node.expect(["nvml", "host/slow"])
    node.take(Reading("nvml", at(1.0), gpus=(gpu(1.0, number=0), gpu(1.0, number=1))), 1.0)
    links = {"GPU-1": PcieLink(8.0, 16.0, None, 32e9), "GPU-9": PcieLink(4.0)}
    node.take(Reading("host/slow", at(1.0), host=HostReading(at(1.0), pcie_links=links)), 5.0)
    rows = [
        (row.metric, row.labels, row.value)
        for row in rows_of(node.snapshot(at(1.0), (), {}))
        if "pcie" in row.metric
    ]

    assert rows == [
        ("gpu_pcie_link_width_lanes", ("1",), 8.0),
        ("gpu_pcie_link_max_width_lanes", ("1",), 16.0),
        ("gpu_pcie_link_max_transfers_per_second", ("1",), 32e9),
    ]


EVENTS = st.one_of(
    st.tuples(st.just("count"), st.integers(0, 2**40)),
    st.tuples(st.just("more"), st.integers(0, 100)),
    st.tuples(st.sampled_from(["restart", "reboot", "miss", "quiet"]), st.just(0)),
)


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=30))
def test_t1_whatever_happens_no_total_of_the_host_falls(story):
    """Counts wrap, begin anew or jump; cards, rackwatt and the machine restart: totals only grow."""
    bench, raw, boots = Bench(), 0, 1
    told = {"stalled": 0.0, "steal": 0.0, "errors": 0.0}
    for second, (event, amount) in enumerate(story, start=1):
        raw = {"count": amount, "more": raw + amount, "reboot": 0}.get(event, raw)
        if event == "reboot":
            boots += 1
        if event in {"restart", "reboot"}:
            bench = bench.restart(f"boot:{boots}")
        if event == "miss":
            bench.book.miss("host")
        now = {
            "stalled": bench.stalled(float(second), float(raw)),
            "steal": bench.steal(float(second), float(raw)),
            "errors": bench.errors(float(second), float(raw)),
        }

        assert all(now[what] >= told[what] for what in told), (story, told, now)
        assert event in {"restart", "reboot"} or now["stalled"] <= told["stalled"] + 2.0
        told = now
