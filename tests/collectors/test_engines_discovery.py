"""Engines found by real processes and sockets, and sockets that must not be touched."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import time

import pytest
from fakes.gpu_holders import seen
from fakes.gpu_process import PAGE, GpuProcess
from fakes.netns import available
from fakes.page_server import Answer, PageServer
from fakes.proc_tree import ProcTree

from agent.collectors._engines import process_source
from agent.collectors._engines.settings import TargetsFrom
from agent.collectors.engines import Settings, Target, build, examine
from agent.discovery import probes
from agent.discovery.kubernetes import KubernetesSd
from agent.discovery.proc import Proc
from agent.measure.gpu import GpuProcess as HeldBy
from agent.measure.owner import GpuOwner
from agent.measure.reading import Moment, Outcome, Reason, SourceError
from agent.wire.discovery_settings import FileSd, HttpSd


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look at every tick, and ask again soon."""
    monkeypatch.setattr(process_source, "GLANCE_SECONDS", 0.0)
    monkeypatch.setattr(probes, "PATIENT_WAITS", (0.02,) * 6)
    monkeypatch.setattr(probes, "BRIEF_WAITS", (0.02, 0.02))


class Bench:
    """The collector, and the snapshot that it sees."""

    def __init__(self, **settings):
        self.collector = build(Settings(**{"discover": True, **settings}))
        self.snapshot = None
        self.notes = ()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.collector.close()

    @property
    def engines(self):
        found = self.collector.sources(None)
        return {s.name.removeprefix("engines/"): s for s in found if s.name.startswith("engines/")}

    async def tick(self, times=1):
        """Let the source that finds engines look; return its last reading."""
        for _ in range(times):
            now = Moment(time.monotonic(), time.time())
            reading = await self.collector.processes.collect(now, self.snapshot)
            await asyncio.sleep(0.03)
        self.notes = reading.notes
        return reading

    async def until_decided(self):
        """Tick until every socket was judged; well after that nobody may be asked any more."""
        await self.tick(4)
        while self.collector.processes.undecided:
            await self.tick()
        await self.tick(4)

    async def read(self, instance):
        return (
            await self.engines[instance].collect(Moment(time.monotonic(), time.time()), self.snapshot)
        ).engines[0]


async def test_an_engine_is_found_by_the_process_that_holds_a_gpu(tmp_path):
    with GpuProcess(tmp_path) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,), ())
            await bench.tick()
            reading = await bench.read(f"127.0.0.1:{engine.port}")

    assert (reading.engine, reading.model, reading.gpus) == ("vllm", "tiny", ("GPU-0",))


async def test_an_engine_is_found_when_a_child_holds_the_gpus(tmp_path):
    """As vLLM's EngineCore does."""
    with GpuProcess(tmp_path, child=True) as engine:
        assert engine.holder != engine.pid
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,), (engine.holder,))
            await bench.tick()
            reading = await bench.read(f"127.0.0.1:{engine.port}")

    assert reading.gpus == ("GPU-0", "GPU-1")


@pytest.mark.parametrize(("host", "place"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")])
async def test_a_socket_on_every_address_is_asked_on_loopback(tmp_path, host, place):
    with GpuProcess(tmp_path, host=host) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()

            assert list(bench.engines) == [f"{place}:{engine.port}"]


async def test_a_bystander_is_not_touched(tmp_path):
    """Neither a stranger's socket nor one of our own process gets a byte."""
    with GpuProcess(tmp_path) as stranger, GpuProcess(tmp_path) as engine, socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own_port = own.getsockname()[1]
        own.listen()
        own.settimeout(0.01)
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder, os.getpid()))
            await bench.until_decided()

            found = set(bench.engines)  # those of tests beside this one may be of our session, and be found
        with pytest.raises(TimeoutError):
            own.accept()

    assert f"127.0.0.1:{engine.port}" in found
    assert found.isdisjoint({f"127.0.0.1:{stranger.port}", f"127.0.0.1:{own_port}"})

    assert stranger.received == b""


async def test_only_known_paths_are_asked_with_get(tmp_path):
    with GpuProcess(tmp_path, "pageless") as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()
            paths = {table.path for table in bench.collector._tables if table.path} | {"/v1/models"}
            allowed = {f"GET {path} HTTP/1.1" for path in paths}

    assert set(engine.asked) == allowed
    assert len(engine.asked) == 3 * len(allowed)


