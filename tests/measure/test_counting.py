"""Which tokens count: each one once, however many pages show it (T13, T24)."""

import pytest

from agent.measure.counting import ALL, NONE, Around, Instance, counting_of
from agent.measure.engine import Role, TokenKind

LLAMA, QWEN = frozenset({"llama"}), frozenset({"qwen"})
GATEWAY = Instance(Role.GATEWAY, LLAMA)
ENGINE = Instance(Role.UNIFIED, LLAMA, gpus=("g0",))
OUTPUT, PROMPT, CACHED = TokenKind.OUTPUT, TokenKind.PROMPT, TokenKind.PROMPT_CACHED
BUSY, FREE, UNTOLD = Around({"g0": True}), Around({"g0": False}), Around({"g0": None})


def kinds(instances, around=BUSY, before=None):
    return counting_of(instances, around, before).kinds


def test_t13_a_prefill_instance_counts_prompts_and_a_decode_instance_output():
    counted = kinds({"p": Instance(Role.PREFILL, LLAMA), "d": Instance(Role.DECODE, LLAMA)})

    assert counted == {"p": {PROMPT, CACHED}, "d": {OUTPUT}}


@pytest.mark.parametrize("engine", [ENGINE, Instance(Role.PREFILL, LLAMA), Instance(Role.DECODE, LLAMA)])
def test_t13_a_gateway_does_not_count_beside_an_engine_of_its_model(engine):
    assert kinds({"gw": GATEWAY, "e": engine})["gw"] == NONE


def test_t13_a_gateway_does_not_count_when_engines_of_other_models_hold_all_that_computes():
    assert kinds({"gw": GATEWAY, "e": Instance(Role.UNIFIED, QWEN, gpus=("g0",))})["gw"] == NONE


def test_t13_a_gateway_counts_when_processes_compute_that_no_engine_claims():
    assert kinds({"gw": GATEWAY}) == {"gw": ALL}


def test_t13_a_gateway_counts_beside_an_engine_of_another_model_on_other_gpus():
    around = Around({"g0": True, "g1": True})

    assert kinds({"gw": GATEWAY, "e": Instance(Role.UNIFIED, QWEN, gpus=("g0",))}, around)["gw"] == ALL


@pytest.mark.parametrize(
    ("others", "around", "why"),
    [
        ({}, FREE, "no engine of it computes here"),
        ({}, Around(), "no engine of it computes here"),
        ({}, UNTOLD, "it is not known what computes on the GPUs here"),
        ({"e": Instance(Role.UNIFIED, QWEN)}, BUSY, "it is not known what computes on the GPUs here"),
        ({"e": Instance()}, Around({"g0": True}), "it is not known what computes on the GPUs here"),
        ({"gw2": GATEWAY}, BUSY, "another gateway serves the same model"),
    ],
)
def test_t4_a_gateway_of_which_it_is_not_known_does_not_count_and_says_what_to_do(others, around, why):
    counting = counting_of({"gw": GATEWAY, **others}, around)

    assert counting.kinds["gw"] == NONE
    assert counting.notes[0].startswith(f"gw passes requests on and its tokens are not counted: {why}")
    assert "`counted: true`" in counting.notes[0]


def test_t13_a_gateway_counts_before_engines_that_show_no_tokens():
    silent = Instance(Role.UNIFIED, LLAMA, gpus=("g0",), tokenless=True)

    assert kinds({"gw": GATEWAY, "e": silent}) == {"gw": ALL, "e": NONE}


def test_t13_a_gateway_does_not_count_when_one_of_its_engines_shows_tokens():
    silent = Instance(Role.UNIFIED, LLAMA, gpus=("g0",), tokenless=True)

    assert kinds({"gw": GATEWAY, "e": silent, "f": ENGINE}) == {"gw": NONE, "e": ALL, "f": ALL}


def test_an_engine_without_tokens_and_without_a_gateway_is_missed():
    assert kinds({"e": Instance(Role.UNIFIED, LLAMA, tokenless=True)}) == {"e": ALL}


def test_a_gateway_beside_its_engines_needs_no_note():
    assert counting_of({"gw": GATEWAY, "e": ENGINE}, BUSY).notes == ()


def test_what_was_decided_stands_while_it_is_not_known_what_computes():
    assert kinds({"gw": GATEWAY}, UNTOLD, {"gw": ALL}) == {"gw": ALL}


def test_a_gateway_counts_when_the_configuration_says_so():
    assert kinds({"gw": Instance(Role.GATEWAY, LLAMA, counted=True)}, FREE) == {"gw": ALL}


def test_t13_a_gateway_that_is_to_count_does_not_while_engines_of_its_model_do():
    counting = counting_of({"gw": Instance(Role.GATEWAY, LLAMA, counted=True), "e": ENGINE}, BUSY)

    assert (counting.kinds, counting.notes[0].partition(": ")[2]) == (
        {"gw": NONE, "e": ALL},
        "its engines are counted; set `counted: false` for them",
    )


def test_a_gateway_counts_in_place_of_engines_that_are_not_to():
    one = Instance(Role.GATEWAY, LLAMA, counted=True)

    assert kinds({"gw": one, "e": Instance(Role.UNIFIED, LLAMA, counted=False)}) == {"gw": ALL, "e": NONE}


def test_t24_an_engine_with_gpus_on_other_nodes_spans_nodes():
    assert counting_of({"e": Instance(Role.UNIFIED, LLAMA, spans_nodes=True)}, BUSY).spans_nodes


def test_t24_one_that_does_not_count_spans_nothing():
    instances = {"gw": Instance(Role.GATEWAY, LLAMA, spans_nodes=True), "e": ENGINE}

    assert not counting_of(instances, BUSY).spans_nodes


def test_t24_workers_of_an_engine_elsewhere_span_nodes_and_make_none_here():
    counting = counting_of({}, Around({"g0": True}, elsewhere=True))

    assert (counting.spans_nodes, counting.zeros) == (True, ALL)


@pytest.mark.parametrize("role", [Role.PREFILL, Role.DECODE])
def test_t24_half_a_pair_spans_nodes(role):
    assert counting_of({"e": Instance(role, LLAMA)}, BUSY).spans_nodes


def test_t24_a_pair_of_one_deployment_spans_no_nodes_though_its_models_differ():
    pair = {
        "p": Instance(Role.PREFILL, LLAMA, deployment="chat"),
        "d": Instance(Role.DECODE, QWEN, deployment="chat"),
    }

    assert not counting_of(pair, BUSY).spans_nodes


@pytest.mark.parametrize(
    ("instances", "around", "zeros"),
    [
        ({}, FREE, ALL),
        ({}, BUSY, NONE),
        ({}, UNTOLD, NONE),
        ({}, Around(), NONE),
        ({"e": ENGINE}, FREE, NONE),
        ({"p": Instance(Role.PREFILL, LLAMA)}, BUSY, {OUTPUT}),
        ({"d": Instance(Role.DECODE, LLAMA)}, BUSY, {PROMPT, CACHED}),
        ({"gw": GATEWAY}, FREE, ALL),
        ({"gw": GATEWAY}, Around(), ALL),
        ({"gw": GATEWAY}, UNTOLD, NONE),
        ({"e": Instance(Role.UNIFIED, LLAMA, counted=False)}, BUSY, ALL),
    ],
)
def test_t4_none_is_made_where_nothing_computes_or_another_counts_and_unknown_elsewhere(
    instances, around, zeros
):
    assert counting_of(instances, around).zeros == zeros
