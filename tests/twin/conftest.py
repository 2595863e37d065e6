"""A twin in a process of its own, and physics without one."""

from __future__ import annotations

import pytest
from fakes.twin import RunningTwin

from agent.twin.grid import NANO
from agent.twin.rack import Rack
from agent.twin.scenario import parse

ONE_TRAY = "rack: {trays: 1, tokens_per_second: 1000}\n"


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
