"""The commands: data to stdout, logs to stderr, exit 0 fine, 1 found wrong, 2 used wrong."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from fakes.engines.timeline import constant
from fakes.engines.truth import TruthEngine
from fakes.nvml.driver import FakeDriver

from agent import cli
from agent.measure.catalogue import CATALOGUE
from agent.measure.gpu import GpuState


def rackwatt(*arguments, env=None, shell_tail=""):
    command = [sys.executable, "-P", "-m", "agent.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | (env or {}), check=False
    )


@pytest.fixture
def file(tmp_path):
    def write(settings):
        path = tmp_path / "rackwatt.yaml"
        path.write_text(yaml.safe_dump({"state_dir": str(tmp_path / "state")} | settings))
        return str(path)

    return write


def test_check_tells_what_a_good_file_switches_on(file):
    done = rackwatt("check", file({"collectors": {"nvml": {}, "engines": {}}}))

    assert done.returncode == 0
    assert "fine; collectors: engines, nvml; exporters: prometheus" in done.stdout


def test_check_finds_a_wrong_file_wrong(file):
    done = rackwatt("check", file({"colectors": {}}))

    assert done.returncode == 1
    assert "colectors: unknown key; there are: collectors," in done.stdout


def test_run_with_a_wrong_file_is_used_wrong_and_says_so_in_one_line(file):
    done = rackwatt("run", "--config", file({"interval": "fast"}))

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "interval: 'fast' is not a duration such as 500ms, 10s or 1m30s" in done.stderr


def test_metrics_lists_the_whole_catalogue():
    done = rackwatt("metrics")

    assert done.returncode == 0
    assert [line.split("{")[0].split()[0] for line in done.stdout.splitlines()[::2]] == [
        f"rackwatt_{metric.name}" for metric in CATALOGUE
    ]


def test_output_cut_short_by_its_reader_is_no_error():
    command = f"{sys.executable} -P -m agent.cli metrics | head -n 1"
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert done.stderr == ""


def test_an_unknown_command_is_used_wrong():
    assert rackwatt("fly").returncode == 2


def test_once_prints_gpus_engines_and_live_figures(tmp_path, file):
    with FakeDriver(tmp_path, preset="gb300") as driver, TruthEngine(output=constant(1000.0)) as engine:
        settings = {"collectors": {"nvml": {}, "engines": {"targets": [{"url": f"{engine.url}/metrics"}]}}}
        done = rackwatt("once", "--config", file(settings), "--seconds", "6", env=driver.env)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "NVIDIA GB300" in done.stdout
        assert f"vllm    127.0.0.1:{engine.port}" in done.stdout
        assert "tokens/J at gpu" in done.stdout
        assert not (tmp_path / "state").exists()


def test_once_as_json_is_the_snapshot(tmp_path, file):
    with FakeDriver(tmp_path, preset="h100") as driver:
        done = rackwatt("once", "--json", "--config", file({}), "--seconds", "2", env=driver.env)
        snapshot = json.loads(done.stdout)

        assert len(snapshot["gpus"]) == 8
        assert snapshot["figures"]["node_tokens_per_joule_gpu"]["reasons"][0] == "no_engines"


def test_once_without_collectors_ends(file):
    done = rackwatt("once", "--config", file({"collectors": {}}), "--seconds", "1")

    assert done.returncode == 0
    assert "unknown" in done.stdout


def test_a_key_without_a_value_keeps_its_default(file):
    done = rackwatt("check", file({"node": {"name": None}, "window": None}))

    assert done.returncode == 0


def test_once_finds_a_dead_engine_wrong_and_names_it(file):
    settings = {"collectors": {"engines": {"targets": [{"url": "http://127.0.0.1:1/metrics"}]}}}
    done = rackwatt("once", "--config", file(settings), "--seconds", "1")

    assert done.returncode == 1
    assert (
        "! engines/127.0.0.1:1: unreachable: "
        "http://127.0.0.1:1: cannot connect (127.0.0.1: Connection refused); "
        "is it running, and is the port right?\n"
    ) in done.stdout


@pytest.mark.parametrize(
    ("ok", "state", "up", "well"),
    [
        (True, GpuState.OK, True, True),
        (False, GpuState.OK, True, False),
        (True, GpuState.LOST, True, False),
        (True, None, True, False),
        (True, GpuState.OK, False, False),
    ],
)
def test_once_is_fine_only_if_sources_gpus_and_engines_all_answer(ok, state, up, well):
    outcomes, gpus = [SimpleNamespace(ok=ok)], [SimpleNamespace(state=state)]
    snapshot = SimpleNamespace(outcomes=outcomes, gpus=gpus, engines=[SimpleNamespace(up=up)])

    assert cli._is_well(snapshot) is well


def test_doctor_names_a_gpu_that_is_lost_and_does_not_call_the_rest_all_there_should_be(tmp_path, file):
    with FakeDriver(tmp_path, preset="gb300") as driver:
        driver.lose(2)
        done = rackwatt("doctor", "--config", file({"collectors": {"nvml": {}}}), env=driver.env)

    assert done.returncode == 1
    assert "problem  GPU 2: fell off the bus: drain the node, reset the GPU or reboot" in done.stdout
    assert "node.gpus: 3 answer" in done.stdout
    assert "{gpus: 3}" not in done.stdout


def test_doctor_on_a_machine_without_a_driver_says_what_to_do(file):
    done = rackwatt("doctor", "--config", file({}), env={"LD_LIBRARY_PATH": ""})

    assert done.returncode == 1
    assert "problem  NVML" in done.stdout
    assert "->" in done.stdout
    assert "Traceback" not in done.stderr


def test_doctor_on_a_healthy_node_names_gpus_costs_and_engines(tmp_path, file):
    with FakeDriver(tmp_path, preset="gb300") as driver, TruthEngine(output=constant(100.0)) as engine:
        settings = {"collectors": {"nvml": {}, "engines": {"targets": [{"url": f"{engine.url}/metrics"}]}}}
        done = rackwatt("doctor", "--config", file(settings), env=driver.env)

        assert "problem" not in done.stdout
        assert done.stdout.count("NVIDIA GB300") == 4
        assert "vllm" in done.stdout
