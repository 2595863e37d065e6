"""The text-page reader: what it reads, what it refuses, and that its two paths agree."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.measure.reading import Reason, SourceError
from agent.wire.page import (
    MAX_KNOWN_NAMES,
    Page,
    PageLimits,
    PageReader,
    canonical_name,
    sample_names,
)

CAPTURES = sorted(Path(__file__).parents[1].joinpath("captures").glob("*.prom"))
OUTPUT = "vllm:generation_tokens_total"
RUNNING = "vllm:num_requests_running"
GOOD = b'vllm:generation_tokens_total{engine="0"} 5\nvllm:num_requests_running 2\n'


def reader(**limits: int) -> PageReader:
    return PageReader(frozenset({RUNNING}), frozenset({OUTPUT}), PageLimits(**limits))


def read(body: bytes) -> dict[str, float]:
    return values(reader().read(body))


def values(page: Page) -> dict[str, float]:
    return {series.key: value for series, value in page.items()}


def refusal(body: bytes, page_reader: PageReader | None = None, content_type: str = "") -> SourceError:
    with pytest.raises(SourceError) as caught:
        (page_reader or reader()).read(body, content_type)
    return caught.value


def oracle(body: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read by prometheus_client; without TYPE lines, since it renames counters that lack `_total`.

    Names are made canonical, `pid` and what is no number left out.
    """
    samples = "".join(line for line in body.decode().splitlines(keepends=True) if not line.startswith("#"))
    return {
        (
            canonical_name(sample.name),
            tuple(sorted(pair for pair in sample.labels.items() if pair[0] != "pid")),
        ): (sample.value)
        for family in text_string_to_metric_families(samples)
        for sample in family.samples
        if math.isfinite(sample.value)
    }


def every_name(body: bytes) -> frozenset[str]:
    return frozenset(canonical_name(name) for name in sample_names(body))


def test_captures_are_there():
    assert len(CAPTURES) >= 9


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_every_sample_of_a_capture_is_read_as_prometheus_client_reads_it(capture):
    body = capture.read_bytes()
    expected = oracle(body)

    page = PageReader(every_name(body)).read(body)
    found = {(series.name, tuple(series.labels.items())): value for series, value in page.items()}

    assert found == expected


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_fast_path_reads_a_capture_as_the_full_parse_does(capture):
    body = capture.read_bytes()
    page_reader = PageReader(every_name(body))

    learned = page_reader.read(body)
    followed = page_reader.read(body)

    assert followed == learned


def test_layout_keeps_its_series_object_from_page_to_page():
    page_reader = reader()

    first = page_reader.read(GOOD)
    second = page_reader.read(GOOD.replace(b"5", b"7"))

    assert second.series is first.series
    assert values(second) == {OUTPUT + '{engine="0"}': 7.0, RUNNING: 2.0}


def test_layout_learned_again_keeps_its_series_object():
    page_reader = PageReader(frozenset({RUNNING}), frozenset({OUTPUT}), relearn_pages=0)

    first = page_reader.read(GOOD)
    second = page_reader.read(b"# new comment\n" + GOOD)

    assert second.series is first.series


def test_new_series_is_seen_at_once():
    page_reader = reader()
    page_reader.read(GOOD)

    page = page_reader.read(GOOD + b'vllm:generation_tokens_total{engine="1"} 1\n')

    assert values(page)[OUTPUT + '{engine="1"}'] == 1.0


def test_new_series_in_place_of_a_removed_line_is_seen_at_once():
    page_reader = reader()
    page_reader.read(b"# comment\n" + GOOD)

    before = page_reader.read(b'vllm:generation_tokens_total{engine="1"} 1\n' + GOOD)
    after = page_reader.read(GOOD + b'vllm:num_requests_running{engine="1"} 1\n')

    assert len(before.series) == len(after.series) == 3


