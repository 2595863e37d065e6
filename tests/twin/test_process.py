"""The twin as a process: the collector reads it, faults are felt on the wire, truth stays out of reach."""

import asyncio
import contextlib
import http.client
import socket
import time
from urllib.parse import urlsplit

import pytest
from fakes.processes import http_get, wait_http

from agent.collectors.twin import Settings, build, examine
from agent.measure.finding import Level
from agent.measure.gpu import GpuState, PowerScope
from agent.measure.reading import Moment, Reason, SourceError

ONE = "rack: {trays: 1, tokens_per_second: 1000}\n"


def now():
    return Moment(time.monotonic(), time.time())


@contextlib.asynccontextmanager
async def collector_of(twin, tray=0, timeout=5.0):
    collector = build(Settings(url=twin.url, tray=tray, timeout=timeout))
    try:
        yield collector
    finally:
        await collector.close()


async def read(twin, tray=0, timeout=5.0):
    async with collector_of(twin, tray, timeout) as collector:
        return await collector.collect(now(), None)


def ask(connection):
    connection.request("GET", "/metrics")
    return connection.getresponse().read()


def tokens(page):
    line = next(line for line in page.splitlines() if line.startswith(b"vllm:generation_tokens_total"))
    return float(line.rpartition(b" ")[2])


def start_time(page):
    line = next(line for line in page.splitlines() if line.startswith(b"process_start_time_seconds"))
    return float(line.rpartition(b" ")[2])


async def test_the_collector_reads_what_nvml_would_tell(twin):
    running = twin(ONE)
    running.wait_until(1.5)
    before = now()
    reading = await read(running)
    gpu = reading.gpus[0]

    assert len(reading.gpus) == 4
    assert before.monotonic_seconds <= reading.at.monotonic_seconds <= time.monotonic()
    assert reading.at.unix_seconds == pytest.approx(time.time(), abs=5)
    assert gpu.identity.product == "NVIDIA GB300"
    assert gpu.state is GpuState.OK
    assert 1_200 < gpu.power[PowerScope.GPU].average_watts < 1_300
    assert 2_600 < gpu.power[PowerScope.MODULE].average_watts < 2_800
    assert gpu.power_limit_watts == {PowerScope.GPU: 1400.0, PowerScope.MODULE: 2900.0}
    assert gpu.clock_hertz["sm"] == 2_070e6
    assert gpu.throttle_active == frozenset()
    assert gpu.throttled_seconds["sw_power_cap"] == 0.0
    assert gpu.placement.tray == 0
    assert gpu.utilization_ratio == 1.0
    assert len(gpu.processes) == 1


async def test_joules_are_those_of_the_truth_at_the_moment_of_the_reading(twin):
    running = twin(ONE)
    running.wait_until(2)
    reading = await read(running)
    truth = running.truth(at=reading.at.monotonic_seconds)

    for gpu, true in zip(reading.gpus, truth["trays"][0]["gpus"], strict=True):
        assert gpu.energy_joules == pytest.approx(
            true["joules"], abs=0.0021
        )  # a millijoule, and the float stamp


async def test_an_error_is_counted_once_and_only_from_when_the_collector_began(twin):
    running = twin(
        ONE + "events: [{kind: gpu_fault, at: 1s, every: 30s}, {kind: gpu_lost, at: 3s, gpus: [1]}]\n"
    )
    running.wait_until(1.5)
    async with collector_of(running) as collector:
        first = await collector.collect(now(), None)
        running.wait_until(3.3)
        await collector.collect(now(), None)
        last = await collector.collect(now(), None)

    assert first.gpus[0].xid_errors == {}
    assert last.gpus[0].xid_errors == {}
    assert last.gpus[1].xid_errors == {79: 1}
    assert [gpu.last_xid for gpu in last.gpus[:2]] == [0, 79]
    assert last.gpus[1].state is GpuState.LOST
    assert [gpu.state for gpu in last.gpus] == ["ok", "lost", "ok", "ok"]


async def test_a_frozen_twin_times_out_and_goes_on_where_its_clock_is(twin):
    running = twin(ONE)
    began = running.truth()
    running.program.freeze()
    with pytest.raises(SourceError) as failed:
        await read(running, timeout=1.0)
    running.program.thaw()
    truth = running.truth()

    assert failed.value.reason is Reason.TIMED_OUT
    seconds = truth["monotonic_seconds"] - began["monotonic_seconds"]
    assert seconds > 1.0
    assert truth["tokens"]["output"] - began["tokens"]["output"] == pytest.approx(1000 * seconds, abs=2)


async def test_a_killed_twin_is_unreachable(twin):
    running = twin(ONE)
    running.program.kill()

    with pytest.raises(SourceError) as failed:
        await read(running)
    assert failed.value.reason is Reason.UNREACHABLE


