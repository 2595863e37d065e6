"""llama.cpp's table."""

from __future__ import annotations

from agent.engines.llamacpp import TABLE
from agent.measure.engine import TokenKind
from agent.wire import engine_page
from agent.wire.page import PageLimits

PAGE = b"""\
llamacpp:prompt_tokens_total 1.23457e+06
llamacpp:prompt_tokens_cached_total 213
llamacpp:tokens_predicted_total 12856
llamacpp:prompt_tokens_seconds 29007
llamacpp:predicted_tokens_seconds 883.852
"""


def test_prompt_includes_the_cached_tokens_and_tells_its_precision():
    page = engine_page.reader(TABLE, PageLimits()).read(PAGE)
    counters = engine_page.counters(engine_page.plan(TABLE, page.series), page, "m", override=False)
    prompt = [one for one in counters if one.kind is TokenKind.PROMPT]

    assert [(one.series, one.value, one.resolution) for one in prompt] == [
        ("llamacpp:prompt_tokens_total", 1234570.0, 10.0),
        ("llamacpp:prompt_tokens_cached_total as prompt", 213.0, 0.0),
    ]


def test_output_is_on_finish_and_has_a_live_substitute():
    assert [count.live for count in TABLE.tokens[TokenKind.OUTPUT]] == [False]
    assert TABLE.live_substitute is not None


def test_averages_since_the_last_scrape_are_never_read():
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(PAGE)

    assert not [series.name for series in page.series if series.name.endswith("_tokens_seconds")]
