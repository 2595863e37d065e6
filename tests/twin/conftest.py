"""A twin in a process of its own, and physics without one."""

from __future__ import annotations

import json
import sys
import time

import pytest
from fakes.processes import LOOPBACK, Program, free_port, http_get, wait_http

from agent.twin.grid import NANO
from agent.twin.rack import Rack
from agent.twin.scenario import parse

ONE_TRAY = "rack: {trays: 1, tokens_per_second: 1000}\n"


class RunningTwin:
    """`rackwatt twin` with a scenario of its own."""

    def __init__(self, folder, text):
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        scenario = folder / "scenario.yaml"
        scenario.write_text(text)
        listen = f"{LOOPBACK}:{self.port}"
        command = [sys.executable, "-P", "-m", "agent.cli", "twin", "--scenario", str(scenario)]
        self.program = Program([*command, "--listen", listen], log=folder / "twin.log")

    def __enter__(self):
        self.program.start()
        self.index = json.loads(wait_http(self.url, self.program))
        return self

    def __exit__(self, *_):
        self.program.stop()

    def engine(self, tray=0, place=0):
        return self.index["trays"][tray]["engines"][place]

    def truth(self, at=None):
        status, body = http_get(f"{self.url}/truth" + ("" if at is None else f"?at={at:.9f}"))
        assert status == 200, body
        return json.loads(body)

    def wait_until(self, seconds):
        """Sleep until so many seconds after the start of the twin."""
        ends = self.index["began_monotonic_ns"] / NANO + seconds
        time.sleep(max(0.0, ends - time.monotonic()))


@pytest.fixture
def twin(tmp_path):
    """Start a twin of a scenario; it ends with the test."""
    running = []

    def start(text):
        running.append(RunningTwin(tmp_path, text).__enter__())
        return running[-1]

    yield start
    for each in running:
        each.__exit__()


@pytest.fixture
def rack_of():
    """The rack of a scenario, without a process: one tray of 1000 tokens/s unless told otherwise."""

    def build(text="", shape=ONE_TRAY):
        return Rack(parse(shape + text, "test.yaml", "test"))

    return build


@pytest.fixture
def tray_after():
    """The first tray of a rack so many seconds after its start."""

    def look(rack, seconds):
        return rack.tray(0, round(seconds * NANO))[0]

    return look
