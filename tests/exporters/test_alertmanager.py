"""Incidents as alerts: sent while they stand, repeated, taken back at their end, lost only when counted."""

import json
import time
from dataclasses import replace

import pytest
from fakes.alertmanager import Alertmanager, Webhook
from fakes.incidents import MODEL, engine_down, not_reporting, power_capped, unexplained
from fakes.page_server import Answer, PageServer

from agent.measure.alerts import MOST_OWED, AlertBook, Choice, Scope, alert_of, alerts_of
from agent.measure.incident import Cause, Severity
from agent.measure.push import PushError
from agent.measure.reading import Moment
from exporters.alertmanager import Settings, build, examine

NOW = 1_800_000_500.0
STANDS = power_capped()
OVER = replace(STANDS, ended=NOW + 10.0)
PATH = "/api/v2/alerts"


@pytest.fixture
def at(snapshot):
    """A snapshot with these incidents so many seconds on."""

    def made(seconds, *incidents, base=NOW):
        return replace(snapshot, incidents=incidents, rack=None, at=Moment(5000.0 + seconds, base + seconds))

    return made


def told(batch):
    return [(each["labels"]["cause"], each["endsAt"]) for each in json.loads(batch.body)]


def test_an_incident_is_an_alert_with_what_it_is_known_by_and_what_a_person_reads():
    alert = alert_of(STANDS, "r12", "http://rack:9744/")

    assert alert.labels == {
        "alertname": "RackwattIncident",
        "incident": f"tray-03/{MODEL}/1800000400",
        "scope": "node",
        "kind": "drop",
        "cause": "power_cap",
        "severity": "warning",
        "rack": "r12",
        "node": "tray-03",
        "gpu": "2",
        "model": MODEL,
    }
    assert alert.annotations["summary"] == STANDS.summary
    assert alert.annotations["evidence"].splitlines() == [each.text for each in STANDS.evidence]
    assert alert.annotations["link"] == "http://rack:9744/"
    assert alert.annotations["explain"].startswith("rackwatt explain http://rack:9744 --incident tray-03/")


def test_what_is_unknown_is_no_label_and_without_an_address_there_is_no_link():
    alert = alert_of(not_reporting(), "", "")

    assert not {"gpu", "model", "rack"} & alert.labels.keys()
    assert not {"link", "explain", "recording"} & alert.annotations.keys()


@pytest.mark.parametrize(
    ("told", "page", "annotation"),
    [
        (
            "/api/v1/incidents/a/recording",
            "http://rack:9744/",
            "http://rack:9744/api/v1/incidents/a/recording",
        ),
        ("/api/v1/incidents/a/recording", "", None),
        ("http://tray-03:9744/r", "", "http://tray-03:9744/r"),
        ("", "http://rack:9744/", None),
    ],
    ids=["ours", "of an unknown address", "of a member", "none"],
)
def test_an_alert_says_where_the_recording_is(told, page, annotation):
    alert = alert_of(replace(STANDS, recording=told), "r12", page)

    assert alert.annotations.get("recording") == annotation


@pytest.mark.parametrize(
    ("least", "causes"),
    [
        ("info", ["unknown", "power_cap", "engine_down"]),
        ("warning", ["power_cap", "engine_down"]),
        ("critical", ["engine_down"]),
    ],
)
def test_what_is_below_the_severity_is_not_sent(at, least, causes):
    incidents = (replace(unexplained(), ended=None), STANDS, engine_down(ended=None))
    found = alerts_of(at(0, *incidents), Choice(Severity(least)))

    assert [alert.labels["cause"] for alert in found.values()] == causes


@pytest.mark.parametrize(
    ("scope", "members", "nodes"),
    [
        ("auto", True, ["tray-07"]),
        ("auto", False, ["tray-03"]),
        ("node", True, ["tray-03"]),
        ("rack", False, []),
    ],
)
def test_a_rack_speaks_for_its_nodes_unless_told_otherwise(snapshot, rack, scope, members, nodes):
    rack = replace(rack, incidents=(not_reporting(),)) if members else None
    seen = replace(snapshot, incidents=(STANDS,), rack=rack)

    assert [a.labels["node"] for a in alerts_of(seen, Choice(scope=Scope(scope))).values()] == nodes


def test_it_is_sent_at_once_then_each_minute_and_expires_five_minutes_after_the_last(at):
    pusher = build(Settings())
    sent = {second: pusher.encode(at(second, STANDS)) for second in range(0, 130, 2)}

    assert [second for second, batch in sent.items() if batch is not None] == [0, 60, 120]
    assert told(sent[0]) == [("power_cap", "2027-01-15T08:13:20.000Z")]
    assert told(sent[60]) == [("power_cap", "2027-01-15T08:14:20.000Z")]


def test_nothing_is_sent_while_nothing_is_wrong(at):
    pusher = build(Settings())

    assert [pusher.encode(at(second)) for second in (0, 2, 400)] == [None, None, None]


async def test_its_end_is_sent_until_it_is_delivered_and_then_no_more(at):
    async with PageServer({PATH: Answer(status=503)}) as server:
        pusher = build(Settings(urls=(server.url,)))
        pusher.encode(at(0, STANDS))
        ended = pusher.encode(at(12, OVER))
        with pytest.raises(PushError):
            await pusher.send(ended)
        again = pusher.encode(at(72, OVER))
        server.answers[PATH] = Answer()
        await pusher.send(again)
        await pusher.close()

    assert told(ended) == told(again) == [("power_cap", "2027-01-15T08:08:32.000Z")]
    assert [pusher.encode(at(second, OVER)) for second in (74, 140, 500)] == [None, None, None]


