"""Properties of the text-page reader over pages and bytes that nobody thought of."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.measure.reading import SourceError
from agent.wire.page import Page, PageReader, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
PAGE = (CAPTURES / "vllm-0.32.0-busy.prom").read_bytes()
COUNTERS = frozenset({"vllm:generation_tokens_total", "vllm:iteration_tokens_total_count"})
GAUGES = frozenset({"vllm:num_requests_running", "vllm:engine_sleep_state", "process_start_time_seconds"})
WANTED_PREFIXES = tuple(name.encode() for name in COUNTERS | GAUGES)
LINES = tuple(
    line for line in PAGE.split(b"\n")[:-1] if line.startswith((*WANTED_PREFIXES, b"# TYPE vllm:", b"python"))
)
VALUES = st.one_of(
    st.floats().map(repr),
    st.integers(0, 10**9).map(str),
    st.sampled_from(["NaN", "1_0", "", "x", "5 1", "5 # {}"]),
)
TOKENS = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b'"',
            b"=",
            b",",
            b" ",
            b"\n",
            b"\t",
            b"\r",
            b"\\",
            b"#",
            b"# EOF",
            b"_",
            b"\xff",
            b"\0",
        ),
        *(b"5", b"1e6", b"NaN", b"pid=", b'engine="0"'),
        *(b"vllm:generation_tokens_total", b"vllm_num_requests_running"),
    ]
)


def new_reader() -> PageReader:
    return PageReader(GAUGES, COUNTERS)


def outcome(reader: PageReader, body: bytes) -> Page | str:
    try:
        return reader.read(body)
    except SourceError as error:
        return error.detail


def family_of(line: bytes) -> bytes:
    return line.partition(b"{")[0].partition(b" ")[0] if not line.startswith(b"#") else line


FAMILIES = tuple(tuple(lines) for _, lines in itertools.groupby(LINES, family_of))


@st.composite
def changed_pages(draw: st.DrawFn) -> bytes:
    """A page as engines change theirs: families moved, series added and removed, values changed."""
    families = [list(family) for family in FAMILIES]
    if draw(st.booleans()):
        families = draw(st.permutations(families))
    for _ in range(draw(st.integers(0, 4))):
        family = draw(st.sampled_from(families))
        series = draw(st.integers(0, len(family) - 1))
        name, blank, _ = family[series].rpartition(b" ")
        family[series] = name + blank + draw(VALUES).encode()
    for _ in range(draw(st.integers(0, 2))):
        family = draw(st.sampled_from(families))
        if len(family) > 1 or family[0].startswith(b"#"):
            del family[draw(st.integers(0, len(family) - 1))]
            families = [family for family in families if family]
    for _ in range(draw(st.integers(0, 2))):
        family = draw(st.sampled_from(families))
        engine = draw(st.integers(0, 9))
        if b"{" in family[0]:
            line = family[0].partition(b"{")[0] + b'{engine="%d",model_name="tiny"} 7' % engine
            family.insert(draw(st.integers(0, len(family))), line)
    return b"\n".join(line for family in families for line in family) + b"\n"


@given(st.lists(changed_pages(), min_size=1, max_size=4))
@settings(max_examples=150)
def test_reader_that_knows_a_layout_reads_as_one_that_does_not(pages):
    knowing = new_reader()
    knowing.read(b"\n".join(LINES) + b"\n")

    for page in pages:
        assert outcome(knowing, page) == outcome(new_reader(), page)


@given(st.one_of(st.binary(max_size=300), st.lists(TOKENS, max_size=40).map(b"".join)))
@settings(max_examples=500)
def test_nothing_but_a_source_error_leaves_the_reader(body):
    reader = new_reader()

    first = outcome(reader, body)

    assert outcome(reader, body) == first


@given(st.lists(TOKENS, min_size=1, max_size=12).map(b"".join), st.integers(0, 10**6))
@settings(max_examples=300)
def test_nothing_but_a_source_error_leaves_a_reader_that_knows_a_layout(piece, place):
    reader = new_reader()
    page = b"\n".join(LINES) + b"\n"
    reader.read(page)
    place %= len(page)

    body = page[:place] + piece + page[place + len(piece) :]

    assert isinstance(outcome(reader, body), Page | str)


@given(st.lists(TOKENS, max_size=40).map(b"".join))
@settings(max_examples=200)
def test_nothing_but_a_source_error_leaves_the_search_for_names(body):
    with contextlib.suppress(SourceError):
        assert isinstance(sample_names(body), frozenset)
