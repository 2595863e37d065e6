"""What stands above the tables, as text."""

import dataclasses

from fakes.racks import OUTPUT, PROMPT, away, gpu, member, rack

from agent.measure.rack_snapshot import RecordFigures
from agent.measure.validity import Flag, Invalid, Validity
from agent.top.cells import plain
from agent.top.head import (
    Status,
    count_line,
    ladder_lines,
    output_line,
    record_lines,
    shortened,
    status_lines,
    title_line,
    trouble_lines,
)
from agent.top.page import read
from agent.wire.rack_codec import to_json


def page_of(*members, **changes):
    return read(to_json(rack(*members, **changes)))


def texts(lines):
    return [plain(each).rstrip() for each in lines]


HEALTHY = page_of(member("a"), member("b"))


def test_the_headline_carries_window_coverage_and_standing():
    assert plain(output_line(HEALTHY)) == (
        "OUTPUT 120,000 tokens/s  window 10 s  coverage 100.0 %  valid  prompt 240,000/s"
    )


def test_an_unknown_rate_is_no_zero():
    page = page_of(member("a"), tokens_per_second={}, coverage=None)

    assert plain(output_line(page)).startswith("OUTPUT - tokens/s  window 10 s  coverage -  ")


def test_what_does_not_fit_into_the_headline_whole_is_left_out():
    assert plain(output_line(HEALTHY, 62)) == "OUTPUT 120,000 tokens/s  window 10 s  coverage 100.0 %  valid"


def test_boundaries_stand_below_each_other_and_are_not_added():
    assert texts(ladder_lines(HEALTHY, 80)) == [
        "BOUNDARY     kW  TOK/J  J/TOKEN  STANDING           METER",
        "gpu        9.60  12.50   0.0800  valid              nvml",
        "module    11.20  10.71   0.0933  valid, integrated  nvml",
    ]


def test_an_invalid_ratio_is_absent_beside_its_power_and_says_so():
    lines = texts(ladder_lines(page_of(member("a"), away("b")), 80))

    assert lines[1] == "gpu       4.80      -        -  NOT VALID  nvml"


def test_without_a_meter_it_says_so():
    assert texts(ladder_lines(page_of(power_watts={}, validity=(), tokens_per_joule={}), 80)) == [
        "no power is measured at any boundary"
    ]


def test_counts_are_of_the_expected_and_name_what_was_told_late():
    assert plain(count_line(page_of(member("a"), away("b"), away("c", drained=True)))) == (
        "NODES 1 of 2  GPUS 4 of 8  drained 1  9,876,543,210 output tokens in all"
        ", 1,234,567 of them told late"
    )


def test_missing_and_drained_nodes_are_named_with_why_and_reasons_are_in_words():
    page = page_of(
        member("a"), away("b"), away("c", drained=True, why="new firmware"), away("d", age_seconds=None)
    )

    assert texts(trouble_lines(page, 200)) == [
        "not valid: A known GPU, engine or node does not report (tokens/s, tokens/J gpu, tokens/J module)",
        "missing: b: unreachable: cannot connect (Connection refused); last seen 95 s ago",
        "missing: d: unreachable: cannot connect (Connection refused); it has never answered",
        "drained, not expected: c (new firmware)",
        "note: Energy is integrated from power; there is no counter (tokens/J module)",
    ]


def test_of_many_missing_the_first_eight_have_a_line_and_the_rest_their_names():
    said = texts(trouble_lines(page_of(*(away(f"n{i}") for i in range(12))), 200))

    assert "missing as well: n8, n9, n10, n11" in said
    assert sum(text.startswith("missing: ") for text in said) == 8


def test_an_unknown_reason_is_told_as_it_came():
    page = dataclasses.replace(
        HEALTHY, standing=dataclasses.replace(HEALTHY.standing, reasons=("moon_phase",))
    )

    assert "not valid: moon phase (tokens/s)" in texts(
        trouble_lines(dataclasses.replace(page, standings={}), 200)
    )


def test_a_healthy_rack_has_no_trouble():
    valid = (Validity("rack_tokens_per_second", 10.0),)

    assert trouble_lines(page_of(member("a"), validity=valid), 80) == []


def test_a_warming_up_rack_and_a_counter_reset_are_told_apart():
    validity = (
        Validity(
            "rack_tokens_per_second", 10.0, frozenset({Invalid.WARMING_UP}), frozenset({Flag.COUNTER_RESET})
        ),
    )

    assert texts(trouble_lines(page_of(member("a"), validity=validity), 200)) == [
        "not valid: The window is not full yet, after a start or a gap (tokens/s)",
        "note: An engine restarted inside the window (tokens/s)",
    ]


def test_a_record_is_compared_with_and_its_caveats_stand_beside_it():
    """T20: a live figure is never called a result of a benchmark."""
    text = " ".join(" ".join(texts(record_lines(HEALTHY, 400))).split())

    assert text == (
        "RECORD 10.9 % compared with MLPerf v5.1 Azure GB300 NVL72 Llama2-70B Offline, 1,100,948 tokens/s "
        "(unverified; Offline, a sum of 18 single-node runs; no power published)"
    )
    assert "MLPerf result" not in text


def test_two_lines_of_a_record_still_show_the_first_caveat():
    lines = texts(record_lines(HEALTHY, 80, 2))

    assert len(lines) == 2
    assert "(unverified; " in lines[1]
    assert lines[1].endswith("…")


def test_a_record_of_another_model_is_not_compared():
    record = RecordFigures("r", "entry X", 1000.0, None, ("unverified",))

    assert texts(record_lines(page_of(member("a"), record=record), 200)) == [
        "RECORD not compared with entry X: our rate is not known, or not valid (unverified)"
    ]


def test_no_record_no_line():
    assert record_lines(page_of(member("a"), record=None), 80) == []


def test_the_title_tells_a_rack_from_a_node_that_speaks_for_itself():
    status = Status("http://h:1", 0.4)

    assert plain(title_line(HEALTHY, status, 60)).startswith("rack r12  http://h:1 ")
    alone = page_of(member("a"), of_one=True)
    assert plain(title_line(alone, status, 60)).startswith("node r12 (a rack of one)  http://h:1 ")


def test_stale_figures_say_so_with_their_age_at_the_right_edge():
    text = plain(title_line(HEALTHY, Status("http://h:1", 7.2, stale=True), 60))

    assert text.endswith("STALE: 7 s old")
    assert len(text) == 60


def test_an_error_is_told_with_the_time_of_the_next_attempt():
    status = Status("u", None, error="http://h:1: cannot connect", retry_seconds=4.0)

    assert texts(status_lines(status, 80)) == ["! http://h:1: cannot connect; asking again in 4 s"]


def test_a_server_that_repeats_itself_is_told_apart_from_one_that_is_silent():
    assert texts(status_lines(Status("u", 9.0, stale=True), 120)) == [
        "STALE: it answers, but with the same snapshot; the figures below are of then, not of now"
    ]


def test_lines_that_are_folded_away_are_counted():
    lines = trouble_lines(page_of(*(away(f"n{i}") for i in range(6))), 200)

    assert texts(shortened(lines, 3, 80, "w"))[-1] == "… 6 more lines: press w"


def test_wide_and_combining_characters_keep_the_columns():
    page = page_of(member("a"), power_watts={"gpu": 1000.0, "模块": 2000.0})

    assert texts(ladder_lines(page, 80))[3].startswith("模块      2.00")


def test_the_fake_rack_is_what_its_records_say():
    assert HEALTHY.tokens_per_second == {OUTPUT: 120_000.0, PROMPT: 240_000.0}
    assert gpu(2).gpu == 2
