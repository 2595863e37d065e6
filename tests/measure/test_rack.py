"""The rack over hand-made members: each rule with literals."""

import json
from dataclasses import replace

import pytest
from fakes.rack_node import OUTPUT, RackNode

from agent.measure.rack import RackPlan, RackReckoner, UnknownMemberError
from agent.measure.rack_ledger import MOST_MODEL_SERIES
from agent.measure.rack_view import worst_first
from agent.measure.reading import Moment
from agent.measure.records import BY_NAME
from agent.measure.validity import Flag, Invalid

GPU = "gpu"


class Bench:
    """A rack polled by hand, once a second."""

    def __init__(self, nodes, plan=None, kept=None, window=10.0):
        self.nodes = {f"http://{node.name}:9744": node for node in nodes}
        self.rack = RackReckoner(plan or RackPlan(), window)
        if kept is not None:
            self.rack.load(json.loads(json.dumps(kept)))
        self.rack.expect(self.nodes)

    def poll(self, start, end, *, without=(), **changes):
        for second in range(start, end):
            for url, node in self.nodes.items():
                if node.name in without:
                    self.rack.miss(url, "timed_out: did not answer")
                else:
                    self.rack.take(url, node.reading(float(second), **changes), 1.0)

    def snapshot(self, seconds):
        return self.rack.snapshot(Moment(seconds, 0.0), "own")


def standing(snapshot, figure):
    return next(each for each in snapshot.validity if each.figure == figure)


@pytest.fixture
def nodes():
    return [RackNode("a"), RackNode("b", rate=2000.0), RackNode("c", rate=3000.0)]


@pytest.fixture
def bench(nodes):
    return Bench(nodes)


