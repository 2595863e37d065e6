"""What the engines, pages and programs that other tests rely on do, stated as facts."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest
from fakes.engines.client import LoadClient
from fakes.engines.hostile import STATUSES, HostileServer, kinds
from fakes.engines.hostile_pages import BAD_SLOTS, PAGES
from fakes.engines.hostile_wire import FAULTS
from fakes.engines.llamacpp import LlamaCpp
from fakes.engines.timeline import PICOTOKENS, Era, Segment, Timeline, constant, idle, produced, ramp
from fakes.engines.tiny_gguf import tiny_gguf
from fakes.engines.truth import TruthEngine
from fakes.engines.vllm_page import CAPTURES, EngineNumbers, VllmPage, go_float
from fakes.processes import ProcessFailedError, Program, cpu_time, http_get, pss_bytes, rss_bytes, wait_http
from fakes.prometheus import MissingProgramError, Prometheus, found_program, promtool_check_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as families

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 1_000_000_000
GENERATION = "vllm:generation_tokens_total"


@pytest.fixture(scope="module")
def eight() -> Iterator[TruthEngine]:
    with TruthEngine(engines=8, output=constant(2000.0), base_tokens=10_000_000) as engine:
        yield engine


@pytest.fixture
def truth() -> Iterator[TruthEngine]:
    with TruthEngine(output=constant(5000.0)) as engine:
        yield engine


@pytest.fixture(scope="module")
def llamacpp() -> Iterator[LlamaCpp]:
    with LlamaCpp() as server:
        yield server


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


def samples(page: str, name: str) -> dict[str | None, float]:
    found = [sample for family in families(page) for sample in family.samples if sample.name == name]
    return {sample.labels.get("engine"): sample.value for sample in found}


def raw_read(
    address: str, *, at_most: int = 200_000_000, seconds: float = 1.0, path: str = "metrics"
) -> tuple[bytes, str]:
    """What a socket is given, and how it ended: closed, silent or left (we had enough)."""
    host, port, kind = address.removeprefix("http://").replace(":", "/").split("/")
    request = f"GET /{kind}/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(request.encode())
        ends = time.monotonic() + 10
        try:
            while len(received) < at_most and time.monotonic() < ends:
                piece = connection.recv(1 << 20)
                if not piece:
                    return bytes(received), "closed"
                received += piece
        except TimeoutError:
            return bytes(received), "silent"
    return bytes(received), "left"


# The arithmetic of truth


def test_a_constant_rate_makes_rate_times_time() -> None:
    assert produced(constant(2000.0), 3 * SECOND) == 6000 * PICOTOKENS


def test_a_ramp_makes_the_area_under_its_line() -> None:
    assert produced(ramp(0.0, 1000.0, 10.0), 10 * SECOND) == 5000 * PICOTOKENS
    assert produced(ramp(0.0, 1000.0, 10.0), 5 * SECOND) == 1250 * PICOTOKENS


def test_segments_follow_each_other_and_then_nothing_is_made() -> None:
    schedule = (*constant(100.0, 1.0), *idle(2.0), *ramp(100.0, 0.0, 2.0))

    made = [produced(schedule, tenths * SECOND // 10) // PICOTOKENS for tenths in (10, 25, 30, 40, 50, 900)]

    assert made == [100, 100, 100, 175, 200, 200]


def test_a_counter_is_the_floor_of_the_integral() -> None:
    timeline = Timeline((Era(0, 0, constant(4.0)),))

    assert [timeline.counter(eighths * SECOND // 8) for eighths in range(7)] == [0, 0, 1, 1, 2, 2, 3]


def test_a_new_schedule_goes_on_from_the_fraction_of_a_token_reached() -> None:
    timeline = Timeline((Era(0, 0, constant(1.0)),)).then(SECOND // 2, constant(2.0))

    assert timeline.tokens(SECOND * 3 // 4 - 1) == 0
    assert timeline.tokens(SECOND * 3 // 4) == 1


def test_a_reset_counts_from_zero_while_production_goes_on() -> None:
    timeline = Timeline((Era(0, 0, constant(10.0)),)).reset(5 * SECOND)

    assert (timeline.counter(5 * SECOND - 1), timeline.counter(5 * SECOND), timeline.counter(7 * SECOND)) == (
        49,
        0,
        20,
    )
    assert timeline.tokens(7 * SECOND) == 70


def test_a_timeline_survives_json() -> None:
    timeline = Timeline((Era(7, 5, (Segment(1.5, 0.25, 3.0), Segment(None, 1.0, 1.0))),), (9,))

    assert Timeline.from_json(timeline.to_json()) == timeline


# The page of truth


def test_numbers_look_as_vllm_prints_them() -> None:
    assert [go_float(value) for value in (0, 3922, 999999, 1234567, 0.0625, 1.7953043782462482e9)] == [
        "0.0", "3922.0", "999999.0", "1.234567e+06", "0.0625", "1.7953043782462482e+09",
    ]  # fmt: skip


def test_a_page_has_the_families_of_the_recorded_one_in_its_order() -> None:
    numbers = {0: EngineNumbers(1000, 2000, 500, 16, 0, 0.1)}
    recorded = (CAPTURES / "vllm-0.32.0-after.prom").read_text().splitlines()
    made = VllmPage((0,), "tiny").render(numbers, 1.0, 1.0).splitlines()

    assert [line for line in made if line[0] == "#"] == [line for line in recorded if line[0] == "#"]


def test_a_page_has_every_series_of_the_recorded_one() -> None:
    numbers = {0: EngineNumbers(1000, 2000, 500, 16, 0, 0.1)}
    recorded = (CAPTURES / "vllm-0.32.0-after.prom").read_text().splitlines()
    made = VllmPage((0,), "tiny").render(numbers, 1.0, 1.0).splitlines()

    added = {line.rpartition(" ")[0] for line in made} - {line.rpartition(" ")[0] for line in recorded}
    lost = {line.rpartition(" ")[0] for line in recorded} - {line.rpartition(" ")[0] for line in made}

    assert lost == set()
    assert len(added) == 25
    assert all("_tokens_bucket{" in series and 'le="' in series for series in added)


def test_every_engine_has_the_same_series() -> None:
    numbers = {engine: EngineNumbers(1000, 2000, 500, 16, 0, 0.1) for engine in (0, 7)}
    made = VllmPage((0, 7), "tiny").render(numbers, 1.0, 1.0).splitlines()
    of = {e: [line.replace(f'engine="{e}"', "") for line in made if f'engine="{e}"' in line] for e in (0, 7)}

    assert of[0] == of[7]
    assert len(of[0]) > 350


def test_histograms_are_cumulative_and_end_in_their_count() -> None:
    numbers = {0: EngineNumbers(123_457, 200_000, 500, 16, 0, 0.1)}
    page = VllmPage((0,), "tiny").render(numbers, 1.0, 1.0)
    found = [family for family in families(page) if family.type == "histogram"]

    for family in found:
        buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
        count = next(sample.value for sample in family.samples if sample.name.endswith("_count"))
        assert buckets == sorted(buckets), family.name
        assert buckets[-1] == count, family.name
    assert len(found) == 18


def test_eight_engines_render_in_3_milliseconds() -> None:
    page = VllmPage(tuple(range(8)), "mistralai/Mistral-7B-v0.3")
    numbers = {engine: EngineNumbers(12_345_678, 24_000_000, 500, 16, 0, 0.1) for engine in range(8)}
    spent = []
    for _ in range(20):
        start = time.perf_counter()
        page.render(numbers, 1.7953e9, 1.7953e9).encode()
        spent.append(time.perf_counter() - start)

    assert min(spent) < 0.003


# The truth engine


def test_one_engine_is_a_page_of_about_60_kilobytes(truth: TruthEngine) -> None:
    size = len(truth.page())
    print("one engine:", size, "bytes")

    assert 57_000 < size < 64_000


def test_eight_engines_are_a_page_of_about_366_kilobytes(eight: TruthEngine) -> None:
    size = len(eight.page())
    print("eight engines:", size, "bytes")

    assert 350_000 < size < 380_000


def test_the_page_is_the_truth_of_the_moment_it_was_read(eight: TruthEngine) -> None:
    page = eight.page()
    scrape = eight.scrapes()[-1]
    timelines = eight.timelines()

    assert samples(page, GENERATION) == {str(e): timelines[e].counter(scrape.read_ns) for e in range(8)}
    assert sum(samples(page, GENERATION).values()) == eight.truth(scrape.read_ns).output_counter
    assert (
        sum(samples(page, "vllm:prompt_tokens_total").values()) == eight.truth(scrape.read_ns).prompt_counter
    )


def test_prompt_tokens_by_source_add_up_to_prompt_tokens(truth: TruthEngine) -> None:
    page = truth.page()
    sources = [
        sample.value
        for family in families(page)
        for sample in family.samples
        if sample.name == "vllm:prompt_tokens_by_source_total"
    ]

    assert sum(sources) == samples(page, "vllm:prompt_tokens_total")["0"]
    assert samples(page, "vllm:prompt_tokens_cached_total")["0"] == sources[1]


def test_the_process_start_is_the_server_process_s_own() -> None:
    before = time.time()
    with TruthEngine() as engine:
        start = samples(engine.page(), "process_start_time_seconds")[None]
        assert start == pytest.approx(engine.truth().process_start_seconds, abs=0.006)

    assert before - 1.1 < start < time.time() + 1.1


def test_truth_can_be_reckoned_ahead_in_another_process(truth: TruthEngine) -> None:
    later = time.monotonic_ns() + 3600 * SECOND

    assert truth.timelines()[0].tokens(later) == truth.truth(later).output_tokens
    assert truth.timelines("prompt")[0].tokens(later) == truth.truth(later).prompt_tokens


def test_a_new_schedule_holds_from_the_moment_it_is_answered(truth: TruthEngine) -> None:
    began = truth.schedule(idle())
    first, second = truth.truth().output_tokens, truth.truth(began + 60 * SECOND).output_tokens

    assert first == second == truth.truth(began).output_tokens
    assert samples(truth.page(), GENERATION)["0"] == first
    assert samples(truth.page(), "vllm:num_requests_running")["0"] == 0


def test_one_engine_can_be_given_its_own_schedule() -> None:
    with TruthEngine(engines=2) as engine:
        began = engine.schedule(constant(7.0), engine=1)

        made = [
            engine.truth(began + 10 * SECOND, e).output_tokens - engine.truth(began, e).output_tokens
            for e in (0, 1)
        ]
        assert made[0] == 10_000
        assert made[1] in {70, 71}


def test_a_delay_before_passes_before_the_counters_are_read(truth: TruthEngine) -> None:
    truth.delay(before_ms=(80.0, 120.0))
    page = truth.page()
    scrape = truth.scrapes()[-1]

    assert 0.080 <= (scrape.read_ns - scrape.arrived_ns) / SECOND < 0.25
    assert samples(page, GENERATION)["0"] == truth.truth(scrape.read_ns).output_counter
    assert truth.truth(scrape.read_ns).output_counter - truth.truth(scrape.arrived_ns).output_counter >= 400


def test_a_delay_after_passes_between_the_reading_and_the_first_byte(truth: TruthEngine) -> None:
    truth.delay(after_ms=(80.0, 120.0))
    page = truth.page()
    scrape = truth.scrapes()[-1]

    assert (scrape.read_ns - scrape.arrived_ns) / SECOND < 0.05
    assert 0.080 <= (scrape.sent_ns - scrape.read_ns) / SECOND < 0.25
    assert samples(page, GENERATION)["0"] == truth.truth(scrape.read_ns).output_counter


def test_a_dripping_page_takes_its_time_and_arrives_whole(truth: TruthEngine) -> None:
    truth.drip(piece_bytes=20_000, pause_ms=50.0)
    start = time.monotonic()
    page = truth.page()

    assert time.monotonic() - start > 0.15
    assert samples(page, GENERATION)["0"] == truth.scrapes()[-1].output_counter


def test_a_reset_with_a_new_start_time_looks_like_a_restart(truth: TruthEngine) -> None:
    before = samples(truth.page(), "process_start_time_seconds")[None]
    time.sleep(0.3)
    moment = truth.reset(new_start_time=True)
    page, scrape = truth.page(), truth.scrapes()[-1]

    assert samples(page, "process_start_time_seconds")[None] > before
    assert samples(page, "vllm:generation_tokens_created")["0"] > before
    assert abs(samples(page, GENERATION)["0"] - (scrape.read_ns - moment) * 5000 / SECOND) <= 1
    assert truth.truth(scrape.read_ns).output_tokens > truth.truth(scrape.read_ns).output_counter + 1000


def test_a_reset_can_leave_the_start_time_as_it_was(truth: TruthEngine) -> None:
    before = truth.page()
    time.sleep(0.3)
    truth.reset(new_start_time=False, new_created=False)
    after = truth.page()

    for still in ("process_start_time_seconds", "vllm:generation_tokens_created"):
        assert samples(after, still) == samples(before, still)
    assert samples(after, GENERATION)["0"] < 1000


def test_an_engine_vanishes_and_returns_and_counts_on_meanwhile() -> None:
    with TruthEngine(engines=3) as engine:
        engine.vanish(1)
        gone = samples(engine.page(), GENERATION)
        engine.vanish()
        back = samples(engine.page(), GENERATION)

        assert set(gone) == {"0", "2"}
        assert set(back) == {"0", "1", "2"}
        assert back["1"] == back["0"]


def test_a_multiprocess_page_has_no_process_and_no_created_series(truth: TruthEngine) -> None:
    truth.multiprocess()
    page = truth.page()

    assert samples(page, GENERATION)["0"] == truth.scrapes()[-1].output_counter
    assert not [
        line for line in page.splitlines() if "_created" in line or line.startswith(("process_", "python_"))
    ]


def test_the_page_can_be_refused_and_withheld(truth: TruthEngine) -> None:
    truth.answer(503)
    assert http_get(f"{truth.url}/metrics")[0] == 503

    truth.answer(200)
    truth.hang()
    with pytest.raises(TimeoutError):
        http_get(f"{truth.url}/metrics", timeout_seconds=0.3)

    truth.hang(hanging=False)
    assert truth.page()


def test_a_real_restart_has_a_new_process_the_same_address_and_counters_at_zero(truth: TruthEngine) -> None:
    url, before = truth.url, truth.truth()
    truth.restart()
    after = truth.truth()

    assert truth.url == url
    assert after.process_start_seconds > before.process_start_seconds
    assert after.output_tokens < 5000


# llama.cpp


def test_the_tiny_model_is_made_once() -> None:
    assert tiny_gguf() == tiny_gguf()
    assert tiny_gguf().stat().st_size < 500_000


def test_llamacpp_counts_what_its_clients_were_given_to_the_token(llamacpp: LlamaCpp) -> None:
    counters = ("tokens_predicted_total", "prompt_tokens_total", "prompt_tokens_cached_total")
    before = [llamacpp.counter(name) for name in counters]
    result = asyncio.run(LoadClient(llamacpp.url, llamacpp.alias).run(40, 8, 60))
    output, prompt, cached = (
        llamacpp.counter(name) - was for name, was in zip(counters, before, strict=True)
    )

    assert (result.requests, result.errors) == (40, ())
    assert output == result.output_tokens > 500
    assert prompt + cached == result.prompt_tokens
    assert cached == result.cached_tokens


def test_metrics_then_slots_never_counts_a_token_twice(llamacpp: LlamaCpp) -> None:
    async def watch() -> tuple[list[tuple[int, int, int]], int]:
        load = asyncio.create_task(LoadClient(llamacpp.url, llamacpp.alias, seed=2).run(100, 4, 80))
        rounds = []
        while not load.done():
            rounds.append(await asyncio.to_thread(one_round))
        await load
        return rounds, int(llamacpp.counter("tokens_predicted_total"))

    def one_round() -> tuple[int, int, int]:
        first = int(llamacpp.counter("tokens_predicted_total"))
        flying = llamacpp.tokens_in_flight()
        return first, flying, int(llamacpp.counter("tokens_predicted_total"))

    rounds, final = asyncio.run(watch())
    highest = final
    for first, flying, second in reversed(rounds):
        assert first + flying <= highest
        if first == second:
            highest = first + flying
    assert sum(flying > 0 for _, flying, _ in rounds) > 10


def test_llamacpp_counts_cancelled_streams_in_full(llamacpp: LlamaCpp) -> None:
    before = llamacpp.counter("tokens_predicted_total")
    client = LoadClient(llamacpp.url, llamacpp.alias, cancel_share=0.5, vary=False)
    result = asyncio.run(client.run(10, 2, 400))
    while llamacpp.counter("requests_processing"):
        time.sleep(0.01)

    assert result.cancelled > 0
    assert (
        llamacpp.counter("tokens_predicted_total") - before >= result.output_tokens + result.cancelled_chunks
    )


def test_llamacpp_restarts_on_its_port_with_counters_at_zero() -> None:
    with LlamaCpp(slots=2) as server:
        asyncio.run(LoadClient(server.url, server.alias).run(2, 1, 10))
        url, before = server.url, server.counter("tokens_predicted_total")
        server.restart()

        assert before > 0
        assert (server.url, server.counter("tokens_predicted_total")) == (url, 0)


def test_llamacpp_guards_its_page_with_the_key() -> None:
    with LlamaCpp(api_key="sesame") as server:
        statuses = [http_get(server.url + path)[0] for path in ("/metrics", "/slots", "/props", "/health")]

        assert statuses == [401, 401, 401, 200]
        assert server.counter("requests_processing") == 0
        assert server.tokens_in_flight() == 0


# The hostile server


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_pages_arrive_as_they_are(hostile: HostileServer, kind: str) -> None:
    reads = hostile.visits(kind).requests
    received, _ = raw_read(hostile.address(kind))
    head, _, body = received.partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert PAGES[kind].content_type.encode() in head
    assert body == PAGES[kind].body(reads)


@pytest.mark.parametrize("kind", BAD_SLOTS)
def test_hostile_slots_come_with_a_good_page(hostile: HostileServer, kind: str) -> None:
    page = raw_read(hostile.address(kind))[0]
    slots = raw_read(hostile.address(kind), path="slots", seconds=10.0)[0]  # one takes a second to make

    assert b"llamacpp:tokens_predicted_total 100\n" in page
    assert slots.partition(b"\r\n\r\n")[2] == BAD_SLOTS[kind].body(1)


@pytest.mark.parametrize("status", STATUSES)
def test_hostile_statuses(hostile: HostileServer, status: int) -> None:
    assert raw_read(hostile.address(f"status-{status}"))[0].startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("kind", "least_bytes", "end"),
    [
        ("endless", 150_000_000, "left"),
        ("endless-line", 150_000_000, "left"),
        ("endless-chunks", 150_000_000, "left"),
        ("hundred-megabytes", 100_000_000, "closed"),
        ("gzip-bomb", 10_000_000, "closed"),
        ("redirect-self", 100, "closed"),
        ("redirect-away", 100, "closed"),
        ("truncated-chunked", 400, "closed"),
        ("bad-chunk-size", 400, "closed"),
        ("long-length", 400, "closed"),
        ("short-length", 400, "closed"),
        ("two-lengths", 400, "closed"),
        ("closes", 0, "closed"),
        ("silent", 0, "silent"),
        ("silent-body", 80, "silent"),
        ("http09", 300, "closed"),
        ("huge-headers", 4_000_000, "closed"),
        ("many-headers", 200_000, "closed"),
        ("million-lines", 15_000_000, "closed"),
        ("million-series", 65_000_000, "closed"),
    ],
)
def test_hostile_faults(hostile: HostileServer, kind: str, least_bytes: int, end: str) -> None:
    received, ended = raw_read(hostile.address(kind), at_most=150_000_000, seconds=0.5)

    assert (len(received) >= least_bytes, ended) == (True, end)


@pytest.mark.parametrize(("kind", "at_once"), [("drip", b"\r\n\r\n"), ("header-drip", b"200 OK\r\n")])
def test_hostile_drips_ten_bytes_a_second(hostile: HostileServer, kind: str, at_once: bytes) -> None:
    quick = raw_read(hostile.address(kind), at_most=1, seconds=0.3)[0]
    start = time.monotonic()
    raw_read(hostile.address(kind), at_most=quick.index(at_once) + len(at_once) + 6)

    assert 0.45 < time.monotonic() - start < 1.5


def test_every_hostile_kind_is_tested_and_told() -> None:
    assert set(kinds()) == {*PAGES, *BAD_SLOTS, *FAULTS, *(f"status-{code}" for code in STATUSES)}
    assert all(kinds().values())


def test_a_gzip_bomb_inflates_to_gigabytes_from_megabytes(hostile: HostileServer) -> None:
    import zlib  # noqa: PLC0415

    received, _ = raw_read(hostile.address("gzip-bomb"))
    head, _, body = received.partition(b"\r\n\r\n")
    inflated = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(body, 64 << 20)

    assert b"Content-Encoding: gzip" in head
    assert len(body) < 20_000_000
    assert len(inflated) == 64 << 20
    assert inflated.startswith(b"# nothing to see here")


def test_the_openmetrics_page_is_valid_openmetrics() -> None:
    found = list(openmetrics_families(PAGES["openmetrics"].body(0).decode()))

    assert [(family.name, family.type) for family in found] == [
        ("vllm:generation_tokens", "counter"),
        ("vllm:time_to_first_token_seconds", "histogram"),
        ("vllm:num_requests_running", "gauge"),
    ]
    assert found[0].samples[0].value == 4593.0
    assert found[0].samples[0].exemplar.labels == {"trace_id": "a b"}


def test_the_hostile_server_tells_what_was_taken_and_who_gave_up(hostile: HostileServer) -> None:
    raw_read(hostile.address("silent"), seconds=0.2)
    deadline = time.monotonic() + 2
    while hostile.visits("silent").open and time.monotonic() < deadline:
        time.sleep(0.02)
    visits = hostile.visits("silent")

    assert visits.requests >= 1
    assert (visits.sent_bytes, visits.open) == (0, 0)
    assert visits.headers["connection"] == "close"
    assert hostile.visits("landed").requests == 0


# Prometheus


@pytest.fixture(scope="module")
def prometheus(eight: TruthEngine, hostile: HostileServer) -> Iterator[Prometheus]:
    host = f"127.0.0.1:{hostile.port}"
    hostile_pages = {kind: [f"{host}/{kind}/metrics"] for kind in PAGES if kind != "long-line"}
    with Prometheus({"vllm": [f"127.0.0.1:{eight.port}"], **hostile_pages}) as server:
        server.wait_for("count(up)", lambda rows: bool(rows) and rows[0]["value"][1] == str(len(PAGES)))
        yield server


def test_prometheus_scrapes_the_truth(prometheus: Prometheus, eight: TruthEngine) -> None:
    at = float(prometheus.wait_for(f'timestamp(sum({GENERATION}{{job="vllm"}}))')[0]["value"][0])
    total = prometheus.value(f'sum({GENERATION}{{job="vllm"}})', at)

    assert total in {scrape.output_counter for scrape in eight.scrapes()}
    assert prometheus.value("no_such_series") is None
    assert prometheus.query_range('up{job="vllm"}', at - 1, at, 1)[0]["metric"]["job"] == "vllm"


def test_prometheus_takes_the_good_pages_and_refuses_these(prometheus: Prometheus) -> None:
    up = {row["metric"]["job"]: row["value"][1] for row in prometheus.query("up")}

    assert {kind for kind, value in up.items() if value == "0"} == {
        "crlf",
        "html",
        "invalid-utf8",
        "no-value",
        "not-a-number",
        "overflow",
        "underscores",
        "unterminated-labels",
        "unterminated-quote",
        "utf16",
    }


def test_promtool_reads_the_truth_page_and_refuses_a_broken_one(eight: TruthEngine) -> None:
    assert promtool_check_metrics(eight.page())[0] in {0, 3}
    assert promtool_check_metrics("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n") == (0, "")
    assert promtool_check_metrics("a{ 1\n")[0] == 1


def test_a_missing_prometheus_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(MissingProgramError, match="apt-get install -y --no-install-recommends prometheus"):
        found_program("prometheus")


# Processes


def test_processor_time_and_memory_of_a_process_are_read() -> None:
    burner = Program([sys.executable, "-c", "x = bytearray(50_000_000)\nwhile True: pass"])
    with burner:
        time.sleep(0.5)
        used, resident = cpu_time(burner.pid), rss_bytes(burner.pid)

        assert used.run_seconds > 0.1
        assert used.stat_seconds == pytest.approx(used.run_seconds, abs=0.1)
        assert resident >= pss_bytes(burner.pid) > 40_000_000


def test_a_program_that_ends_early_is_reported_with_its_last_words() -> None:
    program = Program([sys.executable, "-c", "raise SystemExit('no cable')"])
    with program, pytest.raises(ProcessFailedError, match="no cable"):
        wait_http("http://127.0.0.1:9/", program)


def test_a_program_deaf_to_sigterm_is_killed() -> None:
    code = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"
    program = Program([sys.executable, "-c", code]).start()
    while "up" not in program.tail():
        time.sleep(0.01)

    assert program.stop(grace_seconds=0.2) == -9


def test_a_frozen_program_answers_again_when_thawed(truth: TruthEngine) -> None:
    truth.program.freeze()
    with pytest.raises(TimeoutError):
        http_get(f"{truth.url}/health", timeout_seconds=0.2)
    truth.program.thaw()

    assert http_get(f"{truth.url}/health")[0] == 200
