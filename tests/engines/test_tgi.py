"""TGI's table: sums of histograms, a live stand-in, nothing before the first request."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines.tgi import TABLE
from agent.measure.engine import Latency, TokenKind
from agent.plugins import engine_tables
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

CAPTURES = Path(__file__).parents[1] / "captures"
BUSY = (CAPTURES / "tgi-3.3-busy.prom").read_bytes()
OTHER_BACKEND = (CAPTURES / "tgi-3.3-trtllm-busy.prom").read_bytes()
OLD = (CAPTURES / "tgi-2.0-after.prom").read_bytes()
FRESH = b"# TYPE tgi_queue_size gauge\ntgi_queue_size 0\n"


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(body)
    return engine_page.plan(TABLE, page.series), page


def counters(body: bytes) -> dict[str, float]:
    return {one.kind: one.value for one in engine_page.counters(*read(body), "m", override=False)}


@pytest.mark.parametrize("body", [BUSY, OTHER_BACKEND, OLD, FRESH])
def test_page_is_known_by_its_prefix(body):
    table = identify(engine_tables(), sample_names(body))

    assert table is not None
    assert table.engine == "tgi"


def test_output_is_what_succeeded_and_prompt_what_was_validated():
    assert counters(BUSY) == {TokenKind.OUTPUT: 210 + 96 + 256, TokenKind.PROMPT: 512 + 120 + 300 + 64 + 64}
    assert not read(BUSY)[0].live


@pytest.mark.parametrize("body", [BUSY, OLD], ids=["summary", "histogram"])
def test_tokens_sent_so_far_are_the_steps_of_sequences_and_what_speculation_skipped(body):
    told = engine_page.live_output(*read(body))

    assert told == {BUSY: 741.0, OLD: 562.0}[body]


def test_backend_without_the_stand_in_has_no_live_output():
    assert engine_page.live_output(*read(OTHER_BACKEND)) is None


def test_T25_before_the_first_request_output_is_zero_and_known():  # noqa: N802 - the rule's name
    plan, page = read(FRESH)

    assert counters(FRESH) == {}
    assert plan.identified
    assert engine_page.counts_output(plan, page, TABLE)


def test_empty_page_is_its_page_too_when_it_is_named():
    assert TABLE.silent_when_fresh


def test_demand_is_the_batch_and_the_queue_and_its_heartbeat_the_decoding_steps():
    told = engine_page.demand(*read(BUSY))

    assert (told.running, told.waiting, told.arrivals) == (2.0, 1.0, 7.0)
    assert (told.heartbeat, told.succeeded, told.failed) == (431.0, 3.0, 2.0)


def test_reserved_tokens_are_no_kv_cache():
    assert engine_page.kv_cache_usage_ratio(*read(BUSY)) is None


def test_mean_time_of_a_token_with_the_prompts_in_it_is_no_time_between_tokens():
    told = engine_page.latencies(*read(BUSY), "m", override=False)

    assert set(told) == {("m", Latency.END_TO_END), ("m", Latency.QUEUE)}


def test_model_is_the_one_of_its_info_page():
    assert (TABLE.model_label, TABLE.model_path, TABLE.model_keys) == (None, "/info", ("model_id",))


def test_populated_page_of_92_kb_is_followed_without_learning_it_anew():
    reader = engine_page.reader(TABLE, PageLimits())
    first, second = reader.read(BUSY), reader.read(BUSY.replace(b"tgi_queue_size 1", b"tgi_queue_size 9"))

    assert second.series is first.series
    assert engine_page.demand(engine_page.plan(TABLE, second.series), second).waiting == 9.0