async def test_a_tray_that_is_not_there_is_told(twin):
    running = twin(ONE)

    with pytest.raises(SourceError) as failed:
        await read(running, tray=5)
    assert failed.value.reason is Reason.UNSUPPORTED


async def test_doctor_looks_at_the_tray(twin):
    running = twin(ONE)
    (fine,) = await examine(Settings(url=running.url))
    running.program.kill()
    (wrong,) = await examine(Settings(url=running.url))

    assert (fine.level, fine.text) == (Level.OK, "4 simulated GPUs of tray 0")
    assert wrong.level is Level.PROBLEM


def test_a_crashed_engine_refuses_connections_keeps_its_port_and_comes_back_new(twin):
    running = twin(ONE + "events: [{kind: engine_crash, at: 2s, lasts: 2s}]\n")
    url = urlsplit(running.engine())
    with contextlib.closing(http.client.HTTPConnection(url.hostname, url.port)) as kept:
        first = ask(kept)
        running.wait_until(2.5)
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            ask(kept)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port), timeout=2)
    with socket.socket() as thief:
        thief.bind((url.hostname, 0))
        assert thief.getsockname()[1] != url.port
    running.wait_until(4.0)
    last = wait_http(running.engine())
    assert start_time(last) > start_time(first) + 3
    assert tokens(last) < 1000 * (running.truth()["seconds"] - 4.0) + 2


def test_in_a_gap_pages_hang_while_work_goes_on(twin):
    running = twin(
        "rack: {trays: 2, tokens_per_second: 1000}\n"
        "events: [{kind: telemetry_gap, at: 1s, lasts: 3s, trays: [0]}]\n"
    )
    running.wait_until(1.5)
    before = running.truth()["trays"][0]

    for url in (running.engine(), f"{running.url}/gpus/0"):
        with pytest.raises(TimeoutError):
            http_get(url, timeout_seconds=0.3)
    assert before["faults"] == ["telemetry_gap"]
    assert http_get(running.engine(tray=1))[0] == 200
    status, page = http_get(running.engine(), timeout_seconds=20)
    assert status == 200
    assert tokens(page) > before["tokens"]["output"] + 1000


def test_a_tray_that_is_off_answers_nothing_while_the_others_do(twin):
    running = twin("rack: {trays: 2}\nevents: [{kind: node_down, at: 1s, trays: [0]}]\n")
    running.wait_until(1.5)

    with pytest.raises(OSError, match="refused"):
        http_get(running.engine())
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        http_get(f"{running.url}/gpus/0")
    assert http_get(f"{running.url}/gpus/1")[0] == 200
    assert running.truth()["trays"][0]["watts"] == {"gpu": 0.0, "module": 0.0, "node": 0.0}


def test_the_truth_of_a_moment_is_the_same_whenever_it_is_asked_for(twin):
    running = twin(ONE + "load: {level: 0.8, noise: 0.2}\n")
    moment = time.monotonic()
    first = running.truth(at=moment)
    running.wait_until(3)

    assert running.truth(at=moment) == first
    assert running.truth(at=time.monotonic() + 60)["tokens"]["output"] > 40_000


@pytest.mark.parametrize("query", ["truth?at=soon", "truth?at=1e999999", "truth?at=-5", "truth?at=nan"])
def test_a_moment_that_makes_no_sense_is_refused(twin, query):
    running = twin(ONE)
    status, body = http_get(f"{running.url}/{query}")

    assert status == 400
    assert body.startswith(b"at: ")


@pytest.mark.parametrize("path", ["gpus/1", "gpus/x", "gpus", "gpus/-1", "nothing"])
def test_what_is_not_there_is_not_found(twin, path):
    assert http_get(f"{twin(ONE).url}/{path}")[0] == 404


def test_a_second_twin_on_the_same_port_is_refused(twin, tmp_path):
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    running = twin(ONE)
    command = [sys.executable, "-P", "-m", "agent.cli", "twin", "--listen", f"127.0.0.1:{running.port}"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 2
    assert "--listen: cannot listen on" in second.stderr


def test_it_ends_by_sigterm_at_once_even_while_pages_hang(twin):
    running = twin(ONE + "events: [{kind: telemetry_gap, at: 1s}]\n")
    running.wait_until(1.3)
    url = urlsplit(running.engine())
    with contextlib.closing(http.client.HTTPConnection(url.hostname, url.port)) as waiting:
        waiting.request("GET", "/metrics")

        assert running.program.stop(grace_seconds=10) == 0


def test_readers_do_not_disturb_each_other(twin):
    running = twin("rack: {trays: 3, engines_per_tray: 2}\n")

    async def all_at_once():
        return await asyncio.gather(*(read(running, tray) for tray in range(3) for _ in range(5)))

    readings = asyncio.run(all_at_once())
    assert [len(reading.gpus) for reading in readings] == [4] * 15
