"""What a table may ask for beyond names: patterns, repeated workers, conditions, histograms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agent.measure.engine import Histogram, Latency, Role, TokenKind
from agent.measure.engine_table import Count, EngineTable, HistogramTerm, Term
from agent.wire import engine_page
from agent.wire.page import Page, PageLimits

OUTPUT = TokenKind.OUTPUT
TABLE = EngineTable(
    engine="tested",
    detect=("x_",),
    path="/metrics",
    port=1,
    flag=None,
    remedy="",
    tokens={
        OUTPUT: (
            Count((Term("x_finished_total"),), live=False, when=("x_front_",)),
            Count((Term("x_steps_total"),), live=True),
        )
    },
    model_label="model",
    role_label="part",
    repeated_over=("tp", "pp"),
    live_output=((Term("x_steps_total"), Term("x_first_count")),),
    failed=(Term("x_answers_total", {"code": "5.."}),),
    latencies={Latency.FIRST_TOKEN: (HistogramTerm("x_ttft_ms", 0.001), HistogramTerm("x_old_ttft"))},
)


def read(body: str, table: EngineTable = TABLE) -> tuple[engine_page.Plan, Page]:
    page = engine_page.reader(table, PageLimits(), latencies=True).read(body.encode())
    return engine_page.plan(table, page.series), page


def counted(body: str) -> list[tuple[str, float]]:
    return [(one.series, one.value) for one in engine_page.counters(*read(body), "m", override=False)]


def first_token(body: str) -> Histogram | None:
    found = engine_page.latencies(*read(body), "m", override=False)
    return found.get(("m", Latency.FIRST_TOKEN))


def test_pattern_of_a_label_is_matched_whole():
    plan, page = read(
        'x_answers_total{code="500"} 2\nx_answers_total{code="503"} 3\nx_answers_total{code="15000"} 9\n'
    )

    assert engine_page.demand(plan, page).failed == 5.0


def test_of_workers_that_each_report_the_same_the_first_rank_counts():
    assert counted(
        'x_steps_total{dp="0",tp="10"} 7\nx_steps_total{dp="0",tp="2"} 5\nx_steps_total{dp="1",tp="2"} 4\n'
    ) == [
        ('x_steps_total{dp="0",tp="2"}', 5.0),
        ('x_steps_total{dp="1",tp="2"}', 4.0),
    ]


def test_count_whose_condition_holds_stands_before_its_series_appear():
    plan, page = read(
        "x_front_end 1\nx_steps_total 8\nx_first_count 2\n", replace(TABLE, running=(Term("x_front_end"),))
    )

    assert engine_page.counters(plan, page, "m", override=False) == ()
    assert not plan.live
    assert engine_page.live_output(plan, page) == 10.0


def test_count_whose_condition_does_not_hold_is_passed_over():
    plan, _ = read("x_steps_total 8\n")

    assert plan.live


@pytest.mark.parametrize(("live", "told"), [((True, True), True), ((True, False), False), ((), False)])
def test_T25_output_that_is_not_there_yet_is_live_if_it_always_is(live, told):  # noqa: N802 - the rule's name
    counts = tuple(Count((Term("x_later_total"),), live=one) for one in live)
    plan, _ = read("x_front_end 1\n", replace(TABLE, tokens={OUTPUT: counts}, running=(Term("x_front_end"),)))

    assert plan.live is told


def test_live_counters_that_are_not_all_there_stand_in_for_nothing():
    assert engine_page.live_output(*read("x_steps_total 8\n")) is None


def test_count_stands_only_beside_the_series_that_it_needs():
    needing = Count((Term("x_steps_total"),), live=True, needs=(Term("x_busy", {"dp": ".+"}),))
    table = replace(TABLE, tokens={OUTPUT: (needing, Count((Term("x_other_total"),), live=False))})

    assert read('x_steps_total 8\nx_busy{dp="0"} 1\nx_other_total 9\n', table)[0].live
    assert not read("x_steps_total 8\nx_busy 1\nx_other_total 9\n", table)[0].live


def test_live_counter_is_zero_before_its_series_appear_where_its_condition_holds():
    table = replace(TABLE, live_output_when=("x_front_",), running=(Term("x_front_end"),))

    assert engine_page.live_output(*read("x_front_end 1\n", table)) == 0.0
    assert engine_page.live_output(*read("x_front_end 1\nx_first_count 2\n", table)) == 2.0
    assert engine_page.live_output(*read("x_front_end 1\n", replace(table, live_output_when=()))) is None


def test_nothing_stands_in_for_a_counter_that_is_live_itself():
    assert engine_page.live_output(*read("x_steps_total 8\nx_first_count 2\n")) is None


def test_page_that_is_late_is_not_live_nor_is_what_would_stand_in():
    late = replace(TABLE, late=True, live_output_when=("x_front_",), running=(Term("x_front_end"),))

    assert not read("x_steps_total 8\n", late)[0].live
    assert engine_page.live_output(*read("x_front_end 1\nx_steps_total 8\nx_first_count 2\n", late)) is None


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ('x_steps_total{model="a"} 1\n', "a"),
        ('x_answers_total{model="b"} 1\n', "b"),
        ("x_steps_total 1\n", None),
    ],
)
def test_model_is_that_of_the_first_label_that_names_one(body, model):
    assert read(body)[0].model == model


@pytest.mark.parametrize(
    ("part", "role"), [("prefill", Role.PREFILL), ("decode", Role.DECODE), ("null", Role.UNIFIED)]
)
def test_label_tells_the_role(part, role):
    plan, _ = read(f'x_steps_total{{part="{part}"}} 8\n')

    assert engine_page.role(plan, TABLE) is role


def test_series_that_disagree_about_the_role_tell_none():
    plan, _ = read('x_steps_total{part="prefill"} 8\nx_first_count{part="decode"} 8\n')

    assert engine_page.role(plan, TABLE) is Role.UNIFIED


def test_histograms_of_ranks_are_summed_in_seconds():
    first = (
        'x_ttft_ms_bucket{le="100",e="0"} 1\nx_ttft_ms_bucket{le="+Inf",e="0"} 2\nx_ttft_ms_sum{e="0"} 50\n'
    )
    second = (
        'x_ttft_ms_bucket{le="100",e="1"} 2\nx_ttft_ms_bucket{le="+Inf",e="1"} 3\nx_ttft_ms_sum{e="1"} 50\n'
    )

    assert first_token(first + second) == Histogram((0.1, math.inf), (3.0, 5.0), 0.1)


def test_histograms_of_different_bounds_are_not_merged():
    first = 'x_old_ttft_bucket{le="1",e="0"} 1\nx_old_ttft_bucket{le="+Inf",e="0"} 1\n'

    assert first_token(first + 'x_old_ttft_bucket{le="+Inf",e="1"} 1\n') is None


def test_histogram_without_an_infinite_bound_is_none():
    assert first_token('x_old_ttft_bucket{le="1"} 1\n') is None


def test_number_that_is_none_costs_its_histogram_only():
    body = 'x_steps_total 3\nx_old_ttft_bucket{le="1"} NaN\nx_old_ttft_bucket{le="+Inf"} 1\n'

    assert first_token(body) is None
    assert counted(body) == [("x_steps_total", 3.0)]