@pytest.mark.parametrize("mode", ["guarded", "forbidden"])
async def test_who_refuses_is_asked_once_and_a_note_says_what_to_do(tmp_path, mode):
    with GpuProcess(tmp_path, mode) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()

            assert bench.engines == {}
            where = f"process {engine.pid} on 127.0.0.1:{engine.port}"
            assert bench.notes == (f"{where} guards its page; name it under targets, with authorization",)
    assert len(engine.asked) == 1


@pytest.mark.parametrize("mode", ["echo", "silent"])
async def test_what_speaks_no_http_is_asked_once(tmp_path, mode):
    with GpuProcess(tmp_path, mode, named=False) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()

            assert bench.engines == {}
    assert len(engine.asked) == 1


async def test_an_engine_that_loads_is_found_when_it_answers(tmp_path):
    with GpuProcess(tmp_path, "loading") as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick(3)
            before = dict(bench.engines)
            engine.become("engine")
            await bench.tick(2)

            assert (before, list(bench.engines)) == ({}, [f"127.0.0.1:{engine.port}"])


async def test_a_fresh_tgi_is_found_though_its_page_is_empty_until_the_first_request(tmp_path):
    called = ("bash", "-c", 'exec -a text-generation-router "$@"', "x")
    with GpuProcess(tmp_path, "empty", prefix=called) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick(2)
            reading = await bench.read(f"127.0.0.1:{engine.port}")

    assert (reading.engine, reading.counters, reading.gpus) == ("tgi", (), ("GPU-0",))


async def test_one_that_never_is_ready_is_asked_a_bounded_number_of_times(tmp_path):
    with GpuProcess(tmp_path, "loading") as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()

    assert len(engine.asked) == 7


async def test_an_engine_that_restarts_on_another_port_stays_the_same_instance(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, name="e") as engine:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()
            (name,) = bench.engines
        await bench.tick()
        gone = list(bench.engines)
        with GpuProcess(tmp_path, name="e") as again:
            bench.snapshot = seen((again.holder,))
            await bench.tick(2)
            reading = await bench.read(name)

            assert again.port != engine.port
            assert (gone, list(bench.engines), reading.instance) == ([name], [name], name)


async def test_an_engine_keeps_its_name_over_a_restart_of_rackwatt(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, name="e") as engine:
            bench.snapshot = seen((engine.holder,))
            kept = (await bench.tick()).found
            name = f"127.0.0.1:{engine.port}"
    with GpuProcess(tmp_path, name="e") as again:
        async with Bench() as bench:
            bench.snapshot = dataclasses.replace(seen((again.holder,)), found=kept)
            told = (await bench.tick()).found

            assert again.port != engine.port
            assert (list(bench.engines), told) == ([name], kept)


async def test_another_engine_does_not_get_the_name_of_one_before_the_restart(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, name="e") as engine:
            bench.snapshot = seen((engine.holder,))
            kept = (await bench.tick()).found
    with GpuProcess(tmp_path, "engine", "--max-num-seqs", "8", name="e") as other:
        async with Bench() as bench:
            bench.snapshot = dataclasses.replace(seen((other.holder,)), found=kept)
            told = (await bench.tick()).found

            assert list(bench.engines) == [f"127.0.0.1:{other.port}"]
            assert told.items() > kept.items()  # it may come back yet


