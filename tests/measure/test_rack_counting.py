"""Gateways, pairs and engines over several nodes, through documents and rack: each token once (T13, T24)."""

import pytest

from agent.measure.engine import Role, TokenKind
from agent.measure.gpu import GpuProcess
from agent.measure.node import NodeReckoner
from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.reading import Moment, Reading
from agent.measure.totals import MemberReading, totals_of
from agent.measure.validity import Invalid
from agent.wire.totals import from_json, to_json

OUTPUT, PROMPT = TokenKind.OUTPUT, TokenKind.PROMPT
BUSY = (GpuProcess(7, None),)
EVERY_SECOND = 1.0


class Rack:
    """Nodes of one GPU of 500 W each; every instance makes 1,000 output and 3,000 prompt tokens a second."""

    def __init__(self, make_page, make_gpu, make_counter, **nodes):
        self.page, self.gpu, self.counter = make_page, make_gpu, make_counter
        self.nodes = {name: dict(node) for name, node in nodes.items()}
        self.reckoners = {}
        for name, node in self.nodes.items():
            self.reckoners[name] = NodeReckoner(
                name, "r12", 10.0, f"boot:{name}", "run:1", ledger=f"ledger-{name}"
            )
            engines = [f"engines/{instance}" for instance in node.get("engines", {})]
            self.reckoners[name].expect(["nvml", "processes", *engines])
        self.rack = RackReckoner(RackPlan(), 10.0)
        self.rack.expect([f"http://{name}:9744" for name in nodes])

    def node_at(self, name, seconds):
        node, reckoner = self.nodes[name], self.reckoners[name]
        gpu = self.gpu(
            seconds, 500.0 * seconds, 500.0, processes=node.get("processes", BUSY), utilization_ratio=0.0
        )
        reckoner.take(Reading("nvml", gpu.at, gpus=(gpu,)), EVERY_SECOND)
        workers = node.get("workers", False)
        reckoner.take(Reading("processes", gpu.at, serves_elsewhere=workers), EVERY_SECOND)
        for instance, fields in node.get("engines", {}).items():
            prompts = self.counter("prompts", 3000.0 * seconds, "prompt", fields.get("model", "llama"))
            told = self.page(seconds, 1000.0 * seconds, instance=instance, more=(prompts,), **fields)
            reckoner.take(Reading(f"engines/{instance}", told.at, engines=(told,)), EVERY_SECOND)
        return reckoner.snapshot(Moment(seconds, 0.0), (), {})

    def run(self, start=0, end=14):
        for second in range(start, end):
            for name in self.nodes:
                at = Moment(float(second), 0.0)
                document = from_json(to_json(totals_of(self.node_at(name, float(second)), at)))
                reading = MemberReading(document, second - 0.001, second + 0.001)
                self.rack.take(f"http://{name}:9744", reading, EVERY_SECOND)
        return self.rack.snapshot(Moment(end - 0.9, 0.0), "own")


@pytest.fixture
def new_rack(page, gpu, token_counter):
    return lambda **nodes: Rack(page, gpu, token_counter, **nodes)


def one(name="e:8000", **fields):
    return {"engines": {name: fields}}


def standing(rack, figure):
    return next(each for each in rack.validity if each.figure == figure)


def test_t13_a_pair_on_two_nodes_counts_output_once_and_prompts_once(new_rack):
    rack = new_rack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert rack.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert rack.tokens_total == {OUTPUT: 13_000.0, PROMPT: 39_000.0}
    assert (rack.coverage, rack.valid) == (1.0, True)


def test_t5_the_joules_of_both_nodes_of_a_pair_are_in_every_ratio(new_rack):
    rack = new_rack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert rack.tokens_per_joule == {(OUTPUT, "gpu"): 1.0, (PROMPT, "gpu"): 3.0}
    assert rack.models[0].tokens_per_joule == rack.tokens_per_joule


def test_t24_neither_node_of_a_pair_has_a_ratio_of_its_own(new_rack):
    rack = new_rack(p=one(role=Role.PREFILL), d=one(role=Role.DECODE)).run()

    assert [member.tokens_per_joule for member in rack.members] == [{}, {}]
    assert [member.tokens_per_second for member in rack.members] == [{PROMPT: 3000.0}, {OUTPUT: 1000.0}]


def test_t13_gateway_prefill_and_decode_on_three_nodes(new_rack):
    rack = new_rack(
        gw=one(role=Role.GATEWAY) | {"processes": ()}, p=one(role=Role.PREFILL), d=one(role=Role.DECODE)
    ).run()

    assert rack.tokens_total == {OUTPUT: 13_000.0, PROMPT: 39_000.0}
    assert rack.tokens_per_second == {OUTPUT: 1000.0, PROMPT: 3000.0}
    assert (rack.coverage, rack.valid) == (1.0, True)


