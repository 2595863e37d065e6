"""`rackwatt explain`: the story of an incident, from a file or a daemon."""

import dataclasses
import gzip
import json
import os
from pathlib import Path

import pytest
from fakes import scenes
from fakes.incidents import not_reporting
from fakes.page_agent import ScriptedServer
from fakes.recorded import MODEL, recorded

from agent.cli import main
from agent.explain.account import account_of, account_without
from agent.explain.text import text_of
from agent.measure.incident import Cause
from agent.recorder.reading import read

TESTS = Path(__file__).resolve().parents[1]
CAP = "{kind: power_cap, at: 150s, lasts: 60s, watts: 800}"


@pytest.fixture(scope="module")
def capped():
    """The recording of a tray whose power limit was lowered for a minute."""
    return recorded(CAP, 260).cuts[-1].body


@pytest.fixture(scope="module")
def account(capped):
    return account_of(read(capped))


@pytest.fixture
def explain(capsys):
    """Run the command; return its exit code, output and errors."""

    def run(*arguments):
        try:
            code = main(["explain", *map(str, arguments)])
        except SystemExit as left:
            code = left.code
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_it_says_what_where_why_how_sure_and_what_it_cost(account):
    text = text_of(account)

    assert text.startswith("WARNING  drop, power_cap on tray-00: over after 1 min 0 s\n")
    assert "the power limit holds down GPUs 0, 1, 2, 3" in text.replace("\n", " ")
    assert "sure        likely (0.7" in text
    assert f"lost        {account.incident.lost_tokens:,.0f} output tokens, 0 J; money not reckoned" in text
    assert "The power limit holds clocks down: see gpu_power_limit_watts, and who set it." in text


def test_the_time_line_tells_what_changed_before_it_was_told(account):
    texts = [(each.text, each.gpus) for each in account.events]

    assert texts.index(("power limit 800 W, was 1400 W", (0, 1, 2, 3))) < texts.index(
        ("it is sure, and told", ())
    )
    assert texts.index(("power limit 1400 W, was 800 W", (0, 1, 2, 3))) < texts.index(("it is over", ()))


def test_what_it_is_not_has_a_reason_or_the_figures_that_were_looked_at(account):
    others = {cause: each for each in account.others for cause in each.causes}

    assert others[Cause.HOST_PRESSURE].text.startswith("its GPUs draw 3200 W, before 4543 W; the GPU whose")
    assert others[Cause.HOST_PRESSURE].why == ""
    assert others[Cause.GPU_LOST].text == "4 of 4 GPUs answer"
    assert "before 65%" in others[Cause.KV_SATURATION].text
    assert Cause.POWER_CAP not in others
    assert not others.keys() & {Cause.UNKNOWN, Cause.TELEMETRY_GAP}


def test_every_cause_that_a_judge_can_name_is_told_or_looked_at(account):
    of_a_rack = {Cause.NODE_DOWN, Cause.TELEMETRY_GAP, Cause.UNKNOWN}
    told = {cause for each in account.others for cause in each.causes} | {account.incident.cause}

    assert set(Cause) - of_a_rack - told == set()


def test_what_is_not_measured_is_said_to_be_unknown(capped):
    recording = read(capped)
    blind = [
        step
        if not hasattr(step, "gpus")
        else dataclasses.replace(
            step,
            units=tuple(dataclasses.replace(unit, gpus=()) for unit in step.units),
            gpus=(),
        )
        for step in recording.steps
    ]
    account = account_of(dataclasses.replace(recording, steps=tuple(blind)))

    assert account.unknown[0] == "no GPU is known to belong to these engines: nothing is said of hardware"
    assert "judged once more by this rackwatt it is drop, unknown" in text_of(account)


def test_a_hole_in_the_recording_is_said(capped):
    recording = read(capped)
    steps = recording.steps[:100] + recording.steps[130:]

    assert account_of(dataclasses.replace(recording, steps=steps)).notes == (
        "30 s within the recording are missing from it",
    )


