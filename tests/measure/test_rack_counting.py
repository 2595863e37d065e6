"""Gateways, pairs and engines over several nodes, through documents and rack: each token once (T13, T24)."""

import orjson
import pytest
from fakes.counted_rack import BUSY, OUTPUT, PROMPT, CountedRack, Node, one

from agent.measure.engine import Role
from agent.measure.validity import Invalid
from agent.wire.totals import from_json, to_json


def spare():
    return Node(processes=())


def worker():
    return Node(workers=True)


def standing(rack, figure):
    return next(each for each in rack.validity if each.figure == figure)


def test_t13_a_pair_on_two_nodes_counts_output_once_and_prompts_once():
    rack = CountedRack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert rack.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert rack.tokens_total == {OUTPUT: 13_000.0, PROMPT: 39_000.0}
    assert (rack.coverage, rack.valid) == (1.0, True)


def test_t5_the_joules_of_both_nodes_of_a_pair_are_in_every_ratio():
    rack = CountedRack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert rack.tokens_per_joule == {(OUTPUT, "gpu"): 1.0, (PROMPT, "gpu"): 3.0}
    assert rack.models[0].tokens_per_joule == rack.tokens_per_joule


def test_t24_neither_node_of_a_pair_has_a_ratio_of_its_own():
    rack = CountedRack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert [member.tokens_per_joule for member in rack.members] == [{}, {}]
    assert [member.tokens_per_second for member in rack.members] == [{PROMPT: 3000.0}, {OUTPUT: 1000.0}]


def test_t13_gateway_prefill_and_decode_on_three_nodes():
    rack = CountedRack(
        gw=Node({"gw:8080": {"role": Role.GATEWAY}}, processes=()),
        p=one(role=Role.PREFILL),
        d=one(role=Role.DECODE),
    ).run()

    assert rack.tokens_total == {OUTPUT: 13_000.0, PROMPT: 39_000.0}
    assert rack.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert (rack.coverage, rack.valid) == (1.0, True)


def test_t24_the_head_of_an_engine_over_two_nodes_has_no_ratio_and_their_rack_has():
    rack = CountedRack(head=one(spans_nodes=True), worker=worker(), alone=one("e:8000", model="qwen")).run()

    assert rack.tokens_per_second == {OUTPUT: 2000.0, PROMPT: 6000.0}
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2000.0 / 1500.0)
    assert (rack.coverage, standing(rack, "rack_tokens_per_joule_gpu").reasons) == (1.0, frozenset())
    assert [member.tokens_per_joule.get((OUTPUT, "gpu")) for member in rack.members] == [None, None, 2.0]


def test_t24_workers_belong_to_the_one_model_that_spans_nodes():
    rack = CountedRack(head=one(spans_nodes=True), worker=worker(), alone=one("e:8000", model="qwen")).run()

    ratios = {model.model: model.tokens_per_joule[OUTPUT, "gpu"] for model in rack.models}
    assert ratios == {"llama": 1.0, "qwen": 2.0}


def test_t24_workers_of_nobody_knows_which_model_leave_both_without_a_ratio():
    rack = CountedRack(
        one=one(spans_nodes=True), two=one(spans_nodes=True, model="qwen"), worker=worker()
    ).run()

    assert [model.tokens_per_joule for model in rack.models] == [{}, {}]
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2000.0 / 1500.0)


def test_t10_a_worker_that_is_away_takes_the_ratio_with_it():
    rack = CountedRack(head=one(spans_nodes=True), worker=worker())
    rack.run()
    del rack.nodes["worker"]
    told = rack.run(14, 30)

    assert (told.missing, told.tokens_per_joule) == (("worker",), {})
    assert told.coverage == 0.5


def test_t24_one_that_spans_nodes_is_compared_with_its_like_only():
    rack = CountedRack(a=one(), b=one(), head=one(spans_nodes=True), worker=worker(), spare=spare()).run()

    assert [member.rate_to_median_ratio for member in rack.members] == [1.0, 1.0, None, None, None]


def test_data_parallel_ranks_that_each_node_exports_need_nothing_special():
    rack = CountedRack(a=one(spans_nodes=False), b=one(spans_nodes=False)).run()

    assert rack.tokens_per_second[OUTPUT] == 2000.0
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == 2.0
    assert [member.tokens_per_joule[OUTPUT, "gpu"] for member in rack.members] == [2.0, 2.0]


def test_t4_an_idle_spare_makes_zero_tokens_and_its_joules_count():
    """Nothing computes on its GPUs, so its zero is known: the rack pays for the spare, and says so."""
    rack = CountedRack(a=one(), spare=spare()).run()

    assert (rack.coverage, rack.valid, rack.tokens_per_second[OUTPUT]) == (1.0, True, 1000.0)
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == 1.0
    assert rack.models[0].tokens_per_joule[OUTPUT, "gpu"] == 2.0  # the spare is not this model's
    assert rack.members[1].tokens_per_second == {}


@pytest.mark.parametrize("processes", [BUSY, None])
def test_t4_a_node_of_which_it_is_not_known_what_computes_is_not_covered(processes):
    rack = CountedRack(a=one(), dark=Node(processes=processes)).run()

    assert (rack.coverage, rack.tokens_per_joule.get((OUTPUT, "gpu"))) == (0.5, None)
    assert Invalid.NO_ENGINES in standing(rack, "rack_tokens_per_second").reasons


def test_t3_a_spare_is_not_covered_before_it_was_one_for_a_window():
    rack = CountedRack(a=one(), spare=Node(processes=BUSY))
    rack.run()
    rack.nodes["spare"].processes = ()
    early, late = rack.run(14, 20), rack.run(20, 30)

    assert (early.coverage, late.coverage) == (0.5, 1.0)
    assert Invalid.WARMING_UP in standing(early, "rack_tokens_per_second").reasons


def test_a_rack_that_only_reads_prompts_makes_zero_output():
    rack = CountedRack(p=one(role=Role.PREFILL), spare=spare()).run()

    assert (rack.tokens_per_second, rack.valid) == ({PROMPT: 3000.0, OUTPUT: 0.0}, True)


def test_a_document_of_a_version_before_this_one_is_read():
    rack = CountedRack(a=one())
    plain = orjson.loads(to_json(rack.document("a", 5.0)))
    plain["node"] = plain["node"][:5]
    plain["engines"] = [row[:11] for row in plain["engines"]]
    del plain["deployments"]
    read = from_json(orjson.dumps(plain))

    assert (read.zeros, read.spans_nodes, read.deployments) == (frozenset(), False, ())
    assert (read.engines[0].counts_output, read.engines[0].deployment) == (True, None)
