"""One incident of a running daemon: recorded, kept, given, explained, pushed, and logged once."""

import json
import time

import pytest
from fakes.agent import RunningAgent
from fakes.alertmanager import Webhook
from fakes.engines.timeline import constant
from fakes.engines.truth import TruthEngine
from fakes.processes import http_get

from agent.cli import main
from agent.diagnose.replay import replayed
from agent.recorder.reading import read


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """An engine that lets nobody read its page for a while: a telemetry gap."""
    folder = tmp_path_factory.mktemp("flight")
    with TruthEngine(output=constant(500)) as engine, Webhook() as hook:
        fast = {"interval": "500ms", "timeout": "1s"}
        settings = {
            "node": {"name": "tray-07"},
            "collectors": {"engines": {**fast, "targets": [{"url": f"{engine.url}/metrics"}]}},
            "exporters": {"prometheus": {}, "webhook": {"url": f"{hook.url}/told"}},
        }
        with RunningAgent(folder, settings) as agent:
            time.sleep(2.0)
            engine.answer(401)
            wait_for(lambda: incidents(agent) and hook.of("RackwattIncident", cause="telemetry_gap"))
            engine.answer()
            wait_for(lambda: hook.of("RackwattIncident", firing=False))
            yield agent, hook


def wait_for(holds):
    ends = time.monotonic() + 25.0
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def incidents(agent):
    return json.loads(http_get(f"{agent.url}/api/v1/incidents")[1])["incidents"]


def files(agent):
    return list((agent.state_dir / "incidents").iterdir())


def test_it_is_on_disk_as_soon_as_it_is_told(story):
    agent, _ = story
    recording = read(files(agent)[0].read_bytes())

    assert len(files(agent)) == 1
    assert (recording.node, recording.incident.cause, recording.incident.ended) == (
        "tray-07",
        "telemetry_gap",
        None,
    )


def test_it_is_given_from_memory_as_it_stands_now_and_a_replay_tells_the_same(story):
    agent, _ = story
    told = incidents(agent)[0]
    status, body = http_get(f"{agent.url}/api/v1/incidents/{told['id']}/recording")
    recording = read(body)
    *_, (_, memory) = replayed(recording.steps)

    assert status == 200
    assert recording.incident.ended is not None
    assert [(each.id, each.started, each.ended) for each in memory.incidents] == [
        (told["id"], told["started"], told["ended"])
    ]


def test_what_was_not_recorded_is_not_there(story):
    agent, _ = story
    status, body = http_get(f"{agent.url}/api/v1/incidents/tray-07/gap/1/recording")

    assert (status, "nothing was recorded of it here" in str(body)) == (404, True)


def test_it_is_explained_from_a_url_by_its_file_and_by_the_address_of_its_recording(story, capsys):
    agent, _ = story
    told = incidents(agent)[0]
    ways = [[agent.url], [str(files(agent)[0])], [f"{agent.url}/api/v1/incidents/{told['id']}/recording"]]
    for way in ways:
        assert main(["explain", *way]) == 0
        text = capsys.readouterr().out

        assert text.startswith("WARNING  gap, telemetry_gap on tray-07: ")
        assert "cannot be read" in text
        assert "judged once more, it is the same" in text


def test_the_incidents_of_a_url_can_be_listed_and_a_wrong_id_is_2(story, capsys):
    agent, _ = story

    assert main(["explain", agent.url, "--list"]) == 0
    assert incidents(agent)[0]["id"] in capsys.readouterr().out
    assert main(["explain", agent.url, "--incident", "nothing"]) == 2
    assert "there is no such incident" in capsys.readouterr().err


def test_it_was_pushed_once_when_it_opened_and_once_when_it_was_over(story):
    _, hook = story
    told = [(each.labels["cause"], each.firing) for each in hook.told]

    assert told == [("telemetry_gap", True), ("telemetry_gap", False)]


def test_it_was_logged_once_when_it_opened_and_once_when_it_was_over(story):
    agent, _ = story
    lines = [
        line for line in agent.log_text().splitlines() if "rackwatt.incidents" in line or "incident" in line
    ]

    assert len([line for line in lines if "incident: " in line]) == 1
    assert len([line for line in lines if "incident over: " in line]) == 1
