"""Deployments over a rack: by name, over their own joules, whole nodes or parts of them (T5, T10, T13)."""

import pytest
from fakes.counted_rack import OUTPUT, PROMPT, CountedRack, Node, one

from agent.measure.engine import Role
from agent.measure.validity import Invalid


def two(node, **llama):
    """A node of two GPUs: llama on the first, qwen on the second."""
    return Node(
        {
            "a:8000": {"gpus": (f"{node}-0",), **llama},
            "b:8000": {"gpus": (f"{node}-1",), "model": "qwen"},
        },
        gpus=2,
    )


def deployment(rack, name="llama"):
    return next(each for each in rack.deployments if each.deployment == name)


def test_a_deployment_over_whole_nodes_and_a_part_of_one_is_one():
    rack = CountedRack(n0=one(gpus=("n0-0",)), n1=two("n1")).run(end=16)
    llama, qwen = deployment(rack), deployment(rack, "qwen")

    assert (llama.nodes, llama.gpus, llama.tokens_per_second[OUTPUT]) == (2, 2, 2000.0)
    assert llama.tokens_per_joule == {(OUTPUT, "gpu"): 2.0, (PROMPT, "gpu"): 6.0}
    assert (llama.power_watts, llama.running, llama.waiting) == ({"gpu": 1000.0}, 4.0, 2.0)
    assert (qwen.nodes, qwen.gpus, qwen.tokens_per_joule[OUTPUT, "gpu"]) == (1, 1, 2.0)


def test_a_configured_name_joins_what_serves_one_model_in_one_deployment():
    rack = CountedRack(
        n0=one(gpus=("n0-0",), deployment="chat"),
        n1=one(gpus=("n1-0",), deployment="chat"),
        n2=one(gpus=("n2-0",), deployment="batch"),
    ).run()

    assert [(each.deployment, each.model, each.nodes) for each in rack.deployments] == [
        ("batch", "llama", 1),
        ("chat", "llama", 2),
    ]


def test_t13_a_pair_over_two_nodes_is_one_deployment_with_the_joules_of_both():
    rack = CountedRack(p=one(gpus=("p-0",), role=Role.PREFILL), d=one(gpus=("d-0",), role=Role.DECODE)).run(
        end=16
    )

    assert deployment(rack).tokens_per_joule == {(OUTPUT, "gpu"): 1.0, (PROMPT, "gpu"): 3.0}


def test_t13_halves_of_a_pair_that_are_parts_of_their_nodes_are_one_deployment():
    rack = CountedRack(p=two("p", role=Role.PREFILL), d=two("d", role=Role.DECODE)).run(end=20)

    assert deployment(rack).tokens_per_joule == {(OUTPUT, "gpu"): 1.0, (PROMPT, "gpu"): 3.0}
    assert deployment(rack, "qwen").tokens_per_joule[OUTPUT, "gpu"] == 2.0


def test_t24_a_deployment_with_gpus_that_nobody_attributes_has_no_ratio():
    rack = CountedRack(head=one(gpus=("head-0",), spans_nodes=True), worker=Node(workers=True)).run()

    assert (deployment(rack).tokens_per_joule, deployment(rack).reasons) == ({}, {Invalid.SPANS_NODES})
    assert deployment(rack).tokens_per_second[OUTPUT] == 1000.0


def test_a_deployment_whose_gpus_are_not_known_on_one_member_has_no_ratio():
    rack = CountedRack(n0=one(gpus=("n0-0",)), n1=one()).run()

    assert (deployment(rack).tokens_per_joule, deployment(rack).reasons) == ({}, {Invalid.UNATTRIBUTED})


@pytest.mark.parametrize("members", [(one(gpus=("n0-0",)), one(gpus=("n1-0",))), (two("n0"), two("n1"))])
def test_t10_a_member_that_is_away_takes_the_ratio_with_it_and_no_rate_is_scaled_up(members):
    rack = CountedRack(n0=members[0], n1=members[1])
    rack.run(end=20)
    del rack.nodes["n1"]
    told = deployment(rack.run(20, 40))

    assert (told.nodes, told.tokens_per_joule, told.tokens_per_second[OUTPUT]) == (1, {}, 1000.0)


def test_t3_a_part_that_becomes_the_whole_node_has_no_ratio_for_a_window():
    rack = CountedRack(n0=two("n0"))
    rack.run(end=20)
    rack.reckoners["n0"].expect(["nvml", "processes", "engines/a:8000"])
    rack.nodes["n0"].engines = {"a:8000": {"gpus": ("n0-0", "n0-1")}}
    early, late = rack.run(20, 30), rack.run(30, 50)

    assert deployment(early).tokens_per_joule == {}
    assert deployment(late).tokens_per_joule[OUTPUT, "gpu"] == 1.0


def test_t3_a_part_whose_gpus_changed_has_no_ratio_for_a_window():
    rack = CountedRack(n0=two("n0"))
    rack.run(end=20)
    rack.nodes["n0"].engines["a:8000"]["gpus"], rack.nodes["n0"].engines["b:8000"]["gpus"] = (), ("n0-0",)
    early, late = rack.run(20, 30), rack.run(30, 50)

    assert deployment(early, "qwen").tokens_per_joule == {}
    assert deployment(late, "qwen").tokens_per_joule[OUTPUT, "gpu"] == 2.0


def test_a_rack_says_what_bounds_a_deployment_on_how_many_of_its_nodes():
    """A node of two GPUs has two deployments: each is told by its own name."""
    rack = CountedRack(n0=one(gpus=("n0-0",)), n1=two("n1", kv_cache_usage_ratio=0.99), n2=one()).run(end=12)

    assert [each.text for each in deployment(rack).limiter.evidence] == [
        "host on 2 of 3 nodes: GPUs work 0% of the time, though 3 requests are there",
        "kv memory on n1: the KV cache is 99% full, and 1 request waits",
    ]
    assert deployment(rack, "qwen").limiter.name == "host"
