"""What a node keeps and tells for its rack: its ledger, its models, its boundaries, the rack of one."""

import json
from dataclasses import replace

import pytest

from agent.measure.engine import TokenKind
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan
from agent.measure.rack_of_one import point_of, rack_of_one
from agent.measure.records import BY_NAME
from agent.measure.totals import totals_of
from agent.measure.validity import Invalid

OUTPUT = TokenKind.OUTPUT


def fresh(ledger, kept=None):
    node = NodeReckoner("n", "", 10.0, "boot:1", "run:1", ledger=ledger)
    if kept is not None:
        node.load(json.loads(json.dumps(kept)))
    return node


def model(snapshot, name="llama"):
    return next((each for each in snapshot.models if each.model == name), None)


def test_the_ledger_and_the_drain_are_kept_over_restarts(moment):
    node = fresh("first")
    node.drained = "repair"
    again = fresh("second", node.dump()).snapshot(moment(1.0), (), {})

    assert (again.origin.ledger, again.drained) == ("first", "repair")


def test_a_file_of_an_earlier_version_begins_a_ledger(moment):
    kept = fresh("first").dump()
    del kept["ledger"], kept["drained"]
    again = fresh("second", kept).snapshot(moment(1.0), (), {})

    assert (again.origin.ledger, again.drained) == ("second", None)


def test_totals_of_a_model_outlive_the_engine_that_made_them(bench, page):
    bench.take_page(page(0.0, 0.0))
    bench.take_page(page(1.0, 700.0))
    bench.node.expect(["nvml"])
    again = bench.restart()
    again.node.expect(["nvml"])

    assert model(again.snapshot(2.0)).tokens_total == {OUTPUT: 700.0}


def test_a_file_without_totals_of_models_has_them_from_its_engines(bench, page):
    bench.take_page(page(0.0, 0.0))
    bench.take_page(page(1.0, 700.0))
    kept = bench.node.dump()
    kept["counters"] = {key: entry for key, entry in kept["counters"].items() if not key.startswith("model/")}
    again = fresh("x", kept)

    assert again.dump()["counters"]["model/output/llama"][0] == 700.0


def test_one_model_has_the_rate_and_the_ratio_of_its_node(bench):
    for second in range(15):
        bench.serve(float(second))
    told = model(bench.snapshot(14.1))

    assert told.tokens_per_second[OUTPUT] == pytest.approx(1000.0)
    assert told.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2.0)


def test_two_models_have_rates_and_no_ratio(new_bench, page, gpu):
    bench = new_bench(engines=("a:8000", "b:8000"))
    for second in range(15):
        bench.take_gpus(gpu(float(second), 500.0 * second, 500.0))
        bench.take_page(page(float(second), 1000.0 * second))
        bench.take_page(page(float(second), 200.0 * second, instance="b:8000", model="qwen"))
    snapshot = bench.snapshot(14.1)

    assert model(snapshot).tokens_per_second[OUTPUT] == pytest.approx(1000.0)
    assert model(snapshot, "qwen").tokens_per_second[OUTPUT] == pytest.approx(200.0)
    assert model(snapshot).tokens_per_joule == {}


def test_the_document_tells_live_series_and_energy_with_their_moments(bench, moment, page):
    for second in range(15):
        bench.serve(float(second))
    bench.take_page(page(15.0, 20_000.0, pending_output_tokens=40.0, live=True))
    totals = totals_of(bench.snapshot(15.1), moment(15.2))

    assert totals.at.monotonic_seconds == 15.2
    assert totals.engines[0].live[OUTPUT].seconds == 15.0
    assert totals.engines[0].live[OUTPUT].value == totals.tokens["llama", OUTPUT] + 40.0
    assert (totals.boundaries[0].joules, totals.boundaries[0].at_seconds) == (7000.0, 14.0)
    assert (totals.boundaries[0].reasons, totals.boundaries[0].since_seconds) == (frozenset(), None)


def test_energy_that_lacks_a_gpu_says_so(bench, gpu, lost_gpu, moment):
    bench.take_gpus(gpu(0.0, 0.0, 500.0), gpu(0.0, 0.0, 500.0, number=1))
    bench.take_gpus(gpu(1.0, 500.0, 500.0), lost_gpu(1.0, number=1))
    at = totals_of(bench.snapshot(1.1), moment(1.1)).boundaries[0]

    assert at.reasons == {Invalid.MEMBER_MISSING}


def test_integrated_energy_tells_where_its_hole_ended(bench, gpu, moment):
    bench.take_gpus(gpu(0.0, None, 500.0))
    bench.take_gpus(gpu(10.0, None, 500.0))
    bench.take_gpus(gpu(11.0, None, 500.0))
    at = totals_of(bench.snapshot(11.1), moment(11.1)).boundaries[0]

    assert at.since_seconds == 9.5  # power is the mean of a second


def test_a_node_without_members_is_a_rack_of_one(bench):
    for second in range(15):
        bench.serve(float(second))
    rack = rack_of_one(bench.snapshot(14.1), RackPlan("r12"))

    assert (rack.rack, rack.of_one, rack.coverage, rack.valid) == ("r12", True, 1.0, True)
    assert rack.tokens_per_second[OUTPUT] == pytest.approx(1000.0)
    assert rack.tokens_total == {OUTPUT: 14_000.0}
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2.0)
    assert {standing.figure for standing in rack.validity} == {
        "rack_tokens_per_second",
        "rack_tokens_per_joule_gpu",
    }
    assert (rack.nodes_expected, rack.gpus_expected, rack.members[0].gpus[0].power_watts) == (1, 1, 500.0)


def test_a_drained_node_is_a_rack_that_expects_nobody(bench):
    bench.serve(0.0)
    bench.node.drained = "repair"
    rack = rack_of_one(bench.snapshot(0.1), RackPlan())

    assert (rack.nodes_expected, rack.drained, rack.coverage) == (0, ("tray-07",), None)


def test_a_node_of_which_an_engine_is_not_covered_has_no_share_of_a_record(bench):
    for second in range(15):
        bench.serve(float(second))
    whole = bench.snapshot(14.1)
    standing = next(each for each in whole.validity if each.figure == "node_tokens_per_second")
    rest = tuple(each for each in whole.validity if each is not standing)
    part = replace(whole, validity=(replace(standing, reasons=frozenset({Invalid.GAP})), *rest))
    plan = RackPlan(record=replace(BY_NAME["azure-gb300-llama2-70b"], model_words=frozenset({"llama"})))

    assert rack_of_one(whole, plan).record.ratio == pytest.approx(1000.0 / 1_100_948.3)
    assert rack_of_one(part, plan).record.ratio is None


HISTORY = ("at", "tokens_per_second", "power_watts", "tokens_per_joule", "coverage", "valid")


@pytest.mark.parametrize("drained", [None, "broken fan"])
@pytest.mark.parametrize("seconds", [1, 15])
def test_a_node_s_point_of_the_history_is_that_of_its_rack_of_one(bench, seconds, drained):
    for second in range(seconds):
        bench.serve(float(second))
    bench.node.drained = drained
    node = bench.snapshot(seconds - 0.9)
    point, rack = point_of(node), rack_of_one(node, RackPlan("r12"))

    assert {name: getattr(point, name) for name in HISTORY} == {name: getattr(rack, name) for name in HISTORY}