async def test_after_two_minutes_away_it_hears_at_once_what_stands_and_of_the_end_that_it_missed(at):
    gone = replace(engine_down(ended=None), started=NOW + 10.0)
    async with PageServer({PATH: Answer()}) as server:
        pusher, heard, waiting = build(Settings(urls=(server.url,))), [], None
        for second in range(0, 200, 2):
            server.answers[PATH] = Answer(status=503 if 20 <= second < 140 else 200)
            batch = pusher.encode(at(second, STANDS, *((gone,) if 10 <= second < 60 else ())))
            waiting = batch or waiting
            try:
                if waiting is not None:
                    await pusher.send(waiting)
                    heard.append((second, waiting))
                    waiting = None
            except PushError:
                continue
        await pusher.close()

    assert [second for second, _ in heard] == [0, 10, 140, 180]
    missed = {each["labels"]["cause"]: each["endsAt"] for each in json.loads(heard[2][1].body)}
    assert missed["engine_down"] == "2027-01-15T08:09:20.000Z"
    assert (
        missed["power_cap"] > "2027-01-15T08:10:40.000Z"
    )  # now: what is over by then would be taken as ended
    assert [cause for cause, _ in told(heard[3][1])] == ["power_cap"]


def test_one_that_turns_out_to_be_another_ends_as_the_old_and_begins_as_the_new(at):
    pusher = build(Settings())
    pusher.encode(at(0, replace(STANDS, cause=Cause.UNKNOWN)))
    batch = pusher.encode(at(10, STANDS))

    assert told(batch) == [
        ("power_cap", "2027-01-15T08:13:30.000Z"),
        ("unknown", "2027-01-15T08:08:30.000Z"),
    ]
    assert {each["startsAt"] for each in json.loads(batch.body)} == {"2027-01-15T08:06:40.000Z"}


def test_one_that_is_what_it_was_again_is_not_told_to_have_ended(at):
    pusher, other = build(Settings()), replace(STANDS, severity=Severity.CRITICAL)
    for second, each in ((0, STANDS), (2, other)):
        pusher.encode(at(second, each))
    batch = pusher.encode(at(4, STANDS))

    assert [each["labels"]["severity"] for each in json.loads(batch.body)] == ["warning", "critical"]


def test_a_receiver_that_is_away_costs_bounded_memory_and_what_is_lost_is_counted():
    book = AlertBook()
    for number in range(MOST_OWED + 50):
        alert = alert_of(replace(STANDS, id=str(number)), "r12", "")
        book.taken({alert.key: alert}, NOW + number)
    owed = book.taken({}, NOW + 900.0)

    assert len(owed) == MOST_OWED
    assert (book.take_lost(), book.take_lost()) == (50, 0)
    assert owed[-1].labels["incident"] == str(MOST_OWED + 49)


async def test_every_one_of_a_cluster_is_told_and_one_that_takes_it_is_enough(at):
    async with PageServer({PATH: Answer()}) as one, PageServer({PATH: Answer(status=500)}) as two:
        pusher = build(Settings(urls=(one.url, two.url)))
        assert await pusher.send(pusher.encode(at(0, STANDS))) == 0
        await pusher.close()

        assert len(one.requests) == len(two.requests) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"urls": ()}, "name at least one"),
        ({"urls": ("ftp://x",)}, "urls"),
        ({"urls": ("http://u:p@x",)}, "basic_auth"),
        ({"external_url": "rack"}, "external_url"),
        ({"follow_redirects": True}, "follow_redirects"),
    ],
)
def test_settings_that_can_not_be_honoured_are_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        Settings(**wrong)


CONFIG = """
route: {receiver: hook, group_by: [rack], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: "%s/told", send_resolved: true}]
"""


def wait_for(holds, seconds=20.0):
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


async def test_a_real_alertmanager_tells_it_once_while_it_is_repeated_and_once_when_it_ends(at, tmp_path):
    with Webhook() as hook:
        config = tmp_path / "alertmanager.yml"
        config.write_text(CONFIG % hook.url)
        with Alertmanager(config, tmp_path) as real:
            settings = Settings(urls=(f"http://{real.address}",), external_url="http://rack:9744")
            pusher, base = build(settings), time.time() - 130.0
            stands = replace(STANDS, started=base)
            assert "takes alerts" in (await examine(settings))[0].text
            for second in (0, 60, 120):
                await pusher.send(pusher.encode(at(second, stands, base=base)))
            wait_for(lambda: hook.of("RackwattIncident", cause="power_cap"))
            time.sleep(2.5)  # two intervals of the group: it would have told again by now
            await pusher.send(pusher.encode(at(128, replace(stands, ended=base + 126.0), base=base)))
            wait_for(lambda: hook.of("RackwattIncident", firing=False))
            await pusher.close()

    firing, over = hook.of("RackwattIncident"), hook.of("RackwattIncident", firing=False)
    assert (len(firing), len(over)) == (1, 1)
    assert firing[0].labels["incident"] == STANDS.id
    assert firing[0].annotations["link"] == "http://rack:9744"
