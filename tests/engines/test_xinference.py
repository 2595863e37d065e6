"""Xinference's table, on a page that its own library rendered."""

from __future__ import annotations

from pathlib import Path

from agent.engines.xinference import TABLE
from agent.measure.engine import Latency, TokenKind
from agent.plugins import engine_tables
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

PAGE = (Path(__file__).parents[1] / "captures" / "xinference-4.1.0-rendered.prom").read_bytes()


def read():
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(PAGE)
    return engine_page.plan(TABLE, page.series), page


def test_page_is_known_by_its_prefix():
    table = identify(engine_tables(), sample_names(PAGE))

    assert table == TABLE


def test_replicas_are_summed_and_the_same_number_under_another_name_is_not():
    counted: dict[str, float] = {}
    for one in engine_page.counters(*read(), "", override=False):
        counted[one.kind] = counted.get(one.kind, 0.0) + one.value

    assert counted == {TokenKind.OUTPUT: 306.0 + 256.0, TokenKind.PROMPT: 1712.0 + 300.0}


def test_output_shows_when_a_request_ends():
    assert not read()[0].live


def test_requests_for_embeddings_are_no_demand_for_tokens():
    told = engine_page.demand(*read())

    assert (told.running, told.waiting, told.failed) == (3.0, None, 1.0)


def test_only_the_time_to_the_first_token_is_what_it_is_called():
    told = engine_page.latencies(*read(), "", override=False)

    assert list(told) == [("tiny", Latency.FIRST_TOKEN)]
    assert told["tiny", Latency.FIRST_TOKEN].counts[-1] == 3.0