def test_t24_the_head_of_an_engine_over_two_nodes_has_no_ratio_and_their_rack_has(new_rack):
    rack = new_rack(
        head=one(spans_nodes=True), worker={"workers": True}, alone=one("e:8000", model="qwen")
    ).run()

    assert rack.tokens_per_second == {OUTPUT: 2000.0, PROMPT: 6000.0}
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2000.0 / 1500.0)
    assert (rack.coverage, standing(rack, "rack_tokens_per_joule_gpu").reasons) == (1.0, frozenset())
    assert [member.tokens_per_joule.get((OUTPUT, "gpu")) for member in rack.members] == [None, None, 2.0]


def test_t24_workers_belong_to_the_one_model_that_spans_nodes(new_rack):
    rack = new_rack(
        head=one(spans_nodes=True), worker={"workers": True}, alone=one("e:8000", model="qwen")
    ).run()

    ratios = {model.model: model.tokens_per_joule[OUTPUT, "gpu"] for model in rack.models}
    assert ratios == {"llama": 1.0, "qwen": 2.0}


def test_t24_workers_of_nobody_knows_which_model_leave_both_without_a_ratio(new_rack):
    rack = new_rack(
        one=one(spans_nodes=True), two=one(spans_nodes=True, model="qwen"), worker={"workers": True}
    ).run()

    assert [model.tokens_per_joule for model in rack.models] == [{}, {}]
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == pytest.approx(2000.0 / 1500.0)


def test_t10_a_worker_that_is_away_takes_the_ratio_with_it(new_rack):
    rack = new_rack(head=one(spans_nodes=True), worker={"workers": True})
    rack.run()
    del rack.nodes["worker"]
    told = rack.run(14, 30)

    assert (told.missing, told.tokens_per_joule) == (("worker",), {})
    assert told.coverage == 0.5


def test_t24_one_that_spans_nodes_is_compared_with_its_like_only(new_rack):
    rack = new_rack(
        a=one(), b=one(), head=one(spans_nodes=True), worker={"workers": True}, spare={"processes": ()}
    ).run()

    assert [member.rate_to_median_ratio for member in rack.members] == [1.0, 1.0, None, None, None]


def test_data_parallel_ranks_that_each_node_exports_need_nothing_special(new_rack):
    rack = new_rack(a=one(spans_nodes=False), b=one(spans_nodes=False)).run()

    assert rack.tokens_per_second[OUTPUT] == 2000.0
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == 2.0
    assert [member.tokens_per_joule[OUTPUT, "gpu"] for member in rack.members] == [2.0, 2.0]


def test_t4_an_idle_spare_makes_zero_tokens_and_its_joules_count(new_rack):
    """Nothing computes on its GPUs, so its zero is known: the rack pays for the spare, and says so."""
    rack = new_rack(a=one(), spare={"processes": ()}).run()

    assert (rack.coverage, rack.valid, rack.tokens_per_second[OUTPUT]) == (1.0, True, 1000.0)
    assert rack.tokens_per_joule[OUTPUT, "gpu"] == 1.0
    assert rack.models[0].tokens_per_joule[OUTPUT, "gpu"] == 2.0  # the spare is not this model's
    assert rack.members[1].tokens_per_second == {}


@pytest.mark.parametrize("processes", [BUSY, None])
def test_t4_a_node_of_which_it_is_not_known_what_computes_is_not_covered(new_rack, processes):
    rack = new_rack(a=one(), dark={"processes": processes}).run()

    assert (rack.coverage, rack.tokens_per_joule.get((OUTPUT, "gpu"))) == (0.5, None)
    assert Invalid.NO_ENGINES in standing(rack, "rack_tokens_per_second").reasons


def test_t3_a_spare_is_not_covered_before_it_was_one_for_a_window(new_rack):
    rack = new_rack(a=one(), spare={"processes": BUSY})
    rack.run()
    rack.nodes["spare"]["processes"] = ()
    early, late = rack.run(14, 20), rack.run(20, 30)

    assert (early.coverage, late.coverage) == (0.5, 1.0)
    assert Invalid.WARMING_UP in standing(early, "rack_tokens_per_second").reasons


def test_a_rack_that_only_reads_prompts_makes_zero_output(new_rack):
    rack = new_rack(p=one(role=Role.PREFILL), spare={"processes": ()}).run()

    assert (rack.tokens_per_second, rack.valid) == ({PROMPT: 3000.0, OUTPUT: 0.0}, True)


def test_a_document_of_a_version_before_this_one_is_read(new_rack):
    import orjson  # noqa: PLC0415 - only here

    rack = new_rack(a=one())
    plain = orjson.loads(to_json(totals_of(rack.node_at("a", 5.0), Moment(5.0, 0.0))))
    plain["node"] = plain["node"][:5]
    plain["engines"] = [row[:11] for row in plain["engines"]]
    read = from_json(orjson.dumps(plain))

    assert (read.zeros, read.spans_nodes, read.engines[0].counts_output) == (frozenset(), False, True)