def test_t5_the_rack_is_the_sum_and_its_ratio_the_ratio_of_sums(bench):
    bench.poll(0, 20)
    rack = bench.snapshot(19.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(6000.0)
    assert rack.tokens_per_joule[OUTPUT, GPU] == pytest.approx(4.0)
    assert rack.power_watts == {GPU: 1500.0}
    assert (rack.coverage, rack.valid, rack.window_seconds) == (1.0, True, 10.0)
    assert rack.window_end_monotonic_seconds == pytest.approx(18.751, abs=0.001)
    assert (rack.nodes_expected, rack.nodes_reporting, rack.gpus_expected, rack.gpus_reporting) == (
        3,
        3,
        12,
        12,
    )
    assert rack.rack == "r12"


def test_t3_until_the_window_is_full_nothing_is_said(bench):
    bench.poll(0, 8)
    rack = bench.snapshot(7.1)

    assert rack.tokens_per_second == {}
    assert standing(rack, "rack_tokens_per_second").reasons == {Invalid.LOW_COVERAGE, Invalid.WARMING_UP}


def test_t3_the_window_holds_three_samples_of_the_slowest_source(bench, nodes):
    for second in range(300):
        for url, node in bench.nodes.items():
            totals = node.reading(float(second))
            slow = replace(totals.totals.engines[0], cadence_seconds=15.0)
            if node.name == "a":
                totals = replace(totals, totals=replace(totals.totals, engines=(slow,)))
            bench.rack.take(url, totals, 1.0)

    assert bench.snapshot(299.1).window_seconds == 48.0  # 3 x (15 s + a poll)


def test_t10_a_missing_member_is_named_and_never_drawn_as_a_drop_of_a_valid_rate(bench):
    bench.poll(0, 20)
    bench.poll(20, 30, without=("c",))
    rack = bench.snapshot(29.1)

    assert rack.missing == ("c",)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert rack.coverage == pytest.approx(2 / 3)
    assert not rack.valid
    assert (OUTPUT, GPU) not in rack.tokens_per_joule
    assert {Invalid.LOW_COVERAGE, Invalid.MEMBER_MISSING} <= standing(rack, "rack_tokens_per_second").reasons


def test_t10_a_model_has_no_ratio_when_too_few_of_those_who_serve_it_are_covered(bench):
    bench.poll(0, 20)
    whole = bench.snapshot(19.1)
    bench.poll(20, 40, without=("c",))
    part = bench.snapshot(39.1)

    assert whole.models[0].tokens_per_joule[OUTPUT, GPU] == pytest.approx(4.0)
    assert part.models[0].tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert part.models[0].tokens_per_joule == {}


def test_t10_one_of_forty_missing_leaves_the_rack_valid():
    bench = Bench([RackNode(f"n{number}") for number in range(40)])
    bench.poll(0, 20)
    bench.poll(20, 30, without=("n7",))
    rack = bench.snapshot(29.1)

    assert (rack.coverage, rack.valid) == (0.975, True)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(39_000.0)
    assert rack.tokens_per_joule[OUTPUT, GPU] == pytest.approx(2.0)


def test_t15_a_member_that_is_away_tells_nothing(bench):
    bench.poll(0, 20)
    bench.poll(20, 23, without=("c",))
    away = bench.snapshot(22.1).members[2]

    assert (away.up, away.why) == (False, "timed_out: did not answer")
    assert (away.tokens_per_second, away.power_watts, away.tokens_per_joule) == ({}, {}, {})
    assert [gpu.up for gpu in away.gpus] == [False] * 4
    assert away.age_seconds == pytest.approx(3.1, abs=0.01)
    assert away.tokens_total[OUTPUT] > 0


def test_one_lost_poll_takes_nobody_out_and_its_age_is_told(bench):
    """T15: up while the last document is younger than 3 s or two and a half cadences."""
    bench.poll(0, 20)
    bench.poll(20, 22, without=("c",))
    late = bench.snapshot(21.9)
    away = bench.snapshot(22.1)

    assert (late.members[2].up, late.members[2].why, late.nodes_reporting, late.missing) == (True, "", 3, ())
    assert late.members[2].age_seconds == pytest.approx(2.9, abs=0.01)
    assert (away.members[2].up, away.nodes_reporting, away.missing) == (False, 2, ("c",))


def test_a_member_read_rarely_is_up_for_two_and_a_half_cadences(nodes):
    bench = Bench(nodes)
    bench.rack.take("http://a:9744", nodes[0].reading(0.0), 10.0)

    assert bench.snapshot(24.9).members[0].up
    assert not bench.snapshot(25.1).members[0].up
    assert bench.snapshot(25.1).members[0].why == "has not been read for 25 s"


def test_one_lost_poll_changes_no_figure(bench):
    bench.poll(0, 20)
    bench.poll(20, 21, without=("c",))
    bench.poll(21, 23)
    rack = bench.snapshot(22.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(6000.0)
    assert rack.valid


def test_t10_a_member_back_after_absence_is_no_burst_and_its_tokens_are_backfilled(bench):
    bench.poll(0, 20)
    bench.poll(20, 50, without=("c",))
    rates = []
    for second in range(50, 75):
        bench.poll(second, second + 1)
        rates.append(bench.snapshot(second + 0.1).tokens_per_second[OUTPUT])
    rack = bench.snapshot(74.1)

    assert max(rates) <= 6000.0 + 1e-6
    assert rates[-1] == pytest.approx(6000.0)
    assert rack.backfilled_tokens_total[OUTPUT] == pytest.approx(3000.0 * 31)
    assert rack.tokens_total[OUTPUT] == pytest.approx(sum(n.tokens(73.751) for n in bench.nodes.values()))


def test_an_hour_of_skew_and_a_stepped_wall_clock_change_nothing():
    bench = Bench([RackNode("a"), RackNode("b", wall=1_760_003_600.0, ahead=9e5)])
    bench.poll(0, 10)
    bench.nodes["http://a:9744"].wall -= 7200.0
    bench.poll(10, 20)
    rack = bench.snapshot(19.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(2000.0)
    assert rack.valid


def test_a_reboot_begins_the_mapping_anew_and_loses_no_token(bench, nodes):
    bench.poll(0, 20)
    nodes[2].boot_id, nodes[2].ahead = "boot:2", -10.0
    bench.poll(20, 25)
    warming = bench.snapshot(24.1)
    bench.poll(25, 35)
    rack = bench.snapshot(34.1)

    assert warming.tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(6000.0)
    assert rack.tokens_total[OUTPUT] == pytest.approx(6000.0 * 33.751)


def test_t2_a_member_that_lost_its_state_adds_its_count_anew_and_the_total_never_falls(bench, nodes):
    bench.poll(0, 20)
    before = bench.snapshot(19.1).tokens_total[OUTPUT]
    nodes[0].ledger, nodes[0].began = "ledger-2", 20.0
    bench.poll(21, 30)
    rack = bench.snapshot(29.1)
    truth = 1000.0 * 18.751 + 1000.0 * 8.751 + 5000.0 * 28.751

    assert rack.tokens_total[OUTPUT] > before
    assert rack.tokens_total[OUTPUT] == pytest.approx(truth)
    assert Flag.COUNTER_RESET in standing(rack, "rack_tokens_per_second").flags


def test_t1_the_total_starts_from_what_members_have_counted_already():
    first = Bench([RackNode("a", base=7_000_000.0)])
    first.poll(0, 20)
    second = Bench([RackNode("a", base=7_000_000.0)])
    second.poll(19, 20)

    assert first.snapshot(19.1).tokens_total == second.snapshot(19.1).tokens_total
    assert first.snapshot(19.1).tokens_total[OUTPUT] == pytest.approx(7_018_751.0)
    assert second.snapshot(19.1).backfilled_tokens_total == {OUTPUT: 0.0}


def test_a_total_that_falls_within_one_ledger_waits_until_it_has_caught_up(bench, nodes):
    bench.poll(0, 20)
    nodes[0].base = -5000.0
    before = bench.snapshot(19.1).tokens_total[OUTPUT]
    bench.poll(20, 21)
    after = bench.snapshot(20.1).tokens_total[OUTPUT]
    bench.poll(21, 40)

    assert after - before == pytest.approx(5000.0)
    assert bench.snapshot(39.1).tokens_total[OUTPUT] == pytest.approx(6000.0 * 38.751 - 5000.0)


def test_a_member_removed_from_the_configuration_keeps_its_contribution(bench):
    bench.poll(0, 20)
    total = bench.snapshot(19.1).tokens_total[OUTPUT]
    bench.rack.expect(["http://a:9744"])
    rack = bench.snapshot(19.2)

    assert rack.tokens_total[OUTPUT] == total
    assert rack.nodes_expected == 1


def test_a_member_given_by_two_addresses_is_counted_once_and_told(nodes):
    bench = Bench(nodes)
    bench.nodes["http://10.0.0.1:9744"] = nodes[0]
    bench.rack.expect(bench.nodes)
    bench.poll(0, 20)
    rack = bench.snapshot(19.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(6000.0)
    assert rack.tokens_total[OUTPUT] == pytest.approx(6000.0 * 18.751)
    assert (rack.nodes_expected, rack.nodes_reporting, rack.gpus_expected) == (3, 3, 12)
    assert rack.members[3].why == "it is the same node as http://a:9744, which is counted"
    assert len({member.node for member in rack.members}) == 4


def test_t10_a_drained_node_known_by_two_addresses_leaves_the_expectation_once(nodes):
    bench = Bench(nodes)
    bench.nodes["http://10.0.0.1:9744"] = nodes[0]
    bench.rack.expect(bench.nodes)
    bench.poll(0, 20)
    bench.rack.drain("a", "repair")
    bench.poll(20, 40, without=("c",))
    rack = bench.snapshot(39.1)

    assert (rack.nodes_expected, rack.nodes_reporting, rack.missing) == (2, 1, ("c",))


def test_a_copied_state_directory_is_told():
    bench = Bench([RackNode("a", boot_id="boot:1")])
    bench.nodes["http://clone:9744"] = RackNode("a", boot_id="boot:2", rate=5.0)
    bench.rack.expect(bench.nodes)
    bench.poll(0, 5)

    assert "was its state_dir copied?" in bench.snapshot(4.1).members[1].why


def test_a_node_that_is_renamed_is_the_same_count(bench, nodes):
    bench.poll(0, 20)
    total = bench.snapshot(19.1).tokens_total[OUTPUT]
    nodes[1].name = "b2"
    bench.poll(20, 21)

    assert bench.snapshot(20.1).tokens_total[OUTPUT] == pytest.approx(total + 6000.0)


def test_t1_a_node_known_by_two_addresses_and_renamed_is_the_same_count():
    node = RackNode("a")
    bench = Bench([node])
    bench.nodes["http://alias:9744"] = node
    bench.rack.expect(bench.nodes)
    bench.poll(0, 20)
    node.name = "a2"
    bench.poll(20, 22)

    assert bench.snapshot(21.1).tokens_total[OUTPUT] == pytest.approx(node.tokens(20.751))


def test_t1_a_node_that_is_renamed_together_with_its_address_is_the_same_count():
    node = RackNode("a")
    bench = Bench([node])
    bench.poll(0, 20)
    node.name = "b"
    bench.nodes = {"http://b:9744": node}
    bench.rack.expect(bench.nodes)
    bench.poll(20, 22)
    rack = bench.snapshot(21.1)

    assert rack.tokens_total[OUTPUT] == pytest.approx(node.tokens(20.751))
    assert rack.backfilled_tokens_total[OUTPUT] == pytest.approx(1000.0)


@pytest.mark.parametrize("number", [2, 9, 18])
def test_t1_nodes_that_all_have_one_name_are_counted_once_each(number):
    """As with 18 trays whose host name nobody set."""
    nodes = [RackNode("localhost", ledger=f"ledger-{n}", boot_id=f"boot:{n}") for n in range(number)]
    bench = Bench([])
    bench.nodes = {f"http://tray-{n}:9744": node for n, node in enumerate(nodes)}
    bench.rack.expect(bench.nodes)
    bench.poll(1, 20)
    rack = bench.snapshot(19.1)

    truth = sum(node.tokens(18.751) for node in nodes)
    assert rack.tokens_total[OUTPUT] == pytest.approx(truth)
    assert sum(member.tokens_total[OUTPUT] for member in rack.members) == pytest.approx(truth)


def test_t1_a_node_that_loses_its_state_again_and_again_folds_no_account_of_a_namesake():
    steady, shaky = RackNode("a", ledger="steady"), RackNode("a", ledger="0")
    bench = Bench([])
    bench.nodes = {"http://steady:9744": steady, "http://shaky:9744": shaky}
    bench.rack.expect(bench.nodes)
    lost = 0.0
    for start in range(1, 61, 3):
        bench.poll(start, start + 3)
        lost += shaky.tokens(start + 1.751)
        shaky.ledger, shaky.began = str(start), start + 3.0 - 0.249

    total = bench.snapshot(60.1).tokens_total[OUTPUT]
    assert total == pytest.approx(steady.tokens(59.751) + lost)


def test_t4_a_member_that_comes_back_with_less_than_it_had_told_is_unknown_and_not_at_zero(bench, nodes):
    """As when a pod is killed with its engine, before the node had kept its last seconds."""
    bench.poll(0, 20)
    nodes[2].base -= 15_000.0
    origin = replace(nodes[2].totals(20.0).origin, run="run:2")
    for second in range(20, 24):
        for url, node in bench.nodes.items():
            changes = {"origin": origin} if node is nodes[2] else {}
            bench.rack.take(url, node.reading(float(second), **changes), 1.0)
    rack = bench.snapshot(23.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert (rack.members[2].tokens_per_second, rack.valid) == ({}, False)


def test_a_member_that_names_models_without_end_fills_no_memory():
    node = RackNode("a")
    bench = Bench([node])
    for second in range(20):
        names = {(f"m{second}-{number}", OUTPUT): 1.0 for number in range(2000)}
        bench.poll(second, second + 1, tokens=names)

    assert len(bench.snapshot(19.1).models) <= MOST_MODEL_SERIES + 2


def test_t10_drained_members_leave_the_expectation(bench):
    bench.poll(0, 20)
    bench.rack.drain("c", "repair")
    bench.poll(20, 30, without=("c",))
    rack = bench.snapshot(29.1)

    assert (rack.drained, rack.missing) == (("c",), ())
    assert (rack.nodes_expected, rack.gpus_expected, rack.coverage, rack.valid) == (2, 8, 1.0, True)
    assert rack.members[2].drained


def test_t10_a_member_drained_before_it_told_its_name_stays_drained_when_it_does(bench):
    bench.rack.drain("a:9744", "waits for a fan")
    bench.poll(0, 5)
    drained = bench.snapshot(4.1)
    bench.rack.drain("a", None)

    assert drained.drained == ("a",)
    assert bench.snapshot(4.2).drained == ()


def test_t10_a_member_that_was_stopped_brings_what_it_missed_with_its_second_answer(bench, nodes):
    """SIGSTOP: what it first answers is what it knew before."""
    bench.poll(0, 20)
    bench.poll(20, 80, without=("c",))
    bench.rack.take("http://c:9744", nodes[2].reading(80.0, lag=61.25), 1.0)
    stale = bench.snapshot(80.1).backfilled_tokens_total[OUTPUT]
    bench.rack.take("http://c:9744", nodes[2].reading(81.0), 1.0)

    assert stale == pytest.approx(0.0, abs=1e-6)
    assert bench.snapshot(81.1).backfilled_tokens_total[OUTPUT] == pytest.approx(nodes[2].rate * 62.0)


def test_t10_the_configuration_drains_by_name_or_address_and_takes_back(bench):
    bench.rack.plan = RackPlan(drained=frozenset({"a", "http://b:9744"}))
    bench.poll(0, 20)
    drained = bench.snapshot(19.1)
    bench.rack.plan = RackPlan()
    back = bench.snapshot(19.2)

    assert (drained.drained, drained.nodes_expected) == (("a", "b"), 1)
    assert drained.members[0].why == "drained by the configuration of the rack"
    assert (back.drained, back.nodes_expected) == ((), 3)


def test_a_member_that_drained_itself_is_drained_and_in_no_sum(bench, nodes):
    nodes[2].drained = "maintenance"
    bench.poll(0, 20)
    rack = bench.snapshot(19.1)

    assert rack.drained == ("c",)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert rack.power_watts == {GPU: 1000.0}
    assert rack.tokens_total[OUTPUT] == pytest.approx(6000.0 * 18.751)


def test_draining_nobody_is_refused_with_the_choices(bench):
    bench.poll(0, 1)

    with pytest.raises(UnknownMemberError, match="no member 'x'; there are: a, b, c"):
        bench.rack.drain("x", "why")


def test_configured_expectation_counts_nodes_that_nobody_named(nodes):
    bench = Bench(nodes, RackPlan("r9", nodes_expected=4, gpus_expected=16))
    bench.poll(0, 20)
    rack = bench.snapshot(19.1)

    assert (rack.rack, rack.nodes_expected, rack.gpus_expected, rack.coverage) == ("r9", 4, 16, 0.75)
    assert not rack.valid


def test_t10_a_gpu_that_a_member_never_saw_is_expected_by_the_rack_as_by_the_member(nodes):
    bench = Bench(nodes)
    bench.poll(0, 5)
    node = bench.nodes["http://a:9744"]
    reading = node.reading(5.0)
    bench.rack.take("http://a:9744", replace(reading, totals=replace(reading.totals, gpus_absent=1)), 1.0)
    rack = bench.snapshot(5.1)

    assert (rack.gpus_expected, rack.gpus_reporting) == (13, 12)


def test_t10_a_rack_that_names_more_than_it_expects_does_not_hide_a_missing_node(nodes):
    bench = Bench(nodes, RackPlan("r9", nodes_expected=2, gpus_expected=4))
    bench.poll(0, 20)
    bench.poll(20, 40, without=("c",))
    rack = bench.snapshot(39.1)

    assert (rack.nodes_expected, rack.nodes_reporting, rack.missing) == (3, 2, ("c",))
    assert (rack.gpus_expected, rack.gpus_reporting) == (12, 8)
    assert (rack.coverage, rack.valid) == (pytest.approx(2 / 3), False)


def test_what_is_kept_survives_a_restart_while_a_member_is_away(bench, nodes):
    bench.poll(0, 20)
    bench.rack.drain("b", "repair")
    total = bench.snapshot(19.1).tokens_total[OUTPUT]
    again = Bench(nodes, kept=bench.rack.dump())
    again.poll(0, 1, without=("a", "b", "c"))
    rack = again.snapshot(0.1)

    assert rack.tokens_total[OUTPUT] == total
    assert rack.members[0].node == "a"
    assert (rack.gpus_expected, rack.drained) == (8, ("b",))
    assert [gpu.uuid for gpu in rack.members[2].gpus] == [f"GPU-c-{n}" for n in range(4)]


@pytest.mark.parametrize(
    "kept",
    [{}, [], {"members": {}, "drained": {}, "accounts": [["a", "l", [["m", "output", -1.0]], {}, {}]]}],
)
def test_kept_state_that_is_something_else_is_refused(bench, kept):
    with pytest.raises((KeyError, TypeError, ValueError)):
        bench.rack.load(kept)


def test_an_engine_that_is_down_takes_its_half_of_the_member_out_of_rate_and_coverage():
    bench = Bench([RackNode("a", engines=2), RackNode("b", engines=2)])
    bench.poll(0, 20)
    for second in range(20, 30):
        for url, node in bench.nodes.items():
            reading = node.reading(float(second))
            if node.name == "a":
                down = replace(reading.totals.engines[0], up=False)
                engines = (down, *reading.totals.engines[1:])
                reading = replace(reading, totals=replace(reading.totals, engines=engines))
            bench.rack.take(url, reading, 1.0)
    rack = bench.snapshot(29.1)

    assert rack.tokens_per_second[OUTPUT] == pytest.approx(3000.0)
    assert (rack.coverage, rack.valid) == (0.75, False)
    assert Invalid.MEMBER_MISSING in standing(rack, "rack_tokens_per_second").reasons


def test_t5_energy_that_lacks_a_gpu_keeps_its_member_out_of_the_ratio_and_back_without_a_burst(bench):
    missing = frozenset({Invalid.MEMBER_MISSING})
    bench.poll(0, 20)
    ratios = []
    for second in range(20, 60):
        for url, node in bench.nodes.items():
            reading = node.reading(float(second))
            if node.name == "c" and second < 30:
                at = replace(reading.totals.boundaries[0], joules=9500.0, reasons=missing)
                reading = replace(reading, totals=replace(reading.totals, boundaries=(at,)))
            bench.rack.take(url, reading, 1.0)
        ratios.append(bench.snapshot(second + 0.1).tokens_per_joule.get((OUTPUT, GPU)))

    assert ratios[0] is None
    assert ratios[-1] == pytest.approx(4.0)
    assert all(ratio is None or ratio == pytest.approx(4.0) for ratio in ratios)


def test_a_document_that_comes_twice_or_late_adds_nothing(bench, nodes):
    bench.poll(0, 20)
    total = bench.snapshot(19.1).tokens_total
    copy = nodes[0].reading(12.0)
    bench.rack.take("http://a:9744", replace(copy, asked_monotonic_seconds=19.2), 1.0)
    rack = bench.snapshot(19.3)

    assert rack.tokens_total == total
    assert "a copy of an earlier answer" in rack.members[0].why


def test_a_node_whose_figures_are_old_is_not_up(bench, nodes):
    bench.poll(0, 3)
    hung = nodes[0].reading(3.0, reckoned_seconds=4980.0)
    bench.rack.take("http://a:9744", hung, 1.0)

    assert bench.snapshot(3.1).members[0].why == "its figures are 23 s old: its rackwatt hangs"


def test_members_and_gpus_stand_beside_their_median_and_the_worst_comes_first(bench):
    bench.poll(0, 20)
    rack = bench.snapshot(19.1)

    assert [m.rate_to_median_ratio for m in rack.members] == pytest.approx([0.5, 1.0, 1.5])
    assert rack.members[0].gpus[0].power_to_median_ratio == 1.0
    assert [member.node for member in worst_first(rack.members)] == ["a", "b", "c"]


def test_models_have_ratios_only_over_members_that_serve_nothing_else():
    bench = Bench([RackNode("a", model="x"), RackNode("b", model="y", rate=500.0)])
    bench.poll(0, 20)
    x, y = bench.snapshot(19.1).models

    assert (x.model, x.tokens_per_second[OUTPUT], x.tokens_per_joule[OUTPUT, GPU], x.nodes) == (
        "x",
        pytest.approx(1000.0),
        pytest.approx(2.0),
        1,
    )
    assert (y.tokens_per_joule[OUTPUT, GPU], y.running, y.waiting) == (pytest.approx(1.0), 2.0, 1.0)


def test_t20_a_record_is_shown_only_while_its_model_alone_is_served():
    record = BY_NAME["azure-gb300-llama2-70b"]
    bench = Bench(
        [RackNode("a", model="meta-llama/Llama-2-70b-chat-hf", rate=110_094.83)], RackPlan(record=record)
    )
    bench.poll(0, 20)
    shown = bench.snapshot(19.1).record
    other = Bench([RackNode("a", model="meta-llama/Llama-3.1-70B")], RackPlan(record=record))
    other.poll(0, 20)

    assert shown.ratio == pytest.approx(0.1)
    assert any("unverified" in caveat for caveat in shown.caveats)
    assert other.snapshot(19.1).record is None


def test_t10_half_a_rack_has_no_share_of_a_record():
    record = BY_NAME["azure-gb300-llama2-70b"]
    nodes = [RackNode(name, model="llama2-70b", rate=50_000.0) for name in ("a", "b")]
    bench = Bench(nodes, RackPlan(record=record))
    bench.poll(0, 20)
    whole = bench.snapshot(19.1).record
    bench.poll(20, 40, without=("b",))
    half = bench.snapshot(39.1).record

    assert whole.ratio == pytest.approx(0.0908, abs=1e-4)
    assert half.ratio is None


@pytest.mark.parametrize(
    ("model", "is_it"),
    [
        ("meta-llama/Llama-2-70b-chat-hf", True),
        ("llama2-70b", True),
        ("nvidia/Llama2-70B-FP4", True),
        ("meta-llama/Llama-2-7b", False),
        ("llama-3-70b", False),
        ("Llama-3.3-70B-Instruct", False),
        ("codellama-2-70b", False),
        ("llama-2-170b", False),
    ],
)
def test_t16_a_model_is_the_records_by_whole_words(model, is_it):
    assert BY_NAME["azure-gb300-llama2-70b"].matches(model) is is_it


def test_a_rack_reckoned_in_steps_is_that_of_the_moment_at_which_it_began():
    nodes = [RackNode(f"n{number}", engines=2, rate=900.0 + number) for number in range(120)]
    whole, sliced = Bench(nodes), Bench(nodes)
    for bench in (whole, sliced):
        bench.poll(0, 20)
        bench.poll(20, 21, without=("n7",))
    wanted = whole.snapshot(20.1)
    steps, count = sliced.rack.steps(Moment(20.1, 0.0), "own"), 0
    try:
        while True:
            next(steps)
            url = f"http://n{count}:9744"
            if count % 2:
                sliced.rack.miss(url, "timed_out: did not answer")
            else:
                sliced.rack.take(url, sliced.nodes[url].reading(20.2), 1.0)
            count += 1
    except StopIteration as ended:
        found = ended.value

    assert found == wanted
    assert found.tokens_per_second[OUTPUT] == pytest.approx(sum(2 * node.rate for node in nodes))
    assert (found.coverage, len(found.members), found.power_watts) == (1.0, 120, {GPU: 120 * 500.0})
    assert count > 8
    sliced.rack.finish()
    truth = sum(n.tokens(19.951 if i % 2 == 0 and i < count else 19.751) for i, n in enumerate(nodes))
    after = sliced.snapshot(20.3)
    assert after.tokens_total[OUTPUT] == pytest.approx(
        truth - nodes[7].tokens(19.751) + nodes[7].tokens(18.751)
    )
    assert after.members[0].age_seconds == pytest.approx(0.1, abs=0.01)


def test_a_member_that_leaves_is_told_once_so_that_its_count_is_kept(bench):
    bench.poll(0, 2)
    before = bench.rack.left
    bench.poll(2, 3, without=("c",))
    told, bench.rack.left = bench.rack.left, False
    bench.poll(3, 9, without=("c",))

    assert (before, told, bench.rack.left) == (False, True, False)


def test_an_empty_rack_says_nothing_and_fails_at_nothing():
    rack = Bench([]).snapshot(1.0)

    assert (rack.tokens_per_second, rack.coverage, rack.valid) == ({}, None, False)


def test_t10_an_address_at_which_another_node_answers_is_a_missing_member_not_one_less(bench, nodes):
    bench.poll(0, 20)
    bench.nodes["http://b:9744"] = nodes[0]
    bench.poll(20, 40)
    rack = bench.snapshot(39.1)

    assert rack.missing == ("b",)
    assert rack.members[1].why == "a answers here, which is read at http://a:9744: is this the right address?"
    assert (rack.nodes_expected, rack.nodes_reporting, rack.valid) == (3, 2, False)
    assert rack.coverage == pytest.approx(2 / 3)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(4000.0)
    assert rack.tokens_total[OUTPUT] == pytest.approx(4000.0 * 38.751 + 2000.0 * 18.751)
