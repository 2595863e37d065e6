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
from agent.diagnose.replay import rack_replayed, replayed
from agent.recorder.reading import read


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """An engine that lets nobody read its page for a while; meanwhile a member of its rack is killed."""
    folder = tmp_path_factory.mktemp("flight")
    with TruthEngine(output=constant(500)) as engine, Webhook() as hook:
        fast = {"interval": "500ms", "timeout": "1s"}
        settings = {
            "node": {"name": "tray-07"},
            "collectors": {"engines": {**fast, "targets": [{"url": f"{engine.url}/metrics"}]}},
            "exporters": {"prometheus": {}, "webhook": {"url": f"{hook.url}/told"}},
        }
        member = RunningAgent(
            folder / "member", {"node": {"name": "tray-08"}, "collectors": {"engines": fast}}
        )
        with RunningAgent(folder / "node", settings) as agent, member:
            members = {"name": "r12", "members": [agent.url, member.url]}
            seen = {"rack": members, "collectors": {"peers": fast}}
            with RunningAgent(folder / "head", seen) as head:
                wait_for(lambda: rack(head)["nodes"]["reporting"] == 2)
                time.sleep(1.0)
                engine.answer(401)
                member.program.kill()
                wait_for(lambda: incidents(agent) and hook.of("RackwattIncident", cause="telemetry_gap"))
                wait_for(lambda: len(incidents(head)) == 2 and files(head))
                engine.answer()
                wait_for(lambda: hook.of("RackwattIncident", firing=False))
                yield agent, hook, head


def wait_for(holds):
    ends = time.monotonic() + 25.0
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


def incidents(agent):
    return json.loads(http_get(f"{agent.url}/api/v1/incidents")[1])["incidents"]


def rack(agent):
    status, body = http_get(f"{agent.url}/api/v1/rack")
    return json.loads(body) if status == 200 else {"nodes": {"reporting": 0}}


def gone(head):
    """The incident of the member that was killed."""
    return next(each for each in incidents(head) if each["node"] == "tray-08")


def files(agent):
    return list((agent.state_dir / "incidents").glob("*.gz"))


def test_it_is_on_disk_as_soon_as_it_is_told(story):
    agent, *_ = story
    recording = read(files(agent)[0].read_bytes())

    assert len(files(agent)) == 1
    assert (recording.node, recording.incident.cause, recording.incident.ended) == (
        "tray-07",
        "telemetry_gap",
        None,
    )
    assert agent.value("rackwatt_recordings_lost_total") == 0.0


def test_it_is_given_from_memory_as_it_stands_now_and_a_replay_tells_the_same(story):
    agent, *_ = story
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
    agent, *_ = story
    status, body = http_get(f"{agent.url}/api/v1/incidents/tray-07/gap/1/recording")

    assert (status, "nothing was recorded of it here" in str(body)) == (404, True)


def test_it_is_explained_from_a_url_by_its_file_and_by_the_address_of_its_recording(story, capsys):
    agent, *_ = story
    told = incidents(agent)[0]
    ways = [[agent.url], [str(files(agent)[0])], [f"{agent.url}/api/v1/incidents/{told['id']}/recording"]]
    for way in ways:
        assert main(["explain", *way]) == 0
        text = capsys.readouterr().out

        assert text.startswith("WARNING  gap, telemetry_gap on tray-07: ")
        assert "cannot be read" in text
        assert "judged once more, it is the same" in text


def test_the_incidents_of_a_url_can_be_listed_and_a_wrong_id_is_2(story, capsys):
    agent, *_ = story

    assert main(["explain", agent.url, "--list"]) == 0
    assert incidents(agent)[0]["id"] in capsys.readouterr().out
    assert main(["explain", agent.url, "--incident", "nothing"]) == 2
    assert "there is no such incident" in capsys.readouterr().err


def test_it_was_pushed_once_when_it_opened_and_once_when_it_was_over(story):
    _, hook, _ = story
    told = [(each.labels["cause"], each.firing) for each in hook.told]

    assert told == [("telemetry_gap", True), ("telemetry_gap", False)]


def test_it_was_logged_once_when_it_opened_and_once_when_it_was_over(story):
    agent, *_ = story
    lines = [
        line for line in agent.log_text().splitlines() if "rackwatt.incidents" in line or "incident" in line
    ]

    assert len([line for line in lines if "incident: " in line]) == 1
    assert len([line for line in lines if "incident over: " in line]) == 1


def test_what_only_the_rack_sees_is_recorded_by_the_rack(story):
    *_, head = story
    recording = read(files(head)[0].read_bytes())
    *_, (_, memory) = rack_replayed(recording.steps)

    assert (len(files(head)), recording.scope, recording.rack) == (1, "rack", "r12")
    assert [(each.node, each.kind, each.cause) for each in memory.own_incidents] == [
        ("tray-08", "gap", "telemetry_gap")
    ]


def test_each_incident_of_a_rack_says_who_has_its_recording(story):
    agent, _, head = story
    (of_node,) = [each for each in incidents(head) if each["node"] == "tray-07"]
    own = of_node["id"].removeprefix("r12/")

    assert of_node["recording"] == f"{agent.url}/api/v1/incidents/{own}/recording"
    assert gone(head)["recording"] == f"/api/v1/incidents/{gone(head)['id']}/recording"
    assert read(http_get(of_node["recording"])[1]).scope == "node"
    assert read(http_get(head.url + gone(head)["recording"])[1]).scope == "rack"


def test_what_a_node_told_its_rack_is_explained_from_the_rack_by_what_the_node_recorded(story, capsys):
    *_, head = story
    (of_node,) = [each for each in incidents(head) if each["node"] == "tray-07"]

    assert main(["explain", head.url, "--incident", of_node["id"]]) == 0
    text = capsys.readouterr().out
    assert text.startswith("WARNING  gap, telemetry_gap on tray-07: ")
    assert "judged once more, it is the same" in text


def test_what_only_the_rack_sees_is_explained_from_its_url_and_from_its_file(story, capsys):
    *_, head = story
    for way in (
        [head.url, "--incident", gone(head)["id"]],
        [head.url + gone(head)["recording"]],
        [str(files(head)[0])],
    ):
        assert main(["explain", *way]) == 0
        text = capsys.readouterr().out

        assert text.startswith("WARNING  gap, telemetry_gap on tray-08: goes on")
        assert "tray-08 does not report: unreachable" in text
        assert "1 of 2 members report" in text
        assert "judged once more, it is the same" in text
