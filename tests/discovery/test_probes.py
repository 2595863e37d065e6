"""How often a socket is asked, and for what."""

import pytest
from fakes.page_server import Answer, PageServer

from agent import plugins
from agent.discovery.command import Parallelism
from agent.discovery.probes import PATIENT_WAITS, Probe, Prober, Verdict, paths_of
from agent.discovery.proc import Process
from agent.discovery.processes import Family, Listener
from agent.measure.engine_table import EngineTable
from agent.wire.http import HttpClient

PAGE = Answer(b"vllm:generation_tokens_total 1\n")


def table(engine, path, **fields):
    return EngineTable(engine, (f"{engine}:",), path, 8000, None, f"mend {engine}", {}, **fields)


TABLES = (table("nim", "/v1/metrics"), table("trt", "/prometheus/metrics"), table("vllm", "/metrics"))


def listener(port=8000, pid=10, *, named=True):
    return Listener(pid, 1, "127.0.0.1", port, 50, named, ("GPU-a",), Parallelism(), ())


def family(*listeners, argv=("python3",)):
    head = Process(10, 1, 7, 1, "python3", 0, argv, "")
    return Family(head, (head,), ("GPU-a",), listeners)


def test_the_page_that_may_hurt_is_asked_last():
    assert paths_of(TABLES, [], destructive=False) == ("/prometheus/metrics", "/v1/metrics", "/metrics")


def test_the_likely_engine_is_asked_as_itself_first():
    assert paths_of(TABLES, [TABLES[2]], destructive=False) == (
        "/metrics",
        "/prometheus/metrics",
        "/v1/metrics",
    )


def test_where_reading_destroys_the_page_is_not_asked():
    assert paths_of(TABLES, [TABLES[2]], destructive=True) == ("/prometheus/metrics", "/v1/metrics")


def test_waits_for_a_model_that_loads_add_up_to_41_minutes_and_end():
    probe = Probe(listener(), ("/metrics",), patient=True)
    now, rounds = 0.0, 0
    while probe.verdict is Verdict.OPEN:
        now = probe.due_seconds
        probe.give(None, now)
        rounds += 1

    assert (rounds, now, len(PATIENT_WAITS)) == (21, 2460.0, 20)


def test_an_unnamed_socket_is_given_up_after_three_rounds():
    probe = Probe(listener(named=False), ("/metrics",), patient=False)
    for _ in range(3):
        assert probe.verdict is Verdict.OPEN
        probe.give(None, 0.0)

    assert probe.verdict is Verdict.SILENT


@pytest.mark.parametrize("verdict", [Verdict.GUARDED, Verdict.SILENT, Verdict.ENGINE])
def test_some_answers_are_final(verdict):
    probe = Probe(listener(), ("/metrics",), patient=True)
    probe.give(verdict, 0.0)

    assert probe.verdict is verdict


async def test_the_page_that_reading_empties_is_not_asked_where_the_server_says_whose_its_models_are():
    trt = table("trt", "/prometheus/metrics", destructive_path="/metrics", owner="tensorrt_llm")
    models = Answer(b'{"data":[{"id":"m","owned_by":"tensorrt_llm"}]}')
    async with PageServer({"/v1/models": models, "/metrics": Answer(b"[]")}) as server:
        prober = Prober(HttpClient(), (trt, TABLES[2]))
        prober.expect([family(listener(int(server.url.rpartition(":")[2])))], [])
        for second in (0.0, 10.0, 30.0):
            await prober.advance(second)

        assert {request.path for request in server.requests} == {"/prometheus/metrics", "/v1/models"}
    assert prober.probes[0].verdict is Verdict.PAGELESS
    assert prober.probes[0].remedy == "mend trt"


TGI = ("text-generation-router", "--port", "80")


@pytest.mark.parametrize(
    ("argv", "named", "body", "engine"),
    [
        (TGI, True, b"", "tgi"),
        (TGI, True, b"\n", "tgi"),
        (TGI, False, b"", ""),  # another socket of its family
        (("python3", "server.py"), True, b"", ""),  # nothing says whose it is
        (TGI, True, b"a 1\n", ""),  # not empty, and of nobody we know
        (("python3", "trtllm-serve"), True, b"", ""),  # its empty page may be that of two versions
    ],
)
async def test_T25_an_empty_page_is_of_the_engine_that_the_command_line_names(argv, named, body, engine):  # noqa: N802 - the rule's name
    async with PageServer({"/metrics": Answer(body), "/prometheus/metrics": Answer(body)}) as server:
        prober = Prober(HttpClient(), plugins.engine_tables())
        port = int(server.url.rpartition(":")[2])
        prober.expect([family(listener(port, named=named), argv=argv)], [])
        await prober.advance(0.0)

    assert prober.probes[0].engine == engine
    assert (prober.probes[0].verdict is Verdict.ENGINE) is bool(engine)


async def test_a_redirect_is_not_followed():
    moved = Answer(status="302 Found", headers={"Location": "http://127.0.0.1:9/"})
    async with PageServer({"/metrics": moved}) as server:
        prober = Prober(HttpClient(), TABLES[2:])
        prober.expect([family(listener(int(server.url.rpartition(":")[2])))], [])
        await prober.advance(0.0)

        assert [request.path for request in server.requests] == ["/metrics"]
    assert prober.probes[0].engine == ""


async def test_a_second_page_of_one_process_is_not_counted_again():
    async with PageServer({"/metrics": PAGE}) as one, PageServer({"/metrics": PAGE}) as two:
        prober = Prober(HttpClient(), TABLES)
        prober.expect([family(*(listener(int(server.url.rpartition(":")[2])) for server in (one, two)))], [])
        await prober.advance(0.0)

    assert sorted(probe.verdict for probe in prober.probes) == ["engine", "second"]


async def test_a_socket_that_is_gone_and_comes_back_is_another():
    prober = Prober(HttpClient(), TABLES)
    prober.expect([family(listener())], [])
    (first,) = prober.probes
    prober.expect([family(listener())], [])
    same = prober.probes[0] is first
    prober.expect([], [])
    gone = prober.probes
    prober.expect([family(listener(pid=11))], [])

    assert (same, gone, prober.probes[0] is first) == (True, (), False)


async def test_what_cannot_be_read_at_all_is_named_and_not_asked():
    ollama = table("ollama", "", unsupported="ollama has no metrics")
    prober = Prober(HttpClient(), (*TABLES, ollama))
    prober.expect([family(listener(), argv=("/usr/bin/ollama", "runner"))], [])
    await prober.advance(0.0)
    (probe,) = prober.probes

    assert (probe.verdict, probe.unsupported, probe.asked) == (Verdict.PAGELESS, "ollama has no metrics", 0)


def test_every_engine_of_the_house_can_be_asked_for():
    assert "/metrics" in paths_of(plugins.engine_tables(), [], destructive=False)
