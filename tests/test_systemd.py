"""What systemd is told: ready, alive, stopping."""

import socket
import time

import pytest
from fakes.agent import RunningAgent

from agent import systemd


@pytest.fixture
def inbox(tmp_path):
    """A notify socket as systemd makes one."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(tmp_path / "notify"))
    server.settimeout(10.0)
    yield server
    server.close()


def test_ready_watchdog_and_stopping_are_told(tmp_path, inbox):
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    agent = RunningAgent(tmp_path / "agent", {"collectors": {}}, env=env).start(wait=False)
    first = inbox.recv(100)
    alive = [inbox.recv(100) for _ in range(3)]
    agent.program.stop()
    inbox.settimeout(0.2)
    rest = set()
    try:
        while True:
            rest.add(inbox.recv(100))
    except TimeoutError:
        pass

    assert first == b"READY=1"
    assert alive == [b"WATCHDOG=1"] * 3
    assert b"STOPPING=1" in rest


def test_a_slow_interval_does_not_starve_the_watchdog(tmp_path, inbox):
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4000000"}
    agent = RunningAgent(tmp_path / "agent", {"interval": "60s", "collectors": {}}, env=env).start(wait=False)
    told = [inbox.recv(100) for _ in range(3)]
    agent.program.stop()

    assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_daemon_that_stands_still_does_not_call_itself_alive(tmp_path, inbox):
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    agent = RunningAgent(tmp_path / "agent", {"collectors": {}}, env=env).start(wait=False)
    inbox.recv(100)
    agent.program.freeze()
    time.sleep(0.3)
    inbox.settimeout(0.05)
    try:
        while True:
            inbox.recv(100)
    except TimeoutError:
        pass
    inbox.settimeout(1.0)

    with pytest.raises(TimeoutError):
        inbox.recv(100)
    agent.program.thaw()
    agent.program.stop()


def test_without_systemd_nothing_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")

    assert systemd.watchdog_seconds() is None


def test_a_watchdog_meant_for_another_process_is_not_ours(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")

    assert systemd.watchdog_seconds() is None