async def test_of_two_engines_that_look_the_same_after_a_restart_none_gets_the_name(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, name="e") as engine:
            bench.snapshot = seen((engine.holder,))
            kept = (await bench.tick()).found
    with GpuProcess(tmp_path, name="e") as one, GpuProcess(tmp_path, name="e") as two:
        async with Bench() as bench:
            bench.snapshot = dataclasses.replace(seen((one.pid, two.pid)), found=kept)
            await bench.tick()

            assert set(bench.engines) == {f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"}


async def test_what_is_kept_of_an_engine_does_not_tell_its_command_line(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, "engine", "--api-key", "hush") as engine:
            bench.snapshot = seen((engine.holder,))
            (mark,) = (await bench.tick()).found.values()

    assert len(mark) == 32
    assert "hush" not in mark


async def test_an_engine_with_another_command_line_is_another_instance(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path, name="e") as engine:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()
        await bench.tick()
        with GpuProcess(tmp_path, "engine", "--max-num-seqs", "8", name="e") as other:
            bench.snapshot = seen((other.holder,))
            await bench.tick(2)

            assert list(bench.engines) == [f"127.0.0.1:{engine.port}", f"127.0.0.1:{other.port}"]


async def test_who_takes_the_port_of_an_engine_that_has_ended_is_not_touched(tmp_path):
    async with Bench() as bench:
        with GpuProcess(tmp_path) as engine:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()
        with GpuProcess(tmp_path, port=engine.port, name="stranger") as stranger:
            with pytest.raises(SourceError, match="has ended") as refused:
                await bench.read(f"127.0.0.1:{engine.port}")
            await bench.tick(3)

            assert refused.value.reason is Reason.UNREACHABLE
            assert list(bench.engines) == [f"127.0.0.1:{engine.port}"]
    assert stranger.received == b""


async def test_a_configured_target_is_read_once_and_learns_its_gpus(tmp_path):
    with GpuProcess(tmp_path) as engine:
        target = Target(url=f"http://localhost:{engine.port}", model="llama")
        async with Bench(targets=(target,)) as bench:
            bench.snapshot = seen((), (engine.holder,))
            await bench.until_decided()
            asked = engine.asked
            name = f"localhost:{engine.port}"
            reading = await bench.read(name)

            assert (asked, list(bench.engines)) == ([], [name])
            assert (reading.model, reading.gpus) == ("llama", ("GPU-1",))


async def test_a_target_says_its_gpus_by_number(tmp_path):
    with GpuProcess(tmp_path) as engine:
        target = Target(url=f"http://127.0.0.1:{engine.port}", gpus=(0, 2), deployment="blue")
        async with Bench(targets=(target,), discover=None) as bench:
            bench.snapshot = seen((), (), ())
            reading = await bench.read(f"127.0.0.1:{engine.port}")

    assert (reading.gpus, reading.deployment) == (("GPU-0", "GPU-2"), "blue")


async def test_with_targets_nobody_else_is_asked_unless_that_is_said(tmp_path):
    with GpuProcess(tmp_path) as engine:
        async with Bench(targets=(Target(url="http://127.0.0.1:9"),), discover=None) as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick(3)

    assert engine.received == b""


async def test_the_json_of_tensorrt_llm_is_never_asked_for(tmp_path):
    with GpuProcess(tmp_path, "pageless", "trtllm-serve") as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()

    assert not any("GET /metrics" in line for line in engine.asked)


async def test_an_engine_spreads_over_nodes_when_it_wants_more_gpus_than_it_holds(tmp_path):
    with GpuProcess(tmp_path, "engine", "--tensor-parallel-size", "8") as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,), (engine.holder,))
            await bench.tick()
            reading = await bench.read(f"127.0.0.1:{engine.port}")

    assert reading.spans_nodes is True


@pytest.mark.parametrize(("rank", "elsewhere"), [("0", False), ("1", True)])
async def test_T24_a_further_node_of_an_engine_works_for_what_its_first_node_shows(tmp_path, rank, elsewhere):  # noqa: N802 - the rule's name
    with GpuProcess(tmp_path, "pageless", "--nnodes", "2", "--node-rank", rank) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            reading = await bench.tick()

    assert reading.serves_elsewhere is elsewhere


