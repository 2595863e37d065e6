"""The whole agent beside a fake driver: engines that nobody named, from process to page."""

import os
import subprocess
import sys

import pytest
import yaml
from fakes.agent import RunningAgent
from fakes.gpu_process import GpuProcess
from fakes.nvml.driver import FakeDriver

QUICK = {"interval": "200ms", "slow_interval": "400ms", "kmsg": ""}


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path, preset="gb300") as fake:
        yield fake


def up(node):
    return {engine["engine_instance"]: engine["up"] for engine in node["engines"]}


def test_an_engine_that_starts_later_is_found_read_and_missed_when_it_ends(tmp_path, driver):
    collectors = {"nvml": QUICK, "engines": {"interval": "200ms"}}
    with RunningAgent(tmp_path / "agent", {"collectors": collectors}, env=driver.env) as agent:
        assert up(agent.node()) == {}
        with GpuProcess(tmp_path) as stranger, GpuProcess(tmp_path, child=True) as engine:
            driver.process(2, engine.holder, 2**30)
            name = f"127.0.0.1:{engine.port}"
            agent.wait_for(lambda node: up(node) == {name: True})
            tokens = agent.value("rackwatt_engine_tokens_total", engine_instance=name)
            driver.process_gone(2, engine.holder)
            engine.kill()
            agent.wait_for(lambda node: up(node) == {name: False})

            assert tokens is not None
            assert agent.value("rackwatt_collector_success", collector="discovery") == 1.0, agent.log_text()
            assert stranger.received == b""


def test_an_engine_and_rackwatt_that_both_start_again_know_each_other(tmp_path, driver):
    """T1: the totals go on under the old name, though the engine has another port."""
    collectors = {"nvml": QUICK, "engines": {"interval": "200ms"}}
    with RunningAgent(tmp_path / "agent", {"collectors": collectors}, env=driver.env) as agent:
        with GpuProcess(tmp_path, name="e") as engine:
            driver.process(2, engine.holder, 2**30)
            name = f"127.0.0.1:{engine.port}"
            agent.wait_for(lambda node: up(node) == {name: True})
            agent.program.stop()
        driver.process_gone(2, engine.pid)
        with GpuProcess(tmp_path, name="e") as again:
            driver.process(2, again.holder, 2**30)
            agent.start()
            agent.wait_for(lambda node: up(node) == {name: True})

            assert again.port != engine.port


def test_the_doctor_without_a_file_finds_engines_and_says_what_guards_its_page(tmp_path, driver):
    with GpuProcess(tmp_path) as engine, GpuProcess(tmp_path, "guarded") as guarded:
        driver.process(0, engine.holder, 2**30)
        driver.process(1, guarded.holder, 2**30)
        path = tmp_path / "rackwatt.yaml"
        path.write_text(yaml.safe_dump({"state_dir": str(tmp_path / "state")}))
        command = [sys.executable, "-P", "-m", "agent.cli", "doctor", "--config", str(path)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=os.environ | driver.env, check=False
        )

    assert f"engines/127.0.0.1:{engine.port}: vllm serves tiny" in done.stdout.replace("  ", " ")
    assert f"127.0.0.1:{guarded.port} guards its page" in done.stdout
    assert "name it under targets, with authorization" in done.stdout
