"""What is wrong now, above the tables and in `--once`."""

import json

from fakes.incidents import engine_down, not_reporting, power_capped, unexplained, worded
from fakes.racks import member, rack

from agent.measure.reading import Moment
from agent.measure.validity import Validity
from agent.top.cells import Tone, plain
from agent.top.frame import found_wrong, frame
from agent.top.head import Status
from agent.top.incidents import incident_lines
from agent.top.layout import why_lines
from agent.top.page import read
from agent.wire.rack_codec import to_json

STATUS = Status("http://r", 0.4)
AT = Moment(600.0, 1_800_000_600.0)
VALID = (Validity("rack_tokens_per_second", 10.0),)


def page_of(*incidents, **changes):
    told = to_json(rack(member("a"), incidents=incidents, at=AT, validity=VALID))
    return read(json.dumps(json.loads(told) | changes).encode())


def texts(page, columns=None):
    return [plain(each).rstrip() for each in incident_lines(page, columns)]


def test_what_stands_is_told_worst_first_and_what_ended_is_not():
    page = page_of(
        power_capped(), not_reporting(), engine_down("tray-12", ended=None), engine_down(), unexplained()
    )

    assert [each.partition("; tray-")[0] for each in texts(page)] == [
        "incident: tray-12: drop, engine down; for 2 min; 2,440,000 tokens lost",
        "incident: tray-07: gap, telemetry gap; for 72 s",
        "incident: tray-03 GPU 2: drop, power cap; for 3 min; 1,234,567 tokens lost",
    ]
    assert texts(page)[2].endswith(power_capped().summary)
    tones = [each[0].tone for each in incident_lines(page, None)]
    assert tones == [Tone.BAD, Tone.WARN, Tone.WARN]


def test_a_line_that_is_too_long_is_wrapped():
    assert max(map(len, texts(page_of(power_capped()), 60))) <= 60


def test_once_prints_them_and_why_shows_them():
    page = page_of(power_capped())

    assert "incident: tray-03 GPU 2: drop, power cap; for 3 min" in frame(page, STATUS, 160)
    assert "incident: tray-03 GPU 2" in plain(why_lines(page, 160)[0])


def test_an_incident_that_somebody_must_look_at_is_found_wrong():
    informs = page_of(power_capped())
    informs_only = json.loads(to_json(rack(member("a"), incidents=(power_capped(),), at=AT, validity=VALID)))
    informs_only["incidents"][0]["severity"] = "info"

    assert found_wrong(informs)
    assert not found_wrong(read(json.dumps(informs_only).encode()))
    assert not found_wrong(page_of(engine_down(), unexplained()))


def test_a_server_without_incidents_has_none():
    assert texts(page_of(power_capped(), incidents=None)) == []


def test_what_only_a_newer_server_knows_is_told_in_its_words_as_a_warning():
    told = {"kind": "eclipse", "cause": "the_moon", "severity": "fatal", "node": "a", "summary": "dark"}
    page = page_of(incidents=[told, "no incident"])

    assert texts(page) == ["incident: a: eclipse, the moon; dark"]
    assert incident_lines(page, None)[0][0].tone is Tone.WARN


def test_words_of_an_incident_never_reach_the_terminal_as_codes():
    assert "\x1b" not in frame(page_of(worded("\x1b[2J", "\x1b[31mred")), STATUS, 160)