@pytest.mark.skipif(not available(), reason="needs root and network namespaces")
async def test_a_socket_in_another_network_namespace_is_told_and_not_asked(tmp_path):
    with GpuProcess(
        tmp_path, prefix=("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "x")
    ) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.until_decided()

            assert bench.engines == {}
            assert f"listens in another network namespace (port {engine.port})" in bench.notes[0]
    assert engine.received == b""


async def test_a_process_that_cannot_be_seen_is_told():
    async with Bench() as bench:
        bench.snapshot = seen((2**22 + 1,))
        await bench.tick()

    assert bench.notes[0].startswith("1 processes that hold GPUs cannot be seen here (pid 4194305)")


async def test_nothing_is_read_while_no_gpu_tells(tmp_path):
    async with Bench() as bench:
        reading = await bench.tick()

    assert (reading.notes, reading.owners, bench.engines) == ((), (), {})


async def test_the_doctor_tells_of_engines_that_it_finds_and_of_those_it_may_not_read(tmp_path):
    with GpuProcess(tmp_path) as engine, GpuProcess(tmp_path, "guarded") as guarded:
        found = await examine(Settings(), seen((engine.holder,), (guarded.holder,)))

    assert [(f.level, f.subject) for f in found] == [
        ("ok", f"engines/127.0.0.1:{engine.port}"),
        ("note", "discovery/processes"),
    ]
    assert found[1].remedy == "name it under targets, with authorization"


async def found_in_lists(bench):
    for finder in bench.collector.finders:
        await finder.collect(Moment(0.0, 0.0), None)


async def test_engines_are_found_in_files_with_what_their_labels_say(tmp_path):
    path = tmp_path / "targets.yml"
    async with PageServer({"/m": Answer(PAGE.read_bytes())}) as server:
        address = server.url.removeprefix("http://")
        path.write_text(
            f"- targets: ['{address}']\n  labels: {{__metrics_path__: /m, model: blue, rack: r1}}\n"
        )
        found = TargetsFrom(file_sd=FileSd(files=(str(path),)))
        async with Bench(targets_from=found, discover=False) as bench:
            await found_in_lists(bench)
            reading = await bench.read(address)
            path.write_text("[]")
            await found_in_lists(bench)

            assert (reading.engine, reading.model) == ("vllm", "blue")
            assert bench.engines == {}


async def test_engines_are_found_at_a_server_and_those_that_stay_are_the_same(tmp_path):
    answer = b'[{"targets": ["10.0.0.1:8000", "10.0.0.2:8000"], "labels": {"engine": "no such engine"}}]'
    async with PageServer({"/sd": Answer(answer)}) as server:
        found = TargetsFrom(http_sd=HttpSd(url=f"{server.url}/sd"))
        async with Bench(targets_from=found, targets=(Target(url="http://10.0.0.1:8000/metrics"),)) as bench:
            await found_in_lists(bench)
            first = dict(bench.engines)
            server.answers["/sd"] = Answer(b'[{"targets": ["10.0.0.1:8000"]}]')
            await found_in_lists(bench)

            assert list(first) == ["10.0.0.1:8000", "10.0.0.2:8000"]
            assert bench.engines == {"10.0.0.1:8000": first["10.0.0.1:8000"]}


async def test_a_list_that_cannot_be_read_changes_nothing(tmp_path):
    path = tmp_path / "targets.json"
    path.write_text('[{"targets": ["10.0.0.1:8000"]}]')
    async with Bench(targets_from=TargetsFrom(file_sd=FileSd(files=(str(path),)))) as bench:
        await found_in_lists(bench)
        path.write_text("[")
        with pytest.raises(SourceError):
            await found_in_lists(bench)

        assert list(bench.engines) == ["10.0.0.1:8000"]


async def test_an_engine_in_a_list_is_read_once_though_its_process_was_found_first(tmp_path):
    path = tmp_path / "targets.json"
    path.write_text("[]")
    with GpuProcess(tmp_path) as engine:
        found = TargetsFrom(file_sd=FileSd(files=(str(path),)))
        async with Bench(targets_from=found) as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()
            by_process = list(bench.engines)
            path.write_text(f'[{{"targets": ["localhost:{engine.port}"]}}]')
            await found_in_lists(bench)
            await bench.tick(2)

            assert by_process == [f"127.0.0.1:{engine.port}"]
            assert list(bench.engines) == [f"localhost:{engine.port}"]
            assert (await bench.read(f"localhost:{engine.port}")).gpus == ("GPU-0",)


async def test_a_pod_names_the_owner_of_its_gpus_and_learns_them(tmp_path, monkeypatch):
    """Pods in real control groups need a cluster: the tree of processes is ours, the API server a page."""
    tree = ProcTree(tmp_path / "proc")
    uid = "4f2c9e0a-7b1d-4c55-9a3e-0d6f1b2c3d4e"
    tree.process(10, cgroup=f"0::/kubepods.slice/kubepods-pod{uid.replace('-', '_')}.slice/x.scope")
    tree.process(20, cgroup="0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0", session=8)
    tree.process(30, session=9)
    monkeypatch.setattr(process_source, "Proc", lambda: Proc(tree.root))
    notes = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"}
    pod = {
        "metadata": {"uid": uid, "namespace": "serving", "name": "llama-0", "annotations": notes},
        "status": {"phase": "Running", "podIP": "127.0.0.9"},
    }
    async with PageServer({}) as server:
        path = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn&resourceVersion=0&limit=1024"
        server.answers[path] = Answer(json.dumps({"items": [pod]}).encode())
        found = TargetsFrom(kubernetes=KubernetesSd(api_server=server.url, node="n"))
        async with Bench(targets_from=found) as bench:
            bench.snapshot = seen((10,), (10, 20), (30,))
            before = (await bench.tick()).owners
            await found_in_lists(bench)
            owners = (await bench.tick()).owners
            (source,) = bench.engines.values()

    assert before[0] == GpuOwner("GPU-0", pod=uid)
    assert owners == (
        GpuOwner("GPU-0", namespace="serving", pod="llama-0"),
        GpuOwner("GPU-1", job_id="4711"),
        GpuOwner("GPU-1", namespace="serving", pod="llama-0"),
    )
    assert source.joined(bench.snapshot).gpus == ("GPU-0", "GPU-1")


async def test_the_owner_of_a_gpu_that_is_divided_is_named_with_its_instance(tmp_path, monkeypatch):
    tree = ProcTree(tmp_path / "proc")
    for pid, job in ((10, 4711), (20, 4712)):
        tree.process(pid, cgroup=f"0::/slurmstepd.scope/job_{job}/step_0/user/task_0", session=pid)
    monkeypatch.setattr(process_source, "Proc", lambda: Proc(tree.root))
    snapshot = seen((10, 20))
    processes = (HeldBy(10, 1, "1/0"), HeldBy(20, 1, "2/0"))
    divided = dataclasses.replace(snapshot.gpus[0].reading, processes=processes)
    gpus = (dataclasses.replace(snapshot.gpus[0], reading=divided),)
    async with Bench() as bench:
        bench.snapshot = dataclasses.replace(snapshot, gpus=gpus)
        owners = (await bench.tick()).owners

    assert owners == (GpuOwner("GPU-0", "1/0", job_id="4711"), GpuOwner("GPU-0", "2/0", job_id="4712"))


async def test_a_target_on_another_machine_is_no_reason_to_leave_an_engine_out(tmp_path):
    with GpuProcess(tmp_path) as engine:
        async with Bench(targets=(Target(url=f"http://192.0.2.7:{engine.port}"),)) as bench:
            bench.snapshot = seen((engine.holder,))
            await bench.tick()

            assert list(bench.engines) == [f"192.0.2.7:{engine.port}", f"127.0.0.1:{engine.port}"]


async def test_a_port_that_the_process_has_given_up_is_not_asked_any_more(tmp_path, monkeypatch):
    tree = ProcTree(tmp_path / "proc")
    monkeypatch.setattr(process_source, "Proc", lambda: Proc(tree.root))
    async with PageServer({"/metrics": Answer(PAGE.read_bytes())}) as server, Bench() as bench:
        port = int(server.url.rpartition(":")[2])
        tree.listen(50, port)
        tree.process(10, argv=f"vllm serve m --port {port}", sockets=(50,))
        bench.snapshot = seen((10,))
        await bench.tick()
        await bench.read(f"127.0.0.1:{port}")
        asked = len(server.requests)
        tree.hang_up()
        await bench.tick()
        with pytest.raises(SourceError, match="has ended"):
            await bench.read(f"127.0.0.1:{port}")

        assert len(server.requests) == asked


async def test_processes_of_a_simulated_rack_are_not_ours(tmp_path):
    with GpuProcess(tmp_path) as engine:
        async with Bench() as bench:
            told = Outcome("twin/tray-0", True, None, "", 0.0, 0.0, {})
            bench.snapshot = dataclasses.replace(seen((engine.holder,)), outcomes=(told,))
            await bench.tick(2)

    assert (bench.engines, engine.received) == ({}, b"")


@contextlib.contextmanager
def nobody():
    """Be an ordinary user for a while: what /proc then hides is hidden for real."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@ROOT_ONLY
async def test_an_ordinary_user_finds_the_port_that_the_command_line_of_another_user_names(tmp_path):
    with GpuProcess(tmp_path) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            with nobody():
                await bench.tick()
                reading = await bench.read(f"127.0.0.1:{engine.port}")
            hidden = bench.collector.processes.sight.families[0].unseen

    assert [process.pid for process in hidden] == [engine.pid]
    assert reading.gpus == ("GPU-0",)


@ROOT_ONLY
async def test_an_ordinary_user_is_told_what_it_cannot_see(tmp_path):
    with GpuProcess(tmp_path, named=False) as engine:
        async with Bench() as bench:
            bench.snapshot = seen((engine.holder,))
            with nobody():
                await bench.tick()
            (note,) = bench.notes

    assert note.startswith(
        f"what process {engine.pid} (python, user 0) listens on is not to be seen; run rackwatt"
    )
    assert (bench.engines, engine.received) == ({}, b"")
