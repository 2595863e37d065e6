"""`/api/v1/incidents`: all that is known of the rack's incidents, also what the page no longer shows."""

import json
from dataclasses import replace

import pytest
from fakes import scenes
from fakes.incidents import engine_down, power_capped, unexplained
from fakes.page_agent import ScriptedServer
from fakes.processes import http_get

HOURS_AGO = replace(unexplained(), ended=1_799_990_000.0)


@pytest.fixture
def server():
    with ScriptedServer() as running:
        yield running


def told(server, path):
    status, body = http_get(server.url + path)
    assert status == 200, body
    return [each["id"] for each in json.loads(body)["incidents"]]


def test_before_there_is_a_rack_there_is_no_answer(server):
    assert http_get(f"{server.url}/api/v1/incidents")[0] == 503


def test_a_day_is_told_and_the_rack_shows_what_stands_and_then_what_ended_lately(server):
    incidents = (engine_down(), power_capped(), HOURS_AGO)
    server.publish(replace(scenes.with_troubles(seconds=600.0), incidents=incidents))

    assert told(server, "/api/v1/incidents") == [each.id for each in incidents]
    assert told(server, "/api/v1/rack") == [power_capped().id, engine_down().id]


def test_what_is_unknown_is_null(server):
    server.publish(replace(scenes.with_troubles(), incidents=(power_capped(),)))
    incident = json.loads(http_get(f"{server.url}/api/v1/incidents")[1])["incidents"][0]

    assert (incident["ended"], incident["lost_joules"], incident["lost_cost"]) == (None, None, None)
    assert incident["evidence"][0]["gpu"] is None
    assert incident["lost_tokens"] == 1_234_567.0
