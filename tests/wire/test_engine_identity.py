"""Whose page it is: by prefixes, all or any, as printed or canonical; containers and what is inside."""

from __future__ import annotations

import pytest

from agent.measure.engine import TokenKind
from agent.measure.engine_table import Count, EngineTable, Term
from agent.wire.engine_identity import identify

TOKENS = {TokenKind.OUTPUT: (Count((Term("vllm:generation_tokens_total"),), live=True),)}


def table(engine: str, *detect: str, **more) -> EngineTable:
    facts = {"path": "/metrics", "port": 1, "flag": None, "remedy": "", "tokens": {}} | more
    return EngineTable(engine=engine, detect=detect, **facts)


VLLM = table("vllm", "vllm:", tokens=TOKENS, model_label="model_name")
WORKER = table("worker", "component_", precedence=2, delegates=("vllm",), running=(Term("component_busy"),))
RAY = table("ray", detect_raw=("ray_vllm_",), precedence=3, delegates=("vllm",))
BARE = table("bare", detect_all=("num_request_max", "cache_usage"), precedence=-1)
SILENT = table("silent", unsupported="it has no page")
TABLES = (VLLM, WORKER, RAY, BARE, SILENT)


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        ({"vllm:x"}, "vllm"),
        ({"vllm_x"}, "vllm"),
        ({"ray_vllm_x"}, "ray"),
        ({"component_busy"}, "worker"),
        ({"component_busy", "vllm:x"}, "worker"),
        ({"num_request_max", "cache_usage_perc"}, "bare"),
        ({"num_request_max", "cache_usage_perc", "vllm:x"}, "vllm"),
    ],
)
def test_page_is_of_the_table_that_fits_best(names, engine):
    found = identify(TABLES, frozenset(names))

    assert found is not None
    assert found.engine == engine


@pytest.mark.parametrize("names", [{"num_request_max"}, {"go_goroutines"}, set()])
def test_page_that_fits_no_table_is_of_nobody(names):
    assert identify(TABLES, frozenset(names)) is None


def test_container_takes_from_the_engine_inside_what_it_does_not_say_itself():
    found = identify(TABLES, frozenset({"component_busy", "vllm:x"}))

    assert found is not None
    assert (found.tokens, found.model_label, found.running) == (TOKENS, "model_name", WORKER.running)
    assert found.delegates == ()


def test_container_keeps_looking_while_its_engine_does_not_show():
    found = identify(TABLES, frozenset({"component_busy"}))

    assert found == WORKER


def test_field_that_the_engine_tells_better_stands_only_until_it_shows():
    vllm = table("vllm", "vllm:", tokens=TOKENS, running=(Term("vllm:running"),))
    worker = table(
        "worker",
        "component_",
        precedence=2,
        delegates=("vllm",),
        until_delegate=("running",),
        running=(Term("component_busy"),),
    )
    before = identify((vllm, worker), frozenset({"component_busy"}))
    after = identify((vllm, worker), frozenset({"component_busy", "vllm:x"}))

    assert before is not None
    assert after is not None
    assert (before.running, after.running) == (worker.running, vllm.running)


def test_page_of_a_container_is_known_by_the_engine_inside():
    found = identify(TABLES, frozenset({"component_busy", "vllm:x"}))

    assert found is not None
    assert found.detect == ("vllm:",)


@pytest.mark.parametrize(("wanted", "found"), [("worker", "worker"), ("vllm", "vllm"), ("bare", None)])
def test_engine_that_is_wanted_is_the_only_one_and_takes_from_the_others(wanted, found):
    result = identify(TABLES, frozenset({"component_busy", "vllm:x"}), wanted)

    assert (result and result.engine) == found
    assert result is None or result.tokens == TOKENS
