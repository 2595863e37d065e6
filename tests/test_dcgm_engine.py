"""Daemons on one host engine of DCGM: what they tell, and that it goes, comes back, and is left as it was."""

import time
from pathlib import Path

import pytest
from fakes.agent import RunningAgent
from fakes.dcgm.host_engine import Gpu, HostEngine

BINDINGS = str(Path(__file__).parent / "fakes" / "dcgm" / "bindings")
A, B = "GPU-00000000-0000-0000-0000-0000000000d1", "GPU-00000000-0000-0000-0000-0000000000d2"


def values(watts):
    return {155: watts, 156: 9_000_000_000_000, 203: 98, 150: 61, 1004: 0.41}


@pytest.fixture
def engine():
    """A host engine with two GPUs."""
    made = HostEngine([Gpu(A, values(1000.0)), Gpu(B, values(300.0))])
    yield made
    made.kill()


@pytest.fixture
def daemons(tmp_path, engine):
    """Two daemons on it."""
    read = {"address": engine.address, "bindings": BINDINGS, "interval": "200ms"}
    settings = {"interval": "200ms", "collectors": {"dcgm": read}, "exporters": {"prometheus": {}}}
    with RunningAgent(tmp_path / "a", settings) as first, RunningAgent(tmp_path / "b", settings) as second:
        yield first, second


def until(condition, seconds=5.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_two_daemons_live_through_the_life_of_a_host_engine(daemons, engine):
    first, second = daemons
    for gpu in engine.gpus.values():
        gpu.values[156] += 50_000  # 50 J
    for daemon in daemons:
        daemon.wait_for(lambda _, it=daemon: it.value("rackwatt_gpu_energy_joules_total") == 100.0)
        assert daemon.value("rackwatt_power_watts", boundary="gpu", source="dcgm") == 1300.0
        assert daemon.value("rackwatt_gpu_tensor_active_ratio", gpu="0") == 0.41
    assert len(engine.leftovers) == 10

    engine.gpus[1].fall_off()
    first.wait_for(lambda _: first.value("rackwatt_gpu_state", gpu="1", state="lost") == 1)
    assert first.value("rackwatt_gpu_xid_errors_total", gpu="1", xid="79") == 1
    assert first.value("rackwatt_gpu_up", gpu="0") == 1
    assert first.value("rackwatt_gpu_power_watts", gpu="1") is None

    engine.kill()
    for daemon in daemons:
        daemon.wait_for(lambda _, it=daemon: it.value("rackwatt_collector_success", collector="dcgm") == 0)
        assert daemon.value("rackwatt_gpu_power_watts") is None
    failed = first.value("rackwatt_collector_failures_total", collector="dcgm", reason="unreachable")
    assert failed >= 1

    engine.start()
    engine.gpus[0].values[156] += 25_000
    for daemon in daemons:
        daemon.wait_for(
            lambda _, it=daemon: it.value("rackwatt_gpu_energy_joules_total", gpu="0") == 75.0, 20.0
        )
    assert first.value("rackwatt_gpu_xid_errors_total", gpu="1", xid="79") == 1

    first.program.stop()
    until(lambda: len(engine.leftovers) == 5)
    assert second.value("rackwatt_gpu_power_watts", gpu="0") == 1000.0
    unwatched = [question for question in engine.asked if question[0] == "unwatch"]
    assert len(unwatched) == 4

    second.program.kill()
    until(lambda: engine.connections == 0)
    assert engine.leftovers == []
    assert "Traceback" not in first.log_text() + second.log_text()
