"""Whose a GPU is: one deployment's, several', nobody's that is known, or free (T13, T24)."""

from agent.measure.attribution import Claim, Group, attribution_of
from agent.measure.counting import ALL, NONE, Instance
from agent.measure.engine import Role

LLAMA, QWEN = Group("llama", "llama"), Group("qwen", "qwen")


def instance(model, gpus, **fields):
    return Instance(models=frozenset({model}), model=model, gpus=gpus, **fields)


def told(instances, computing, kinds=ALL):
    return attribution_of(instances, computing, dict.fromkeys(instances, kinds))


def test_each_gpu_is_of_the_deployment_whose_instances_hold_it():
    found = told(
        {"a": instance("llama", ("g0", "g1")), "b": instance("qwen", ("g2",))},
        dict.fromkeys(("g0", "g1", "g2"), True),
    )

    assert found.holders == {"g0": LLAMA, "g1": LLAMA, "g2": QWEN}
    assert found.gpus(LLAMA) == {"g0", "g1"}
    assert set(found.claims.values()) == {Claim.ATTRIBUTED}


def test_a_gpu_that_two_deployments_hold_is_neithers():
    found = told({"a": instance("llama", ("g0",)), "b": instance("qwen", ("g0",))}, {"g0": True})

    assert (found.claims, found.holders, found.unattributed) == ({"g0": Claim.SHARED}, {}, {LLAMA, QWEN})


def test_a_gpu_that_two_instances_of_one_deployment_hold_is_its_own():
    found = told({"a": instance("llama", ("g0",)), "b": instance("llama", ("g0",))}, {"g0": True})

    assert (found.holders, found.instances) == ({"g0": LLAMA}, {LLAMA: ("a", "b")})


def test_what_no_instance_holds_is_unattributed_free_or_unknown_by_what_computes_there():
    found = told({}, {"g0": True, "g1": False, "g2": None})

    assert found.claims == {"g0": Claim.UNATTRIBUTED, "g1": Claim.FREE, "g2": Claim.UNKNOWN}


def test_a_gpu_of_a_process_that_is_not_seen_is_its_instances_all_the_same():
    assert told({"a": instance("llama", ("g0",))}, {"g0": False}).claims == {"g0": Claim.ATTRIBUTED}


def test_t24_a_deployment_of_which_a_gpu_is_not_known_here_is_not_attributed():
    found = told(
        {"a": instance("llama", None), "b": instance("qwen", ("g0", "elsewhere"))}, {"g0": True, "g1": True}
    )

    assert found.unattributed == {LLAMA, QWEN}
    assert found.claims == {"g0": Claim.ATTRIBUTED, "g1": Claim.UNATTRIBUTED}


def test_t13_a_gateway_is_of_no_deployment_unless_it_counts():
    gateway = {"gw": instance("llama", None, role=Role.GATEWAY)}

    assert told(gateway, {}, NONE).instances == {}
    assert told(gateway, {}, ALL).instances == {LLAMA: ("gw",)}


def test_a_deployment_is_named_as_configured_and_else_after_its_model():
    found = told({"a": instance("llama", (), deployment="chat"), "b": instance("qwen", ())}, {})

    assert set(found.instances) == {Group("chat", "llama"), QWEN}


def test_an_instance_that_has_told_nothing_is_of_no_deployment():
    assert told({"a": Instance()}, {"g0": True}).instances == {}


def test_the_gpu_of_an_instance_that_does_not_name_its_model_is_attributed_all_the_same():
    found = told({"a": Instance(gpus=("g0",))}, {"g0": True})

    assert (found.claims, found.holders) == (
        {"g0": Claim.ATTRIBUTED},
        {"g0": Group("unknown", "unknown")},
    )


def test_an_instance_that_serves_two_models_makes_no_joule_one_models():
    both = Instance(models=frozenset({"llama", "tuned"}), model="llama", gpus=("g0",))

    assert told({"a": both}, {"g0": True}).several_models == {LLAMA}
