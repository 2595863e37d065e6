"""The webhook: Alertmanager's own form, version 4, posted when something begins, changes or ends."""

import json
from dataclasses import replace

import pytest
from fakes.incidents import engine_down, power_capped
from fakes.page_server import Answer, PageServer

from agent.measure.incident import Severity
from agent.measure.reading import Moment
from exporters.webhook import Settings, build

NOW = 1_800_000_500.0
STANDS, SECOND = power_capped(), engine_down(ended=None)


@pytest.fixture
def at(snapshot):
    def made(seconds, *incidents):
        identity = replace(snapshot.node, rack="r12")
        at = Moment(5000.0 + seconds, NOW + seconds)
        return replace(snapshot, node=identity, incidents=incidents, rack=None, at=at)

    return made


async def test_a_notification_has_every_key_of_version_4(at):
    async with PageServer({"/hook": Answer()}) as server:
        pusher = build(Settings(url=f"{server.url}/hook", external_url="http://rack:9744"))
        await pusher.send(pusher.encode(at(0, STANDS, SECOND)))
        await pusher.close()
        told = json.loads(server.requests[0].body)
        first = told.pop("alerts")[0]

    assert told == {
        "version": "4",
        "groupKey": '{}:{alertname="RackwattIncident",rack="r12"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rackwatt",
        "groupLabels": {"alertname": "RackwattIncident", "rack": "r12"},
        "commonLabels": {
            "alertname": "RackwattIncident",
            "rack": "r12",
            "scope": "node",
            "kind": "drop",
            "model": STANDS.model,
        },
        "commonAnnotations": {"link": "http://rack:9744"},
        "externalURL": "http://rack:9744",
    }
    assert (first["status"], first["startsAt"], first["endsAt"]) == (
        "firing",
        "2027-01-15T08:06:40.000Z",
        "0001-01-01T00:00:00Z",
    )
    assert len(first["fingerprint"]) == 16
    assert first.keys() == {
        "status",
        "labels",
        "annotations",
        "startsAt",
        "endsAt",
        "generatorURL",
        "fingerprint",
    }


async def test_it_is_posted_when_something_changes_and_each_four_hours(at):
    pusher = build(Settings())
    story = [(0, STANDS), (60, STANDS), (62, STANDS, SECOND), (3600, STANDS, SECOND), (14462, STANDS, SECOND)]
    posted = [second for second, *incidents in story if pusher.encode(at(second, *incidents)) is not None]

    assert posted == [0, 62, 14462]


async def test_the_last_end_makes_the_group_resolved_and_is_told_once(at):
    async with PageServer({"/hook": Answer()}) as server:
        pusher = build(Settings(url=f"{server.url}/hook"))
        await pusher.send(pusher.encode(at(0, STANDS, SECOND)))
        await pusher.send(pusher.encode(at(10, STANDS)))
        after_one = pusher.encode(at(12, STANDS))
        await pusher.send(pusher.encode(at(20)))
        await pusher.close()
        told = [json.loads(request.body) for request in server.requests]

    assert after_one is None
    assert [(each["status"], [a["status"] for a in each["alerts"]]) for each in told] == [
        ("firing", ["firing", "firing"]),
        ("firing", ["firing", "resolved"]),
        ("resolved", ["resolved"]),
    ]
    assert told[2]["alerts"][0]["fingerprint"] == told[0]["alerts"][0]["fingerprint"]
    assert pusher.encode(at(40)) is None


async def test_what_rings_nobody_is_posted_only_where_it_is_asked_for(at):
    quiet = replace(STANDS, severity=Severity.INFO)

    assert build(Settings()).encode(at(0, quiet)) is None
    assert build(Settings(severity=Severity.INFO)).encode(at(0, quiet)).points == 1
