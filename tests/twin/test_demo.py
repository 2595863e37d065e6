"""`rackwatt demo`: what it configures and what it prints."""

import dataclasses
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from fakes.processes import Program, free_port, http_get, wait_http

from agent import config, demo
from agent.twin import scenario

RACK = {
    "tokens_per_second": {"output": 1_043_210.4},
    "power_watts": {"gpu": 88_123.0},
    "tokens_per_joule": {"gpu": {"output": 11.838}},
    "nodes": {"expected": 18, "reporting": 17, "missing": ["tray-12"]},
    "gpus": {"expected": 72, "reporting": 68},
    "record": {"ratio": 0.9475},
    "reasons": ["low_coverage"],
}


def test_a_node_reads_its_tray_and_its_engines():
    settings = demo.node_settings(7, 40001, "http://127.0.0.1:9745", ["http://127.0.0.1:40002/metrics"])
    parsed = config.parse(str(settings), "demo")

    assert parsed.node_name == "tray-07"
    assert parsed.collectors["twin"].tray == 7
    assert parsed.collectors["engines"].targets[0].url == "http://127.0.0.1:40002/metrics"


def test_the_engines_of_a_node_share_its_gpus_out_in_order():
    settings = demo.node_settings(7, 40001, "http://h:9745", ["http://h:1/metrics", "http://h:2/metrics"], 4)
    parsed = config.parse(str(settings), "demo")

    assert [target.gpus for target in parsed.collectors["engines"].targets] == [(0, 1), (2, 3)]


def test_a_line_tells_what_is_known_and_who_is_missing():
    assert demo.line(RACK) == (
        "  1,043,210 output tokens/s     88.1 kW at the GPUs    11.84 tokens/J   17/18 nodes   68/72 GPUs"
        "    94.8% of the record   low_coverage; missing: tray-12"
    )


def test_what_is_not_known_yet_is_a_dash():
    nothing = {
        "tokens_per_second": {},
        "power_watts": {},
        "tokens_per_joule": {},
        "record": None,
        "reasons": ["warming_up"],
        "nodes": {"expected": 18, "reporting": 0, "missing": []},
        "gpus": {"expected": 72, "reporting": 0},
    }

    assert demo.line(nothing) == (
        "          - output tokens/s        - kW at the GPUs        - tokens/J    0/18 nodes    0/72 GPUs"
        "   warming_up"
    )


@pytest.mark.parametrize("record", ["", "azure-gb300-llama2-70b"])
def test_the_rack_compares_with_a_record_only_if_the_scenario_names_one(record):
    chosen = scenario.parse(f"record: '{record}'\nrack: {{name: r1}}", "test")
    settings = demo.rack_settings(chosen, "127.0.0.1:9744", ["http://127.0.0.1:1"])

    assert settings["rack"].get("record", "") == record
    assert settings["rack"]["members"] == ["http://127.0.0.1:1"]


THREE = """
rack: {trays: 5, tokens_per_second: 5000, meters: true}
load: {level: 0.9}
events: [{kind: node_down, at: 20s, lasts: 6s, trays: [1]}]
"""
NEEDS_RACK = pytest.mark.skipif(
    "members" not in {field.name for field in dataclasses.fields(config.RackSettings)},
    reason="no daemon reckons a rack yet",
)


class RunningDemo:
    """`rackwatt demo` with three trays of five."""

    def __init__(self, folder):
        (folder / "three.yaml").write_text(THREE)
        self.url = f"http://127.0.0.1:{free_port()}"
        listen = self.url.removeprefix("http://")
        command = [sys.executable, "-u", "-P", "-m", "agent.cli", "demo", "--listen", listen]
        self.program = Program(
            [*command, "--scenario", str(folder / "three.yaml"), "--nodes", "3"],
            log=folder / "demo.log",
            env={"TMPDIR": str(folder)},
        )
        self.program.start()
        wait_http(f"{self.url}/api/v1/rack", self.program, 60)

    def rack(self):
        return json.loads(http_get(f"{self.url}/api/v1/rack")[1])

    def truth(self):
        return json.loads(http_get(re.search(r"truth: (\S+)\)", self.program.tail())[1])[1])

    def wait_for(self, predicate, seconds=60):
        ends = time.monotonic() + seconds
        while not predicate(rack := self.rack()):
            assert time.monotonic() < ends, f"{rack}\n{self.program.tail()}"
            time.sleep(0.1)
        return rack


@pytest.fixture
def running_demo(tmp_path):
    demo = RunningDemo(tmp_path)
    yield demo
    demo.program.stop(grace_seconds=20)


def children_of(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def wait_until_gone(pids):
    ends = time.monotonic() + 30
    while left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < ends, left
        time.sleep(0.1)


@NEEDS_RACK
def test_the_whole_rack_is_there_and_its_figures_are_those_of_the_twin(running_demo):
    rack = running_demo.wait_for(lambda rack: rack["valid"] and "output" in rack["tokens_per_second"])

    assert (rack["nodes"]["reporting"], rack["gpus"]["reporting"]) == (3, 12)
    assert rack["tokens_per_second"]["output"] == pytest.approx(13_500, rel=0.01)
    assert "3/3 nodes   12/12 GPUs" in running_demo.program.tail()


@NEEDS_RACK
def test_the_meter_of_a_part_of_a_rack_measures_that_part_alone(running_demo):
    """T5: tokens and joules are of the same trays, three of five; nine switch trays stay."""
    rack = running_demo.wait_for(lambda rack: "output" in rack["tokens_per_joule"].get("rack", {}))
    truth = running_demo.truth()

    assert len(truth["trays"]) == 3
    assert rack["power_watts"]["rack"] == pytest.approx(truth["watts"]["rack"], rel=0.01)
    assert rack["power_watts"]["rack"] == pytest.approx(1.03 * (truth["watts"]["node"] + 3600.0), rel=0.01)
    assert rack["tokens_per_joule"]["rack"]["output"] == pytest.approx(
        truth["tokens_per_second"]["output"] / truth["watts"]["rack"], rel=0.02
    )


@NEEDS_RACK
def test_a_tray_that_is_off_takes_its_daemon_with_it_and_brings_it_back(running_demo):
    running_demo.wait_for(lambda rack: rack["nodes"]["reporting"] == 3)
    gone = running_demo.wait_for(lambda rack: rack["nodes"]["missing"])
    back = running_demo.wait_for(lambda rack: rack["nodes"]["reporting"] == 3)

    assert gone["nodes"]["missing"] == ["tray-01"]
    assert back["tokens_total"]["output"] >= gone["tokens_total"]["output"]


@NEEDS_RACK
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(running_demo, number):
    pid = running_demo.program.pid
    children = children_of(pid)
    assert len(children) == 5
    os.kill(pid, number)
    wait_until_gone(children)

    assert running_demo.program.stop() == (-9 if number == signal.SIGKILL else 0)


@NEEDS_RACK
def test_a_port_that_is_taken_is_told(running_demo, tmp_path):
    listen = running_demo.url.removeprefix("http://")
    command = [sys.executable, "-P", "-m", "agent.cli", "demo", "--nodes", "1", "--listen", listen]
    with Program(command, log=tmp_path / "second.log") as second:
        ends = time.monotonic() + 60
        while second.running and time.monotonic() < ends:
            time.sleep(0.1)

        assert not second.running
        assert "cannot listen on" in second.tail()
