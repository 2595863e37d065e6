"""The engines collector: whole readings from recorded pages, real servers and hostile ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from fakes.engines.llamacpp import LlamaCpp
from fakes.page_server import Answer, PageServer

from agent import plugins
from agent.collectors.engines import Settings, Target, build, examine
from agent.measure.engine import EngineReading, TokenKind
from agent.measure.finding import Level
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.wire.http_config import Authorization

TESTS = Path(__file__).parents[1]
GOLDENS = TESTS / "golden" / "engines"
CAPTURES = sorted((TESTS / "captures").glob("*.prom"))
VLLM = Answer((TESTS / "captures" / "vllm-0.32.0-busy.prom").read_bytes())
LLAMACPP = Answer(
    (TESTS / "captures" / "llamacpp-b11549-busy.prom").read_bytes(),
    headers={"Process-Start-Time-Unix": "1341"},
)
MODELS = Answer(b'{"object":"list","data":[{"id":"tiny-random"},{"id":"other"}]}')
SLOTS = Answer(
    b'[{"id":0,"is_processing":true,"next_token":[{"n_decoded":7}]},'
    b'{"id":1,"is_processing":false,"next_token":[{"n_decoded":50}]},'
    b'{"id":2,"is_processing":true,"next_token":{"n_decoded":5}},{"id":3,"is_processing":false}]'
)
INFO = Answer(b'{"model_id":"tiny-random","sha":null}')
LLAMACPP_SERVER = {"/metrics": LLAMACPP, "/slots": SLOTS, "/v1/models": MODELS}


def now() -> Moment:
    return Moment(time.monotonic(), time.time())


@contextlib.asynccontextmanager
async def source_of(url: str, *, seconds: float = 5.0, interval: float = 1.0, **target):
    settings = Settings(targets=(Target(url=url, **target),), timeout=seconds, interval=interval)
    collector = build(settings)
    try:
        yield collector.sources(None)[0]
    finally:
        await collector.close()


async def read(url: str, **target) -> Reading:
    async with source_of(url, **target) as source:
        return await source.collect(now(), None)


async def refusal(url: str, **target) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await read(url, **target)
    return caught.value


def written(reading: EngineReading) -> str:
    """Write down what was read, without what differs from run to run."""
    demand = reading.demand
    lines = [f"{reading.engine} serving {reading.model} as {reading.role}, process {reading.epoch}"]
    lines += [
        f"{one.kind} {one.value!r} of {one.model}, resolution {one.resolution!r}: {one.series}"
        for one in reading.counters
    ]
    lines += [
        f"running {demand.running} waiting {demand.waiting} arrivals {demand.arrivals}",
        f"heartbeat {demand.heartbeat} preemptions {demand.preemptions} asleep {demand.asleep}",
        f"succeeded {demand.succeeded} failed {demand.failed} aborted {demand.aborted}",
        f"idle seconds {demand.idle_seconds} gauges up to {demand.stale_seconds} s old",
        f"drafted {reading.drafted_tokens} accepted {reading.accepted_tokens}",
        f"kv cache {reading.kv_cache_usage_ratio} live {reading.live}",
        f"pending {reading.pending_output_tokens} live output {reading.live_output_tokens}",
        *([] if reading.counts_output else ["output tokens unknown"]),
        f"page {reading.page_bytes} bytes",
    ]
    lines += [
        f"{latency} of {model}: {histogram.counts[-1]} in {histogram.sum_seconds} s"
        for (model, latency), histogram in (reading.latencies or {}).items()
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
async def test_recorded_page_is_read_as_its_golden_says(capture):
    page = Answer(capture.read_bytes(), headers=LLAMACPP.headers)
    table = plugins.load(plugins.ENGINES, capture.stem.partition("-")[0]).TABLE
    beside = {"/slots": SLOTS, "/v1/models": MODELS, "/info": INFO}
    async with PageServer({table.path: page, **beside}) as server:
        (engine,) = (await read(server.url + table.path)).engines
    golden = GOLDENS / f"{capture.stem}.txt"
    if os.environ.get("RACKWATT_UPDATE_GOLDENS"):
        golden.write_text(written(engine))

    assert engine.engine == table.engine
    assert written(engine) == golden.read_text()


async def test_instance_and_source_are_named_by_host_and_port():
    async with PageServer({"/metrics": VLLM}) as server:
        reading = await read(server.url)

    assert reading.engines[0].instance == server.url.removeprefix("http://")
    assert reading.source == f"engines/{reading.engines[0].instance}"


async def test_T3_moment_is_that_of_the_first_byte_on_both_clocks():  # noqa: N802 - the rule's name
    async with (
        PageServer({"/metrics": Answer(VLLM.body, wait_seconds=0.1)}) as server,
        source_of(server.url) as source,
    ):
        began = now()
        (engine,) = (await source.collect(began, None)).engines

    late = engine.at.monotonic_seconds - began.monotonic_seconds
    assert late >= 0.09
    assert engine.at.unix_seconds - began.unix_seconds == pytest.approx(late, abs=1e-4)
    assert began.monotonic_seconds <= engine.asked_monotonic_seconds <= engine.at.monotonic_seconds - 0.09


async def test_url_with_a_path_is_asked_for_as_it_is():
    async with PageServer({"/gateway/metrics": VLLM}) as server:
        await read(server.url + "/gateway/metrics", engine="vllm")

        assert [request.path for request in server.requests] == ["/gateway/metrics"]


async def test_pages_beside_the_metrics_are_behind_the_same_prefix_and_query():
    answers = {f"/m1{path}?model=a": answer for path, answer in LLAMACPP_SERVER.items()}
    async with PageServer(answers) as server:
        (engine,) = (await read(server.url + "/m1/metrics?model=a")).engines

    assert engine.pending_output_tokens == 12.0


async def test_T21_substitute_tells_the_tokens_of_unfinished_requests():  # noqa: N802 - the rule's name
    async with PageServer(LLAMACPP_SERVER) as server:
        reading = await read(server.url, engine="llamacpp")
        paths = [request.path for request in server.requests]

    assert reading.engines[0].pending_output_tokens == 12.0
    assert reading.engines[0].live
    assert reading.notes == ()
    assert paths[:2] == ["/metrics", "/slots"]


@pytest.mark.parametrize(
    "slots",
    [
        Answer(status="501 Not Implemented"),
        Answer(status="401 Unauthorized"),
        Answer(b'{"error": "no"}'),
        Answer(b"nonsense"),
        Answer(b'[{"is_processing":true,"next_token":[{"n_decoded":"7"}]}]'),
    ],
    ids=["off", "denied", "not-a-list", "not-json", "not-a-count"],
)
async def test_T21_without_the_substitute_the_output_is_not_live_and_a_note_says_so(slots):  # noqa: N802
    async with PageServer({**LLAMACPP_SERVER, "/slots": slots}) as server:
        reading = await read(server.url)

    assert reading.engines[0].pending_output_tokens is None
    assert not reading.engines[0].live
    assert len(reading.notes) == 1
    assert "--no-slots" in reading.notes[0]


async def test_substitute_that_failed_is_not_asked_for_again_at_once():
    async with (
        PageServer({**LLAMACPP_SERVER, "/slots": Answer(b"nonsense")}) as server,
        source_of(server.url) as source,
    ):
        for _ in range(3):
            reading = await source.collect(now(), None)
        asked = [request.path for request in server.requests].count("/slots")

    assert asked == 1
    assert len(reading.notes) == 1


async def test_hanging_substitute_costs_only_itself():
    hanging = Answer(SLOTS.body, wait_seconds=60)
    async with PageServer({**LLAMACPP_SERVER, "/slots": hanging}) as server:
        (engine,) = (await read(server.url, seconds=0.3, model="m")).engines

    assert not engine.live
    assert engine.demand.running == 4.0


async def test_model_is_asked_once_for_each_process():
    async with PageServer(LLAMACPP_SERVER) as server, source_of(server.url, engine="llamacpp") as source:
        models = [(await source.collect(now(), None)).engines[0].model for _ in range(2)]
        server.answers["/metrics"] = Answer(LLAMACPP.body, headers={"Process-Start-Time-Unix": "99"})
        server.answers["/v1/models"] = Answer(b'{"data":[{"id":"new-model"}]}')
        models += [(await source.collect(now(), None)).engines[0].model for _ in range(2)]
        asked = [request.path for request in server.requests].count("/v1/models")

    assert models == ["tiny-random", "tiny-random", "new-model", "new-model"]
    assert asked == 2


@pytest.mark.parametrize(
    "answer",
    [Answer(b"{}"), Answer(b'{"data":[{"id":5}]}'), Answer(b'{"data":[{"id":""}]}'), Answer(b"x")],
)
async def test_model_that_cannot_be_learned_is_unknown_and_a_note_says_so(answer):
    async with (
        PageServer({**LLAMACPP_SERVER, "/v1/models": answer}) as server,
        source_of(server.url, engine="llamacpp") as source,
    ):
        for _ in range(3):
            reading = await source.collect(now(), None)
        asked = [request.path for request in server.requests].count("/v1/models")

    assert reading.engines[0].model == "unknown"
    assert "set `model`" in reading.notes[0]
    assert asked == 1


async def test_configured_model_wins_and_nobody_is_asked():
    async with PageServer(LLAMACPP_SERVER) as server:
        (engine,) = (await read(server.url, engine="llamacpp", model="mine")).engines
        paths = [request.path for request in server.requests]

    assert {counter.model for counter in engine.counters} == {engine.model} == {"mine"}
    assert "/v1/models" not in paths


async def test_T2_process_is_known_by_its_start():  # noqa: N802 - the rule's name
    async with PageServer({"/metrics": VLLM}) as server:
        assert (await read(server.url)).engines[0].epoch == "start:1.79530433669e+09"


async def test_engine_that_changes_behind_a_port_is_found_out():
    async with PageServer({"/metrics": VLLM}) as server, source_of(server.url) as source:
        before = (await source.collect(now(), None)).engines[0].engine
        server.answers |= LLAMACPP_SERVER
        after = (await source.collect(now(), None)).engines[0].engine

    assert (before, after) == ("vllm", "llamacpp")


async def test_configured_container_is_read_with_the_engine_inside():
    body = b'dynamo_component_uptime_seconds 5\nvllm:generation_tokens_total{model_name="m"} 7\n'
    async with PageServer({"/metrics": Answer(body)}) as server:
        reading = await read(server.url, engine="dynamo_worker")

    assert reading.engines[0].engine == "dynamo_worker"
    assert output(reading) == 7.0


async def test_configured_engine_refuses_the_page_of_another():
    async with PageServer({"/metrics": VLLM}) as server:
        error = await refusal(server.url, engine="llamacpp")

    assert error.reason is Reason.UNSUPPORTED
    assert "no series of llamacpp; start llama-server with --metrics" in error.detail


async def test_page_of_vllm_without_its_series_names_the_flag():
    body = b"".join(line for line in VLLM.body.splitlines(keepends=True) if b"vllm:" not in line)
    async with PageServer({"/metrics": Answer(body)}) as server:
        error = await refusal(server.url)

    assert error.reason is Reason.UNSUPPORTED
    assert "start vLLM without --disable-log-stats" in error.detail


async def test_metrics_that_are_switched_off_name_the_flag():
    off = Answer(b'{"error":{"message":"Start it with `--metrics`"}}', status="501 Not Implemented")
    async with PageServer({"/metrics": off}) as server:
        error = await refusal(server.url)

    assert error.reason is Reason.UNSUPPORTED
    assert "if it is llamacpp, start llama-server with --metrics" in error.detail


async def test_T26_dear_engine_is_read_less_often():  # noqa: N802 - the rule's name
    dear = Answer(VLLM.body, wait_seconds=0.03)
    async with PageServer({"/metrics": dear}) as server, source_of(server.url) as source:
        for _ in range(5):
            await source.collect(now(), None)

        assert 3.0 <= source.interval_seconds <= 10.0


async def test_login_of_a_target_stands_beside_its_url(tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    async with PageServer({"/metrics": VLLM}) as server:
        await read(server.url, authorization=Authorization(credentials_file=str(token)))

        assert server.requests[0].headers["authorization"] == "Bearer s3cret"


async def test_cancelled_collection_leaves_no_connection():
    async with (
        PageServer({"/metrics": Answer(VLLM.body, wait_seconds=60)}) as server,
        source_of(server.url) as source,
    ):
        task = asyncio.create_task(source.collect(now(), None))
        await server.asked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.emptied(), 2)

        assert server.open == 0


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"url": "localhost:8000"}, "^url: 'localhost:8000' is not an http:// or https:// address"),
        ({"url": "ftp://a:1"}, "^url: 'ftp://a:1' is not an http"),
        ({"url": "http://a:99999"}, "^url: 'http://a:99999' is not an http"),
        ({"url": "http://[::1"}, "^url: 'the url' is not an http"),
        ({"url": "http://a:1/\n"}, "^url: .* is not an http"),
        ({"url": "http://a/" + "x" * 2000}, "^url: longer than 1024 characters"),
        ({"url": "http://me:x@a"}, "^url: write name and password under basic_auth"),
        ({"url": "http://a", "model": "a\x1bb"}, "^model: must be printable"),
        ({"url": "http://a", "proxy_url": "a:1"}, "^proxy_url: .* is not an http"),
    ],
)
def test_target_that_can_never_be_read_is_refused_when_it_is_written_down(target, says):
    with pytest.raises(ValueError, match=says):
        Target(**target)


@pytest.mark.parametrize(
    ("url", "engine", "says"),
    [
        ("http://a", "vlm", r"^targets\[0\]\.engine: no 'vlm'; there are: .*llamacpp, .*vllm"),
        ("http://a", "ollama", r"^targets\[0\]\.engine: Ollama has no page of metrics; .*llama-server"),
        ("http://a/metrics", "trtllm", r"^targets\[0\]\.url: /metrics of trtllm is gone once it is read"),
    ],
)
def test_target_of_an_engine_that_cannot_be_read_is_refused(url, engine, says):
    with pytest.raises(ValueError, match=says):
        Settings(targets=(Target(url=url, engine=engine),))


def test_refusal_of_an_address_does_not_show_its_password():
    with pytest.raises(ValueError, match="is not an http") as caught:
        Target(url="http://me:hidden@a:99999")

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:8000", "http://h:8000"),
        ("http://h:8000", "http://h:8000/metrics"),
        ("http://h:8000/", "http://h:8000/metrics#x"),
        ("http://h:8000", "http://H:8000"),
        ("http://h", "http://h:80/metrics"),
        ("https://h", "https://h:443"),
        ("http://h:8000", "https://h:8000"),
    ],
)
def test_T13_one_page_written_in_two_ways_is_refused(one, other):  # noqa: N802 - the rule's name
    with pytest.raises(ValueError, match=r"targets\[1\]\.url: .* is the page of targets\[0\] again"):
        Settings(targets=(Target(url=one), Target(url=other)))


@pytest.mark.parametrize("key", ["interval", "timeout", "max_bytes", "max_lines", "max_series"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limit_that_lets_nothing_through_is_refused(key, value):
    with pytest.raises(ValueError, match=f"^{key}: must be more than 0"):
        Settings(**{key: value})


def names(*urls: str) -> list[str]:
    settings = Settings(targets=tuple(Target(url=url) for url in urls))
    named = [source.name for source in build(settings).sources(None)]
    return [name.removeprefix("engines/") for name in named if name.startswith("engines/")]


def test_target_alone_at_its_address_is_named_by_host_and_port():
    assert names("http://a:1/gateway/metrics", "https://[::1]") == ["a:1", "[::1]:443"]


def test_target_on_the_usual_path_keeps_its_name_when_another_joins_it():
    assert names("http://a:1/metrics") == ["a:1"]
    assert names("http://a:1/other", "http://a:1/metrics") == ["a:1/other", "a:1"]


def test_first_target_keeps_its_name_when_another_joins_it_off_the_usual_path():
    assert names("http://a:1/x?m=1", "http://a:1/x?m=2") == ["a:1", "a:1/x?m=2"]


async def test_doctor_says_what_is_well_and_what_is_not():
    async with (
        PageServer(LLAMACPP_SERVER) as good,
        PageServer({**LLAMACPP_SERVER, "/slots": Answer(b"x")}) as slow,
    ):
        targets = (Target(url=good.url), Target(url=slow.url), Target(url="http://127.0.0.1:1"))
        well, lesser, bad = await examine(Settings(targets=targets))

    assert well.level is Level.OK
    assert "llamacpp serves tiny-random; page of 2596 bytes" in well.text
    assert well.text.endswith("output tokens live")
    assert lesser.level is Level.NOTE
    assert "--no-slots" in lesser.remedy
    assert bad.level is Level.PROBLEM
    assert "is it running" in bad.remedy


@pytest.fixture(scope="module")
def llamacpp():
    with LlamaCpp() as server:
        yield server


async def test_T21_real_llamacpp_counts_every_token_once_while_and_after_it_serves(llamacpp):  # noqa: N802
    wanted = 1200
    async with source_of(llamacpp.url) as source:
        before = await source.collect(now(), None)
        thread = threading.Thread(target=complete, args=(llamacpp.url, wanted))
        thread.start()
        during = [await source.collect(now(), None)]
        while during[-1].engines[0].demand.running != 0.0 or len(during) < 3:
            during.append(await source.collect(now(), None))
            await asyncio.sleep(0.02)
        thread.join()
        after = await source.collect(now(), None)

    pending = [reading.engines[0].pending_output_tokens for reading in during]
    assert output(after) - output(before) == wanted
    assert max(pending) > 0
    assert all(
        output(before) <= output(reading) + tokens <= output(after)
        for reading, tokens in zip(during, pending, strict=True)
    )
    assert after.engines[0].model == "tiny-random"
    assert after.engines[0].epoch is not None
    assert after.notes == ()


def complete(url: str, tokens: int) -> None:
    body = json.dumps({"prompt": "a rack", "max_tokens": tokens}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def output(reading: Reading) -> float:
    return sum(one.value for one in reading.engines[0].counters if one.kind is TokenKind.OUTPUT)


async def test_good_page_after_a_hostile_one_reads_fine():
    async with PageServer({"/metrics": VLLM}) as server, source_of(server.url) as source:
        first = await source.collect(now(), None)
        server.answers["/metrics"] = Answer(VLLM.body.replace(b"3922.0", b"NaN"))
        with pytest.raises(SourceError):
            await source.collect(now(), None)
        server.answers["/metrics"] = Answer(VLLM.body.replace(b"3922.0", b"4000.0"))
        last = await source.collect(now(), None)

    assert (output(first), output(last)) == (3922.0, 4000.0)


async def test_model_of_a_label_is_printable_and_bounded():
    body = b'vllm:generation_tokens_total{model_name="a\x1b[31m\xc2\x9b' + b"x" * 1000 + b'"} 5\n'
    async with PageServer({"/metrics": Answer(body)}) as server:
        (engine,) = (await read(server.url)).engines

    assert engine.model.startswith("a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}x")
    assert len(engine.model) == 256
    assert engine.counters[0].model == engine.model


async def test_model_of_a_list_is_printable_and_bounded():
    models = Answer(json.dumps({"data": [{"id": "a\x1b\u202e" + "x" * 1000}]}).encode())
    async with PageServer({**LLAMACPP_SERVER, "/v1/models": models}) as server:
        (engine,) = (await read(server.url)).engines

    assert engine.model.startswith("a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}x")
    assert len(engine.model) == 256


async def test_T2_start_with_a_timestamp_stays_from_page_to_page():  # noqa: N802 - the rule's name
    body = b"vllm:generation_tokens_total 5\nprocess_start_time_seconds 1795304380.5 %d\n"
    async with PageServer({"/metrics": Answer(body % 1)}) as server, source_of(server.url) as source:
        first = (await source.collect(now(), None)).engines[0].epoch
        server.answers["/metrics"] = Answer(body % 2)
        second = (await source.collect(now(), None)).engines[0].epoch

    assert first == second == "start:1795304380.5"


async def test_T2_start_in_a_header_does_not_pass_for_unix_time():  # noqa: N802 - the rule's name
    page = Answer(LLAMACPP.body, headers={"Process-Start-Time-Unix": "start:x"})
    async with PageServer({**LLAMACPP_SERVER, "/metrics": page}) as server:
        (engine,) = (await read(server.url)).engines

    assert engine.epoch is None
