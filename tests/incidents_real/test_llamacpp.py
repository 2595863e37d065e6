"""What a real engine's speed decides: run by `make test-incidents`, on a machine that does nothing else."""

import os
import sys
import time
from pathlib import Path

import pytest
from fakes.incident_rig import BUSY, IDLE, rigged
from fakes.processes import Program

HARDWARE = {"thermal", "power_cap", "power_brake", "clocks_low", "gpu_lost", "gpu_fault", "ecc", "nvlink"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with rigged(tmp_path_factory.mktemp("rig")) as rig:
        yield rig


def test_a_steady_load_is_silent(rig):
    time.sleep(16)

    assert rig.agent.node()["state"] == "serving"
    assert rig.wrong() == []


def test_half_the_clients_are_no_incident(rig):
    since = time.time()
    rig.clients.count = 3
    rig.driver.load("*", 0.4)
    time.sleep(6)
    rig.clients.count = 8
    rig.driver.load("*", BUSY)

    assert rig.loud(since) == []


def test_without_processor_time_the_hardware_is_not_blamed(rig):
    rig.calm()
    since = time.time()
    pid = rig.engine.program.pid
    allowed = os.sched_getaffinity(pid)
    core = max(allowed)
    pin(pid, {core})
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    burners = [Program([sys.executable, "-c", code]) for _ in range(5)]
    for each in burners:
        each.start()
    rig.driver.load("*", 0.3)
    try:
        drop = rig.wait_for(lambda each: each["kind"] in {"drop", "stall"}, since, 20.0)
    finally:
        for each in burners:
            each.kill()
        pin(pid, allowed)
        rig.driver.load("*", BUSY)

    assert drop["cause"] in {"host_pressure", "unknown"}
    assert HARDWARE.isdisjoint(each["cause"] for each in rig.told())


def test_a_quick_restart_is_information(rig):
    rig.calm()
    since = time.time()
    rig.driver.load("*", IDLE)
    rig.engine.kill()
    time.sleep(2.5)
    rig.engine.start()
    rig.driver.load("*", BUSY)

    restart = rig.wait_for(lambda each: each["kind"] == "restart", since, 12.0)

    assert restart["severity"] == "info"
    assert rig.wrong(since) == []


def pin(pid, cores):
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)
