"""The table of Dynamo's frontend, on recorded pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import plugins
from agent.engines.dynamo_frontend import TABLE
from agent.measure.engine import Role, TokenKind
from agent.wire import engine_page
from agent.wire.engine_identity import identify
from agent.wire.page import PageLimits, sample_names

BUSY = (Path(__file__).parents[1] / "captures" / "dynamo_frontend-1.6.1-busy.prom").read_bytes()
ENDED = b'dynamo_frontend_requests_total{model="m",status="%s",error_type="%s"} %d\n'


def read(body: bytes):
    page = engine_page.reader(TABLE, PageLimits()).read(body)
    return engine_page.plan(TABLE, page.series), page


def test_T13_frontend_passes_requests_on():  # noqa: N802 - the rule's name
    assert engine_page.role(read(BUSY)[0], TABLE) is Role.GATEWAY


def test_frontend_with_a_router_inside_is_no_worker():
    found = identify(plugins.engine_tables(), sample_names(BUSY))

    assert b"dynamo_component_" in BUSY
    assert found == TABLE


def test_tokens_are_sums_of_histograms():
    counters = engine_page.counters(*read(BUSY), "m", override=False)

    assert {one.kind: one.value for one in counters} == {
        TokenKind.OUTPUT: 3079.0,
        TokenKind.PROMPT: 2863.0,
        TokenKind.PROMPT_CACHED: 0.0,
    }


def test_output_of_unfinished_requests_is_told_by_the_live_counter_beside_them():
    assert engine_page.live_output(*read(BUSY)) == 3484.0


def test_T25_output_is_counted_before_the_first_request_has_ended():  # noqa: N802 - the rule's name
    plan, page = read(b'dynamo_frontend_output_tokens_total{model="m"} 5\n')

    assert engine_page.counters(plan, page, "m", override=False) == ()
    assert engine_page.counts_output(plan, page, TABLE)
    assert engine_page.live_output(plan, page) == 5.0


def test_older_name_of_running_requests_is_counted_only_where_the_newer_is_not():
    older = b'dynamo_frontend_inflight_requests{model="m"} 3\n'
    newer = b'dynamo_frontend_active_requests{model="m"} 4\n'

    assert engine_page.demand(*read(older)).running == 3.0
    assert engine_page.demand(*read(newer + older)).running == 4.0


def test_requests_that_the_client_ended_or_got_wrong_did_not_fail():
    errors = [(b"internal", 2), (b"overload", 3), (b"cancelled", 4), (b"validation", 5), (b"not_found", 6)]
    body = b"".join(ENDED % (b"error", kind, requests) for kind, requests in errors)
    demand = engine_page.demand(*read(body + ENDED % (b"success", b"", 7)))

    assert (demand.succeeded, demand.failed, demand.aborted) == (7.0, 5.0, 4.0)


def test_before_there_were_kinds_of_errors_each_is_a_failure():
    body = b'dynamo_frontend_requests_total{model="m",status="error"} 2\n'

    assert engine_page.demand(*read(body)).failed == 2.0


@pytest.mark.parametrize("name", [b"cached_tokens", b"cached_sequence_length"])
def test_cached_tokens_have_two_names(name):
    counters = engine_page.counters(*read(b"dynamo_frontend_%s_sum 9\n" % name), "m", override=False)

    assert [(one.kind, one.value) for one in counters] == [(TokenKind.PROMPT_CACHED, 9.0)]