def test_an_engine_that_died_is_told_with_its_moments():
    account = account_of(read(recorded("{kind: engine_crash, at: 120s, lasts: 60s}", 230).cuts[-1].body))
    texts = [each.text for each in account.events]

    assert (account.incident.cause, account.same) == ("engine_down", True)
    assert texts.index("engine 127.0.0.1:8000 does not listen any more") < texts.index("it is sure, and told")
    assert "engine 127.0.0.1:8000 answers again" in texts


def test_an_incident_without_a_recording_is_told_as_far_as_it_is_known():
    text = text_of(account_without(not_reporting(), "nobody recorded it"))

    assert "not known: nobody saw what was made" in text
    assert text.endswith("note: nobody recorded it")
    assert "WHAT IT IS NOT" not in text


def test_words_of_others_cannot_move_the_cursor(capped):
    recording = read(capped)
    hostile = dataclasses.replace(recording.incident, summary="\x1b[2J\x07 gone", model="a\nb")
    text = text_of(account_of(dataclasses.replace(recording, incident=hostile)))

    assert all(line.isprintable() for line in text.split("\n"))


def test_a_file_is_explained_with_exit_code_0(explain, tmp_path, capped):
    path = tmp_path / "incident.jsonl.gz"
    path.write_bytes(capped)
    code, out, err = explain(path)

    assert (code, err) == (0, "")
    assert "judged once more, it is the same" in out


def test_the_recording_of_the_docs_is_told_as_the_docs_show_it(explain):
    code, out, _ = explain(TESTS / "captures" / "incidents" / "twin_power_cap.jsonl.gz")
    golden = TESTS / "golden" / "explain_power_cap.txt"
    if os.environ.get("RACKWATT_UPDATE_GOLDENS") == "1":
        golden.write_text(out)

    assert (code, out) == (0, golden.read_text())


def test_json_has_all_of_it(explain, tmp_path, capped):
    path = tmp_path / "incident.jsonl"
    path.write_bytes(gzip.decompress(capped))
    told = json.loads(explain(path, "--json")[1])

    assert (told["incident"]["cause"], told["same"], told["again"]["cause"]) == (
        "power_cap",
        True,
        "power_cap",
    )
    assert {"events", "others", "unknown", "notes", "recorded", "missing", "explained"} <= told.keys()
    assert told["incident"]["model"] == MODEL


@pytest.mark.parametrize(
    ("body", "code", "why"),
    [
        (b"", 1, "is empty"),
        (b"hello\n", 1, "is no recording of rackwatt"),
        (
            b'{"format":"rackwatt recording","version":9}\n',
            1,
            "has version 9, this rackwatt reads up to 1: use a newer one",
        ),
        (None, 2, "No such file or directory"),
    ],
    ids=["empty", "other", "newer", "absent"],
)
def test_a_file_that_cannot_be_explained_says_why(explain, tmp_path, body, code, why):
    path = tmp_path / "file"
    if body is not None:
        path.write_bytes(body)
    got, out, err = explain(path)

    assert (got, out) == (code, "")
    assert err.startswith(f"rackwatt: {path}")
    assert why in err


@pytest.mark.parametrize(
    ("recording", "why"),
    [
        ("", "note: there is no recording: nothing is recorded there"),
        ("/api/v1/incidents/x/recording", "note: there is no recording: "),
        ("http://127.0.0.1:9/r", "ask it: rackwatt explain http://127.0.0.1:9/r"),
    ],
    ids=["none", "gone", "node away"],
)
def test_without_its_recording_an_incident_of_a_url_is_told_as_far_as_it_goes(explain, recording, why):
    told = dataclasses.replace(not_reporting(), recording=recording)
    with ScriptedServer() as server:
        server.publish(dataclasses.replace(scenes.with_troubles(), incidents=(told,)))
        code, out, err = explain(server.url)

    assert (code, err) == (0, "")
    assert out.startswith("WARNING  gap, telemetry_gap on tray-07: goes on")
    assert why in out


def test_nobody_at_a_url_is_1_and_a_list_of_a_file_is_2(explain, tmp_path):
    code, _, err = explain("http://127.0.0.1:9")

    assert (code, "127.0.0.1:9" in err) == (1, True)
    assert explain(tmp_path, "--list")[0] == 2
