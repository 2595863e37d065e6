"""A server that nobody named is read without asking for a page that reading destroys."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from fakes.page_server import Answer, PageServer

from agent.collectors.engines import Settings, Target, build, examine
from agent.measure.finding import Level
from agent.measure.reading import Moment, Reason, SourceError

CAPTURES = Path(__file__).parents[1] / "captures"
VLLM = Answer((CAPTURES / "vllm-0.32.0-busy.prom").read_bytes())
BUSY = Answer((CAPTURES / "trtllm-1.3-busy.prom").read_bytes())
LEGACY = Answer((CAPTURES / "trtllm_legacy-1.2-after.prom").read_bytes())
STATISTICS = Answer(b'[{"iter":1,"numActiveRequests":3}]')
"""What /metrics of TensorRT-LLM hands out: once."""
OWNED = Answer(b'{"object":"list","data":[{"id":"tiny","owned_by":"tensorrt_llm"}]}')
TRTLLM = {"/metrics": STATISTICS, "/prometheus/metrics": BUSY, "/v1/models": OWNED}


@contextlib.asynccontextmanager
async def source_of(url: str, **target):
    collector = build(Settings(targets=(Target(url=url, **target),)))
    try:
        yield collector.sources(None)[0]
    finally:
        await collector.close()


async def collect(source):
    return await source.collect(Moment(time.monotonic(), time.time()), None)


def asked(server: PageServer) -> list[str]:
    return [request.path for request in server.requests]


@pytest.mark.parametrize("path", ["", "/", "/metrics"])
async def test_trtllm_that_nobody_named_is_read_and_its_statistics_are_never_asked_for(path):
    async with PageServer(TRTLLM) as server, source_of(server.url + path) as source:
        readings = [await collect(source) for _ in range(3)]

    assert [reading.engines[0].engine for reading in readings] == ["trtllm"] * 3
    assert asked(server) == ["/prometheus/metrics"] * 3


async def test_trtllm_behind_a_prefix_is_found_behind_it():
    answers = {f"/gpu0{path}": answer for path, answer in TRTLLM.items()}
    async with PageServer(answers) as server, source_of(server.url + "/gpu0/metrics") as source:
        assert (await collect(source)).engines[0].engine == "trtllm"

    assert asked(server) == ["/gpu0/prometheus/metrics"]


async def test_trtllm_whose_page_is_off_is_told_apart_by_its_models_and_its_statistics_are_left_alone():
    answers = {"/metrics": STATISTICS, "/v1/models": OWNED}
    async with PageServer(answers) as server, source_of(server.url) as source:
        for _ in range(2):
            with pytest.raises(SourceError, match="return_perf_metrics") as caught:
                await collect(source)

    assert caught.value.reason is Reason.UNSUPPORTED
    assert "/metrics" not in asked(server)


@pytest.mark.parametrize(
    "models",
    [Answer(status="503 Service Unavailable"), Answer(OWNED.body, wait_seconds=9)],
    ids=["busy", "slow"],
)
async def test_server_that_does_not_say_whose_models_it_has_is_not_asked_further(models):
    answers = {"/metrics": STATISTICS, "/v1/models": models}
    async with PageServer(answers) as server:
        settings = Settings(targets=(Target(url=server.url),), timeout=0.2)
        collector = build(settings)
        with pytest.raises(SourceError):
            await collect(collector.sources(None)[0])
        await collector.close()

    assert "/metrics" not in asked(server)


async def test_engine_that_is_replaced_by_trtllm_on_its_port_is_found_out_before_it_is_asked():
    async with PageServer({"/metrics": VLLM}) as server, source_of(server.url) as source:
        first = (await collect(source)).engines[0].engine
        server.answers = {"/metrics": Answer(status="503 Service Unavailable")}
        with pytest.raises(SourceError):
            await collect(source)
        server.answers = dict(TRTLLM)
        server.requests.clear()
        second = (await collect(source)).engines[0].engine

    assert (first, second) == ("vllm", "trtllm")
    assert "/metrics" not in asked(server)


async def test_server_of_another_kind_is_asked_on_the_usual_path_and_then_nowhere_else():
    async with PageServer({"/metrics": VLLM}) as server, source_of(server.url) as source:
        for _ in range(3):
            await collect(source)

    assert asked(server) == ["/prometheus/metrics", "/v1/models", "/metrics", "/metrics", "/metrics"]


async def test_server_that_answers_everything_with_a_page_of_its_own_is_asked_on_the_usual_path():
    web = Answer(b"<html>welcome</html>\n", headers={"Content-Type": "text/html"})
    answers = {"/prometheus/metrics": web, "/v1/models": web, "/metrics": VLLM}
    async with PageServer(answers) as server, source_of(server.url) as source:
        assert (await collect(source)).engines[0].engine == "vllm"


@pytest.mark.parametrize("named", ["", "trtllm"])
async def test_T25_trtllm_before_its_first_request_has_an_empty_page_and_no_tokens(named):  # noqa: N802
    async with (
        PageServer({**TRTLLM, "/prometheus/metrics": Answer()}) as server,
        source_of(server.url, engine=named) as source,
    ):
        (engine,) = (await collect(source)).engines

    assert (engine.engine, engine.counters, engine.counts_output) == ("trtllm", (), True)


async def test_T25_server_that_answers_everything_with_nothing_is_not_taken_for_a_fresh_trtllm():  # noqa: N802
    answers = {"/prometheus/metrics": Answer(), "/v1/models": Answer(), "/metrics": Answer()}
    async with PageServer(answers) as server, source_of(server.url) as source:
        with pytest.raises(SourceError, match="the page is empty"):
            await collect(source)


async def test_T25_trtllm_that_restarted_and_shows_nothing_yet_is_the_same_engine():  # noqa: N802
    async with PageServer(TRTLLM) as server, source_of(server.url) as source:
        await collect(source)
        server.answers["/prometheus/metrics"] = Answer()
        (engine,) = (await collect(source)).engines

    assert (engine.engine, engine.counters) == ("trtllm", ())


async def test_empty_page_of_an_engine_that_always_shows_series_is_refused():
    async with PageServer({"/metrics": Answer()}) as server, source_of(server.url, engine="vllm") as source:
        with pytest.raises(SourceError, match="the page is empty"):
            await collect(source)


async def test_old_trtllm_has_no_output_figure_and_a_note_says_why():
    async with PageServer({**TRTLLM, "/prometheus/metrics": LEGACY}) as server:
        async with source_of(server.url) as source:
            reading = await collect(source)
        (finding,) = await examine(Settings(targets=(Target(url=server.url),)))

    assert reading.engines[0].engine == "trtllm_legacy"
    assert reading.engines[0].model == "tiny"
    assert not reading.engines[0].counts_output
    assert "one from 1.3 on does" in reading.notes[0]
    assert finding.level is Level.NOTE
    assert "output tokens not counted" in finding.text