def test_new_family_in_place_of_a_removed_line_is_seen_after_some_pages():
    page_reader = PageReader(frozenset({RUNNING}), frozenset({OUTPUT}), relearn_pages=2)
    page_reader.read(b"vllm:num_requests_running 2\n# comment\n")
    swapped = b"vllm:num_requests_running 2\nvllm:generation_tokens_total 1\n"

    pages = [page_reader.read(swapped) for _ in range(3)]

    assert [len(page.series) for page in pages] == [1, 1, 2]


def test_removed_series_is_gone_at_once():
    page_reader = reader()
    page_reader.read(GOOD)

    page = page_reader.read(b"# vllm:generation_tokens_total gone\nvllm:num_requests_running 2\n")

    assert values(page) == {RUNNING: 2.0}


def test_reordered_page_reads_the_same():
    page_reader = reader()
    page_reader.read(GOOD)
    first, second, _ = GOOD.split(b"\n")

    page = page_reader.read(second + b"\n" + first + b"\n")

    assert values(page) == {OUTPUT + '{engine="0"}': 5.0, RUNNING: 2.0}


@pytest.mark.parametrize(
    "spelled",
    [
        "vllm:generation_tokens_total",
        "vllm_generation_tokens_total",
        "ray_vllm_generation_tokens_total",
        "ray_vllm:generation_tokens_total",
    ],
)
def test_T23_names_are_canonical(spelled):  # noqa: N802 - the rule's name
    assert canonical_name(spelled) == "vllm:generation_tokens_total"


def test_T23_other_names_stay_as_they_are():  # noqa: N802 - the rule's name
    assert canonical_name("ray_node_cpu") == "ray_node_cpu"


def test_histogram_named_like_a_counter_is_not_a_counter():
    names = frozenset({"vllm:iteration_tokens_total_count"})

    page = PageReader(names).read(
        b'vllm:iteration_tokens_total_bucket{le="1"} 3\n'
        b"vllm:iteration_tokens_total_sum 90\nvllm:iteration_tokens_total_count 4\n"
    )

    assert values(page) == {"vllm:iteration_tokens_total_count": 4.0}


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b'vllm:generation_tokens_total{a="1",b="2"} 5', '{a="1",b="2"}', 5.0),
        (b'vllm:generation_tokens_total{b="2",a="1"} 5', '{a="1",b="2"}', 5.0),
        (b'vllm:generation_tokens_total{ a = "1" , } 5', '{a="1"}', 5.0),
        (b"vllm:generation_tokens_total{} 5", "", 5.0),
        (b'vllm:generation_tokens_total{a="x} 9 {"} 5', '{a="x} 9 {"}', 5.0),
        (b'vllm:generation_tokens_total{a="q\\"b\\\\c\\nd"} 5', '{a="q\\"b\\\\c\\nd"}', 5.0),
        (b'vllm:generation_tokens_total{a="\xc3\xa4,="} 5', '{a="ä,="}', 5.0),
        (b'vllm:generation_tokens_total{pid="77",a="1"} 5', '{a="1"}', 5.0),
        (b'vllm:generation_tokens_total{a="1"}5', '{a="1"}', 5.0),
        (b"vllm:generation_tokens_total\t5\r", "", 5.0),
        (b"  vllm:generation_tokens_total   5  ", "", 5.0),
        (b"vllm:generation_tokens_total 5 1795304380500", "", 5.0),
        (b"vllm:generation_tokens_total 5 1795304380.5", "", 5.0),
        (b'vllm:generation_tokens_total 5 # {trace_id="a } b"} 1.0 1795304379.1', "", 5.0),
        (b'vllm:generation_tokens_total 5 1795304380.5 # {trace_id="x"} 1', "", 5.0),
        (b'{"vllm:generation_tokens_total",a="1"} 5', '{a="1"}', 5.0),
        (b'{"vllm:generation_tokens_total","a.b"="1"} 5', '{a.b="1"}', 5.0),
        (b"vllm:generation_tokens_total 1.23457e+06", "", 1234570.0),
        (b"vllm:generation_tokens_total -0.0", "", 0.0),
    ],
)
def test_unusual_but_good_lines_are_read(line, key, value):
    page_reader = reader()
    body = b"# a comment\n\n" + line + b"\n# EOF\n"

    learned = page_reader.read(body)
    followed = page_reader.read(body)

    assert values(learned) == {OUTPUT + key: value}
    assert followed == learned


