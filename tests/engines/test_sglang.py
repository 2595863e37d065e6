"""SGLang's table, on pages recorded from a server and cut to those of other ranks and hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.engines.sglang import TABLE
from agent.measure.engine import Role, TokenKind
from agent.wire import engine_page
from agent.wire.page import PageLimits

CAPTURES = Path(__file__).parents[1] / "captures"
FRESH, IDLE, BUSY, AFTER = (
    (CAPTURES / f"sglang-0.5.23-{state}.prom").read_bytes() for state in ("fresh", "idle", "busy", "after")
)
OLD = [(CAPTURES / f"sglang-{version}-rendered.prom").read_bytes() for version in ("0.4.4", "0.5.3")]


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits(), latencies=True).read(body)
    return engine_page.plan(TABLE, page.series), page


def counted(body: bytes, kind: TokenKind) -> dict[str, float]:
    """Return what is counted of a kind by the names of the series."""
    found: dict[str, float] = {}
    for one in engine_page.counters(*read(body), "m", override=False):
        if one.kind is kind:
            name = one.series.partition("{")[0]
            found[name] = found.get(name, 0.0) + one.value
    return found


def output(body: bytes) -> float:
    return sum(counted(body, TokenKind.OUTPUT).values())


def without(body: bytes, *parts: bytes) -> bytes:
    lines = body.splitlines(keepends=True)
    return b"".join(line for line in lines if not any(part in line for part in parts))


def only(body: bytes, part: bytes) -> bytes:
    return b"".join(line for line in body.splitlines(keepends=True) if part in line)


def of_rank(body: bytes, rank: int) -> bytes:
    """Return the page as a data-parallel rank would label it."""
    return body.replace(b'moe_ep_rank="0"', b'dp_rank="%d",moe_ep_rank="0"' % rank)


EMBEDDED = b"sglang:http_"
"""Left out of a page, it is that of an engine inside Dynamo or Ray, which has no HTTP server of its own."""


@pytest.mark.parametrize("body", [FRESH, IDLE, BUSY, AFTER], ids=["fresh", "idle", "busy", "after"])
def test_way_of_counting_stays_while_series_appear(body):
    plan, page = read(body)

    assert not plan.live
    assert engine_page.live_output(plan, page) is not None
    assert set(counted(body, TokenKind.OUTPUT)) <= {"sglang:generation_tokens_total"}
    assert set(counted(body, TokenKind.PROMPT)) <= {"sglang:prompt_tokens_total"}


@pytest.mark.parametrize("body", [FRESH, IDLE, BUSY, AFTER], ids=["fresh", "idle", "busy", "after"])
def test_way_of_counting_stays_on_a_page_without_an_http_server(body):
    embedded = without(body, EMBEDDED)

    assert set(counted(embedded, TokenKind.OUTPUT)) <= {
        "sglang:realtime_tokens_total",
        "sglang:time_to_first_token_seconds_count",
    }
    assert read(embedded)[0].live


def test_output_counts_when_requests_end_and_its_live_stand_in_is_ahead_until_then():
    ahead = [engine_page.live_output(*read(body)) - output(body) for body in (FRESH, IDLE, BUSY, AFTER)]

    assert [output(body) for body in (IDLE, BUSY, AFTER)] == [512.0, 969.0, 1386.0]
    assert ahead == [0.0, 0.0, 192.0, 0.0]


def test_first_token_of_a_request_comes_from_its_prefill():
    assert counted(without(AFTER, EMBEDDED), TokenKind.OUTPUT) == {
        "sglang:realtime_tokens_total": 1354.0,
        "sglang:time_to_first_token_seconds_count": 32.0,
    }


@pytest.mark.parametrize("body", OLD, ids=["0.4.4", "0.5.3"])
def test_before_0_5_7_the_live_stand_in_is_made_of_two_histograms(body):
    plan, page = read(body)

    assert output(body) == 192.0
    assert not plan.live
    assert engine_page.live_output(plan, page) == 209.0 + 4.0


def test_before_0_5_7_there_is_a_live_stand_in_before_the_first_request_ends():
    plan, page = read(without(OLD[1], b"generation_tokens_total"))

    assert engine_page.live_output(plan, page) == 213.0


def test_T13_data_parallel_nodes_count_their_own_steps():  # noqa: N802 - the rule's name
    first = of_rank(BUSY, 0)
    second = only(of_rank(BUSY, 1), b"dp_rank")

    assert counted(first, TokenKind.OUTPUT) == {
        "sglang:realtime_tokens_total": 1135.0,
        "sglang:time_to_first_token_seconds_count": 26.0,
    }
    assert counted(second, TokenKind.OUTPUT) == {"sglang:realtime_tokens_total": 1135.0}
    assert counted(second, TokenKind.PROMPT) == {"sglang:realtime_tokens_total": 2040.0}
    assert counted(second, TokenKind.PROMPT_CACHED) == {"sglang:realtime_tokens_total": 15.0}
    assert read(first)[0].live
    assert read(second)[0].live


def test_data_parallel_ranks_of_one_node_are_summed():
    body = of_rank(BUSY, 0) + only(of_rank(BUSY, 1), b"dp_rank")

    assert output(body) == 2 * 1135.0 + 26.0
    assert engine_page.demand(*read(body)).running == 14.0
    assert engine_page.demand(*read(body)).idle_seconds == 4.07701218  # the mean: it goes with the clock


@pytest.mark.parametrize("label", [b"tp_rank", b"moe_ep_rank", b"pp_rank"])
def test_ranks_that_repeat_each_other_count_once(label):
    ranked = without(only(BUSY, b"tp_rank"), b"pid=")
    body = BUSY + ranked.replace(label + b'="0"', label + b'="1"')

    assert engine_page.demand(*read(body)).running == 7.0
    assert engine_page.live_output(*read(body)) == 1161.0


def test_T13_later_pipeline_stage_on_a_page_of_its_own_counts_nothing():  # noqa: N802 - the rule's name
    body = only(BUSY, b"tp_rank").replace(b'pp_rank="0"', b'pp_rank="1"')

    assert counted(body, TokenKind.OUTPUT) == {}
    assert counted(body, TokenKind.PROMPT) == {}


def test_cached_tokens_of_a_request_are_under_total_or_under_their_sources():
    body = b"".join(
        b'sglang:cached_tokens_total{cache_source="%s",model_name="m"} %d\n' % (source, tokens)
        for source, tokens in [(b"device", 3), (b"host", 4), (b"storage_x", 5), (b"total", 6)]
    )

    assert counted(body, TokenKind.PROMPT_CACHED) == {"sglang:cached_tokens_total": 18.0}


@pytest.mark.parametrize(
    ("told", "role"),
    [
        (b"unified", Role.UNIFIED),
        (b"prefill", Role.PREFILL),
        (b"decode", Role.DECODE),
        (b"dynamic", Role.UNIFIED),
    ],
)
def test_engine_type_tells_the_role(told, role):
    plan, _ = read(BUSY.replace(b'engine_type="unified"', b'engine_type="%s"' % told))

    assert engine_page.role(plan, TABLE) is role


def test_reading_the_page_and_health_checks_are_no_arrivals():
    assert engine_page.demand(*read(BUSY)).arrivals == 32.0
    assert engine_page.demand(*read(FRESH)).arrivals is None


def test_answers_of_500_and_above_to_requests_failed():
    answer = b'sglang:http_responses_total{endpoint="%s",method="POST",status_code="%s"} %d\n'
    body = answer % (b"/v1/completions", b"503", 2) + answer % (b"/generate", b"500", 3)
    body += answer % (b"/health", b"503", 9) + answer % (b"/generate", b"400", 9)

    assert engine_page.demand(*read(body)).failed == 5.0


def test_ended_requests_hold_those_given_up_so_none_is_called_a_success():
    demand = engine_page.demand(*read(OLD[1]))

    assert (demand.succeeded, demand.aborted) == (None, 1.0)


def test_requests_in_the_queues_of_disaggregation_wait():
    names = ("queue", "prefill_bootstrap_queue", "decode_prealloc_queue", "decode_transfer_queue")
    body = "".join(f"sglang:num_{name}_reqs 2\n" for name in names)

    assert engine_page.demand(*read(body.encode())).waiting == 8.0


@pytest.mark.parametrize("spelling", [b"sglang_", b"ray_sglang_"])
def test_other_spellings_are_read_as_the_usual_one(spelling):
    assert output(BUSY.replace(b"sglang:", spelling)) == output(BUSY) == 969.0


def test_model_is_known_before_the_first_token():
    assert read(FRESH)[0].model == "tiny"
