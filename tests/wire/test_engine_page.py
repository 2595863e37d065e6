"""A table applied to a page: eras of names, sums, models, printed precision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.measure.engine import Demand, TokenKind
from agent.measure.engine_table import Count, EngineTable, LiveSubstitute, Term
from agent.wire import engine_page
from agent.wire.page import Page, PageLimits

OUTPUT = (
    Count((Term("new_total"),), live=True),
    Count((Term("old_total"), Term("older_total")), live=True),
)
CACHED = (Count((Term("cached_total"),), live=True),)
PLAIN = EngineTable(
    engine="tested",
    detect=("new", "old"),
    path="/metrics",
    port=1,
    flag=None,
    remedy="",
    tokens={TokenKind.OUTPUT: OUTPUT, TokenKind.PROMPT_CACHED: CACHED},
    model_label="model",
    running=(Term("running"), Term("also_running")),
    kv_cache_usage=(Term("kv_new"), Term("kv_old")),
    idle_seconds=(Term("idle_total"),),
    awake=Term("sleep_state", {"state": "awake"}),
    cached_outside_prompt=True,
    live_substitute=LiveSubstitute("/x", ("busy",), ("count",)),
)


def read(body: bytes, table: EngineTable = PLAIN) -> tuple[engine_page.Plan, Page]:
    page = engine_page.reader(table, PageLimits()).read(body)
    return engine_page.plan(table, page.series), page


def counted(body: bytes, *, told: str = "told", override: bool = False) -> list[tuple[str, str, str, float]]:
    plan, page = read(body)
    counters = engine_page.counters(plan, page, told, override=override)
    return [(one.series, one.model, one.kind.value, one.value) for one in counters]


def demand(body: bytes) -> Demand:
    return engine_page.demand(*read(body))


def test_first_alternative_that_is_there_is_counted():
    assert counted(b"new_total 5\nold_total 7\n") == [("new_total", "told", "output", 5.0)]


def test_older_alternative_is_counted_when_the_newer_is_not_there():
    assert counted(b"old_total 7\nolder_total 2\n") == [
        ("old_total", "told", "output", 7.0),
        ("older_total", "told", "output", 2.0),
    ]


def test_each_series_is_a_counter_of_its_own_with_its_own_model():
    assert counted(b'new_total{model="a"} 1\nnew_total{model="b"} 2\n') == [
        ('new_total{model="a"}', "a", "output", 1.0),
        ('new_total{model="b"}', "b", "output", 2.0),
    ]


def test_configured_model_wins_over_labels():
    assert counted(b'new_total{model="a"} 1\n', override=True) == [
        ('new_total{model="a"}', "told", "output", 1.0)
    ]


def test_cached_tokens_left_out_of_the_prompt_are_counted_as_prompt_too():
    assert counted(b"cached_total 3\n") == [
        ("cached_total", "told", "prompt_cached", 3.0),
        ("cached_total as prompt", "told", "prompt", 3.0),
    ]


def test_demand_is_the_sum_over_series_and_terms():
    assert demand(b'running{e="0"} 1\nrunning{e="1"} 2\nalso_running 4\n').running == 7.0


def test_term_counts_nothing_where_another_says_the_same():
    table = replace(PLAIN, running=(Term("active"), Term("older", unless="active")))

    assert engine_page.demand(*read(b"older 2\n", table)).running == 2.0
    assert engine_page.demand(*read(b"older 2\nactive 3\n", table)).running == 3.0


def test_idle_time_is_the_mean_of_workers_for_only_when_all_are_idle_it_goes_with_the_clock():
    assert demand(b'idle_total{rank="0"} 10\nidle_total{rank="1"} 4\n').idle_seconds == 7.0


def test_T4_demand_that_the_page_does_not_tell_is_unknown():  # noqa: N802 - the rule's name
    assert demand(b"new_total 5\n") == Demand()


def test_T4_demand_with_an_unknown_part_is_unknown():  # noqa: N802 - the rule's name
    assert demand(b'running{e="0"} 1\nrunning{e="1"} NaN\n').running is None


@pytest.mark.parametrize(
    ("body", "asleep"),
    [
        (b'sleep_state{state="awake"} 1\n', False),
        (b'sleep_state{state="awake"} 0\nsleep_state{state="weights_offloaded"} 1\n', True),
        (b'sleep_state{state="awake",e="0"} 0\nsleep_state{state="awake",e="1"} 1\n', False),
        (b'sleep_state{state="weights_offloaded"} 0\n', None),
        (b'sleep_state{state="awake"} NaN\n', None),
    ],
)
def test_engine_is_asleep_when_none_of_its_parts_is_awake(body, asleep):
    assert demand(body).asleep is asleep


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b"kv_new 0.5\nkv_old 0.25\n", 0.5),
        (b"kv_old 0.25\n", 0.25),
        (b'kv_new{e="0"} 0.5\nkv_new{e="1"} 0.75\n', 0.75),
        (b"kv_new NaN\n", None),
        (b"new_total 1\n", None),
    ],
)
def test_cache_usage_is_that_of_the_fullest(body, usage):
    assert engine_page.kv_cache_usage_ratio(*read(body)) == usage


def test_page_of_another_engine_is_not_identified():
    plan, _ = read(b"process_start_time_seconds 1\nrunning 5\n")

    assert not plan.identified


def test_process_start_is_kept_as_printed_and_marked_as_unix_time():
    assert (
        engine_page.start_time(*read(b"process_start_time_seconds 1.79530433669e+09\n"))
        == "start:1.79530433669e+09"
    )


@pytest.mark.parametrize(
    "text", [b"1795304380.5 1700000000000", b'1795304380.5 # {a="b"} 1', b"1795304380.5 17 # {} 1"]
)
def test_process_start_is_kept_without_what_follows_it(text):
    start = engine_page.start_time(*read(b"process_start_time_seconds " + text + b"\n"))

    assert start == "start:1795304380.5"


@pytest.mark.parametrize("text", [b"NaN", b"+Inf", b"1e400", b"1." + b"0" * 1000])
def test_process_start_that_is_no_moment_is_unknown(text):
    assert engine_page.start_time(*read(b"process_start_time_seconds " + text + b"\n")) is None


def test_T4_demand_beyond_all_numbers_is_unknown():  # noqa: N802 - the rule's name
    assert demand(b'running{e="0"} 1.7e308\nrunning{e="1"} 1.7e308\n').running is None


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (b"0", 0.0),
        (b"999999", 0.0),
        (b"1e+06", 10.0),
        (b"1.2e+06", 10.0),
        (b"1.23457e+06", 10.0),
        (b"1.23457e+08", 1000.0),
        (b"1.23457e+06 1795304380", 10.0),
        (b"1.23457e+06# {} 1", 10.0),
        (b"1234567", 0.0),
        (b"1.234567e+06", 0.0),
    ],
)
def test_T22_printed_digits_are_a_limit_of_precision(text, step):  # noqa: N802 - the rule's name
    assert engine_page.printed_resolution(text, 6) == step
