"""The engines collector against a server with one path for each kind of bad page."""

from __future__ import annotations

import contextlib
import resource
import time

import pytest
from fakes.engines.hostile import HostileServer, kinds

from agent.collectors.engines import Settings, Target, build
from agent.measure.engine import TokenKind
from agent.measure.reading import Moment, Reading, Reason, SourceError


async def read(url: str, *, seconds: float = 5.0, **target) -> Reading:
    collector = build(Settings(targets=(Target(url=url, **target),), timeout=seconds))
    async with closing(collector):
        return await collector.sources(None)[0].collect(Moment(time.monotonic(), time.time()), None)


@contextlib.asynccontextmanager
async def closing(collector):
    try:
        yield
    finally:
        await collector.close()


def output(reading: Reading) -> float:
    return sum(one.value for one in reading.engines[0].counters if one.kind is TokenKind.OUTPUT)


@pytest.fixture(scope="module")
def hostile():
    with HostileServer() as server:
        yield server


HOSTILE_REASONS = {
    "nan": Reason.MALFORMED,
    "inf": Reason.MALFORMED,
    "negative": Reason.MALFORMED,
    "overflow": Reason.MALFORMED,
    "underscores": Reason.MALFORMED,
    "not-a-number": Reason.MALFORMED,
    "no-value": Reason.MALFORMED,
    "duplicate": Reason.MALFORMED,
    "bad-escape": Reason.MALFORMED,
    "unterminated-quote": Reason.MALFORMED,
    "unterminated-labels": Reason.MALFORMED,
    "invalid-utf8": Reason.MALFORMED,
    "utf16": Reason.MALFORMED,
    "unknown-charset": Reason.MALFORMED,
    "nul-bytes": Reason.MALFORMED,
    "empty": Reason.MALFORMED,
    "html": Reason.MALFORMED,
    "binary": Reason.MALFORMED,
    "no-final-newline": Reason.MALFORMED,
    "long-line": Reason.TOO_LARGE,
    "endless": Reason.TOO_LARGE,
    "endless-line": Reason.TOO_LARGE,
    "endless-chunks": Reason.TOO_LARGE,
    "hundred-megabytes": Reason.TOO_LARGE,
    "gzip-bomb": Reason.TOO_LARGE,
    "million-lines": Reason.TOO_LARGE,
    "million-series": Reason.TOO_LARGE,
    "drip": Reason.TIMED_OUT,
    "header-drip": Reason.TIMED_OUT,
    "silent": Reason.TIMED_OUT,
    "silent-body": Reason.TIMED_OUT,
    "redirect-self": Reason.UNSUPPORTED,
    "redirect-away": Reason.UNSUPPORTED,
    "truncated-chunked": Reason.MALFORMED,
    "long-length": Reason.MALFORMED,
    "closes": Reason.UNREACHABLE,
    "bad-chunk-size": Reason.MALFORMED,
    "short-length": Reason.MALFORMED,
    "two-lengths": Reason.MALFORMED,
    "http09": Reason.MALFORMED,
    "huge-headers": Reason.MALFORMED,
    "many-headers": Reason.MALFORMED,
}
GROWTH_BYTES = 64 * 1024 * 1024
DEADLINE_SECONDS = 1.0


@pytest.mark.parametrize(("kind", "reason"), HOSTILE_REASONS.items(), ids=HOSTILE_REASONS)
async def test_hostile_page_costs_one_failure_with_its_reason_within_the_deadline(hostile, kind, reason):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.monotonic()

    with pytest.raises(SourceError) as caught:
        await read(hostile.address(kind) + "/metrics", seconds=DEADLINE_SECONDS)

    error = caught.value
    assert error.reason is reason
    assert hostile.address(kind) in error.detail
    assert time.monotonic() - began < DEADLINE_SECONDS + 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < GROWTH_BYTES


@pytest.mark.parametrize(
    "kind", ["slots-deep", "slots-wrong-shape", "slots-wrong-types", "slots-huge-number", "slots-many"]
)
async def test_hostile_substitute_costs_only_the_live_figure(hostile, kind):
    reading = await read(hostile.address(kind) + "/metrics", model="m")

    assert output(reading) == 100.0
    assert not reading.engines[0].live


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [("good", 100.0), ("crlf", 100.0), ("tabs", 100.0), ("timestamps", 100.0), ("openmetrics", 4593.0)],
)
async def test_unusual_but_good_page_is_read(hostile, kind, tokens):
    assert output(await read(hostile.address(kind) + "/metrics")) == tokens


def test_every_kind_of_hostile_page_is_tried():
    tried = {*HOSTILE_REASONS, "good", "crlf", "tabs", "timestamps", "openmetrics", "exemplar-quotes"}
    tried |= {"counts-up", "falling"}  # several pages tell their story: tests/test_faults.py
    untried = {kind for kind in kinds() if not kind.startswith(("slots-", "status-"))} - tried

    assert untried == set()
