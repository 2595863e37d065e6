"""The HTTP side of the running daemon: negotiation, and clients that mean no good."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from fakes.agent import RunningAgent
from fakes.processes import http_get, rss_bytes


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with RunningAgent(tmp_path_factory.mktemp("web"), {"collectors": {}}) as running:
        yield running


def get(agent, path="/metrics", **headers):
    request = urllib.request.Request(agent.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status, response.headers, response.read()


def test_a_daemon_without_collectors_is_ready(agent):
    assert http_get(f"{agent.url}/-/ready")[0] == 200


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=²", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", "application/openmetrics-text"),
        ("application/openmetrics-text;version=foo", "application/openmetrics-text"),
    ],
)
def test_the_form_is_negotiated_whatever_is_accepted(agent, accept, content_type):
    status, headers, _ = get(agent, Accept=accept.encode().decode("latin-1"))

    assert status == 200
    assert headers["Content-Type"].startswith(content_type)


def test_a_daemon_on_which_nothing_is_wrong_answers_without_an_incident(agent):
    status, headers, body = get(agent, "/api/v1/incidents")

    assert (status, headers["Content-Type"], body) == (200, "application/json", b'{"incidents":[]}')


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [("gzip", "gzip"), ("gzip;q=1.0,identity;q=0.5", "gzip"), ("gzip;q=0", None), ("identity", None)],
)
def test_gzip_is_given_only_to_those_who_take_it(agent, accept_encoding, coding):
    _, headers, body = get(agent, **{"Accept-Encoding": accept_encoding})

    assert headers["Content-Encoding"] == coding
    assert body.startswith(b"\x1f\x8b") == (coding == "gzip")


def test_versions_without_end_cost_no_memory(agent):
    for number in range(50):
        get(agent, Accept=f"application/openmetrics-text;version=1.0.{number}", **{"Accept-Encoding": "gzip"})
    before = rss_bytes(agent.program.pid)
    for number in range(50, 650):
        get(agent, Accept=f"application/openmetrics-text;version=1.0.{number}", **{"Accept-Encoding": "gzip"})

    assert rss_bytes(agent.program.pid) - before < 4 * 2**20


def test_an_unknown_path_is_not_found_and_a_post_not_allowed(agent):
    assert http_get(f"{agent.url}/nothing")[0] == 404
    request = urllib.request.Request(f"{agent.url}/metrics", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 405
    refused.value.close()


def test_clients_that_say_nothing_neither_block_others_nor_stay_nor_fill_the_log(tmp_path):
    command = f"ulimit -n 256; exec {sys.executable} -P -m agent.cli run --config"
    with RunningAgent(tmp_path, {"collectors": {}}) as agent:
        agent.program.stop()
        agent.program.args = ["bash", "-c", f"{command} {agent.config_file}"]
        agent.start()
        silent = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(400)]
        time.sleep(1.0)
        refused = sum(is_closed(client) for client in silent)
        time.sleep(10.5)
        status, _ = http_get(f"{agent.url}/metrics")
        dropped = sum(is_closed(client) for client in silent)
        for client in silent:
            client.close()

        assert refused >= 400 - 256
        assert dropped == 400
        assert status == 200
        assert len(agent.log_text()) < 20_000


def is_closed(client):
    client.settimeout(0.01)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_two_daemons_do_not_share_one_state_directory(agent):
    command = [sys.executable, "-P", "-m", "agent.cli", "run", "--config", str(agent.config_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 2
    assert "another rackwatt keeps its totals in" in done.stderr
    assert "Traceback" not in done.stderr