def test_page_of_carriage_returns_and_line_feeds_is_read():
    assert read(GOOD.replace(b"\n", b"\r\n")) == {OUTPUT + '{engine="0"}': 5.0, RUNNING: 2.0}


def test_end_of_openmetrics_needs_no_line_feed():
    assert read(GOOD + b"# EOF") == {OUTPUT + '{engine="0"}': 5.0, RUNNING: 2.0}


@pytest.mark.parametrize("text", [b"NaN", b"+Inf", b"-Inf", b"1e400"])
def test_T11_gauge_that_is_not_a_number_is_absent(text):  # noqa: N802 - the rule's name
    page_reader = reader()
    body = b"vllm:num_requests_running " + text + b"\nvllm:generation_tokens_total 5\n"
    page_reader.read(body)

    assert values(page_reader.read(body)) == {OUTPUT: 5.0}


def test_gauge_that_is_a_number_again_is_seen_at_once():
    page_reader = reader()
    page_reader.read(b"vllm:num_requests_running NaN\n")

    assert values(page_reader.read(b"vllm:num_requests_running 3\n")) == {RUNNING: 3.0}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"vllm:generation_tokens_total NaN", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total +Inf", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total 1e400", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total 1.7e308", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total 9223372036854775807", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total -5", "line 2 is a counter with an impossible value"),
        (b"vllm:generation_tokens_total 1_000", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total many", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total ", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total 5 6 7", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total 5 six", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total # {} 1", "line 2 has no readable value"),
        (b"vllm:generation_tokens_total", "line 2 is not a sample"),
        (b'vllm:generation_tokens_total{a="1} 5', "line 2 has labels that cannot be read"),
        (b'vllm:generation_tokens_total{a="1" 5', "line 2 has labels that cannot be read"),
        (b"vllm:generation_tokens_total{a=1} 5", "line 2 has labels that cannot be read"),
        (b'vllm:generation_tokens_total{a="\xff"} 5', "line 2 has labels that cannot be decoded"),
        (b'vllm:generation_tokens_total{a="\\q"} 5', "line 2 has labels that cannot be decoded"),
        (b'vllm:generation_tokens_total{a="1",a="2"} 5', "line 2 has one label twice"),
        (b"vllm:generation_tokens_total{a} 5", "line 2 has a label without a value"),
        (b'vllm:generation_tokens_total{"b"} 5', "line 2 has two names"),
        (b'{a="1"} 5', "line 2 has no name"),
        (b'{"error": "not found"}', "line 2 has labels that cannot be read"),
        (b"<html>", "line 2 is not a sample"),
        (b"\0\0", "line 2 is not a sample"),
    ],
)
def test_bad_line_makes_the_page_malformed_and_is_named(line, says):
    error = refusal(b"# a comment\n" + line + b"\n")

    assert error.reason is Reason.MALFORMED
    assert error.detail.startswith(says)


def test_followed_page_with_a_bad_value_is_refused():
    page_reader = reader()
    page_reader.read(GOOD)

    assert refusal(GOOD.replace(b"5", b"NaN"), page_reader).reason is Reason.MALFORMED
    assert values(page_reader.read(GOOD)) == {OUTPUT + '{engine="0"}': 5.0, RUNNING: 2.0}


def test_T11_followed_page_with_a_counter_beyond_64_bits_is_refused():  # noqa: N802 - the rule's name
    page_reader = reader()
    page_reader.read(GOOD)

    assert refusal(GOOD.replace(b" 5", b" 1.7e308"), page_reader).reason is Reason.MALFORMED


def test_greatest_counter_of_64_bits_that_a_float_can_tell_is_read():
    assert read(b"vllm:generation_tokens_total 9223372036854774784\n") == {OUTPUT: 2.0**63 - 1024}


def test_bad_lines_of_families_that_nobody_wants_are_passed_over():
    assert read(b"other NaN\nother{a=} x\n" + GOOD) == {OUTPUT + '{engine="0"}': 5.0, RUNNING: 2.0}


def test_series_that_is_there_twice_makes_the_page_malformed():
    error = refusal(b'vllm:num_requests_running{a="1",b="2"} 1\nvllm:num_requests_running{b="2",a="1"} 1\n')

    assert error.reason is Reason.MALFORMED
    assert error.detail.startswith("line 2 repeats the series of line 1")


def test_gauge_may_come_once_for_each_pid():
    page = reader().read(b'vllm:num_requests_running{pid="1"} 1\nvllm:num_requests_running{pid="2"} 4\n')

    assert [(series.key, value) for series, value in page.items()] == [(RUNNING, 1.0), (RUNNING, 4.0)]


def test_counter_that_comes_once_for_each_pid_is_malformed():
    body = b'vllm:generation_tokens_total{pid="1"} 1\nvllm:generation_tokens_total{pid="2"} 4\n'

    assert refusal(body).reason is Reason.MALFORMED


def test_page_without_a_final_line_feed_is_cut_off():
    error = refusal(b"vllm:num_requests_running 2\nvllm:generation_tokens_total 39")

    assert error.reason is Reason.MALFORMED
    assert "the page is cut off" in error.detail


@pytest.mark.parametrize(
    "declared", ["text/plain; charset=utf-16", "text/plain; charset=klingon", "x; charset="]
)
def test_declared_charset_other_than_utf_8_is_malformed(declared):
    assert refusal(GOOD, content_type=declared).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "declared", ["", "text/plain", 'text/plain; version=0.0.4; charset="UTF-8"', "x;charset=ascii"]
)
def test_declared_charset_within_utf_8_is_read(declared):
    assert len(reader().read(GOOD, declared).series) == 2


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"lines": 1}, "the page has 2 lines, the limit is 1"),
        ({"line_bytes": 30}, "line 1 has 42 bytes, the limit is 30"),
        ({"series": 1}, "line 2: more than 1 wanted series"),
    ],
)
def test_page_beyond_a_limit_is_too_large(limits, says):
    error = refusal(GOOD, reader(**limits))

    assert error.reason is Reason.TOO_LARGE
    assert says in error.detail


def test_excerpt_of_a_bad_line_is_short_and_printable():
    error = refusal(b"\x1b[31m" + b"\xff" * 10_000 + b"\n")

    assert error.detail.isascii() or error.detail.endswith("…")
    assert len(error.detail) < 600
    assert "\x1b" not in error.detail


def test_names_on_a_page_tell_whose_it_is():
    assert sample_names(b'# HELP a b\na{x="1"} 1\nray_vllm_b 2\n{"c.d",x="1"} 3\n') == {
        "a",
        "ray_vllm_b",
        "c.d",
    }


def test_names_of_what_is_no_page_are_refused():
    with pytest.raises(SourceError, match="line 1 is not a sample"):
        sample_names(b"<!DOCTYPE html>\n")


def test_a_quoted_name_that_nobody_wants_is_left_out():
    assert read(b'{"node.load",a="1"} nonsense\n' + GOOD) == {f'{OUTPUT}{{engine="0"}}': 5.0, RUNNING: 2.0}


def test_names_without_end_fill_no_memory():
    """Names that nobody wants are remembered, since most lines have one, but not more than a page's worth."""
    page_reader = reader()
    for page in range(30):
        page_reader.read(b"".join(b"a_%d_%d 1\n" % (page, n) for n in range(300 + page)))
    page_reader.read(b"b" * 20_000 + b" 1\n")

    assert len(page_reader._names) == MAX_KNOWN_NAMES
    assert max(map(len, page_reader._names)) < 20
