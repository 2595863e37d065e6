"""A recording: what diagnosis was given, written when something goes wrong, read back, judged the same."""

import contextlib
import dataclasses
import gzip
import json
import random
import re

import orjson
import pytest
from fakes.recorded import recorded

from agent.diagnose.diagnosis import Memory, diagnosed
from agent.diagnose.host_signs import HostSigns
from agent.diagnose.replay import Usual, replayed
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.incident_files import IncidentFiles
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity
from agent.recorder.flight_recorder import FlightRecorder
from agent.recorder.lines import FIELDS, READERS, RECORDS, LineError, line_of_signs, signs_of_line
from agent.recorder.reading import Recording, RecordingError, read
from agent.recorder.ring import Ring

CAP = "{kind: power_cap, at: 150s, lasts: 60s, watts: 800}"
GPU = GpuSigns(
    3, "ok", 1.5, 1400.0, 0.5, 2e9, 61.0, frozenset({"b", "a"}), {79: 2.0}, 4.0, fabric_healthy=True
)
ENGINE = EngineSigns(
    "127.0.0.1:8000",
    up=True,
    gone=False,
    activity=Activity.SERVING,
    restarts=1.0,
    output=Point(1.0, 2.0, 0.1, 0.5),
    prompt=None,
    running=0.1 + 0.2,
)
HOST = HostSigns({"cpu some": 1.25}, 2.5, 0.0, 3.1e9, frozenset({"eth0"}), {3: 16.0})
NODE = NodeSigns(
    at=Moment(1000.1, 1.76e9),
    node="tray-00",
    drained=False,
    units=(UnitSigns("d", "m", (ENGINE,), (GPU,)),),
    gpus=(GPU,),
    host=HOST,
)


@pytest.fixture(scope="module")
def capped():
    """A tray whose GPUs were given a lower power limit for a minute."""
    return recorded(CAP, 420)


def line(signs=NODE):
    return orjson.loads(line_of_signs(signs))["signs"]


def test_a_moment_comes_back_as_it_was_to_the_last_bit():
    assert signs_of_line(line(), FIELDS) == NODE


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_every_field_of_a_record_can_be_read_back(record):
    """One that is added with a type of its own wants a reader in `agent/recorder/lines.py`."""
    for field in dataclasses.fields(record):
        type_ = field.type.removesuffix(" | None").removeprefix("tuple[").removesuffix(", ...]")
        assert type_ in {*RECORDS, *READERS}, f"{record.__name__}.{field.name}"


def test_a_field_of_a_newer_rackwatt_is_left_out_and_one_that_an_older_had_not_is_unknown():
    row = dict(zip(FIELDS["GpuSigns"], line()[4][0], strict=True))
    del row["temperature_celsius"]
    row["dreams"] = "of electric sheep"
    plain = line()
    plain[4][0] = list(row.values())
    gpu = signs_of_line(plain, {**FIELDS, "GpuSigns": list(row)}).gpus[0]

    assert gpu == dataclasses.replace(GPU, temperature_celsius=None)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, None),
        (1, 7),
        (2, "no"),
        (3, {}),
        (4, [[1, 2]]),
        (4, [[9e99]]),
        (0, [1.0, "now"]),
        (4, [None] * 5000),
    ],
)
def test_a_moment_that_is_something_else_is_refused(place, value):
    plain = line()
    plain[place] = value
    with pytest.raises(LineError):
        signs_of_line(plain, FIELDS)


def test_any_damage_of_a_moment_is_refused_or_read_but_never_another_error():
    dice, text = random.Random(5), line_of_signs(NODE)
    for _ in range(1500):
        broken = bytearray(text)
        broken[dice.randrange(len(broken))] = dice.randrange(32, 127)
        try:
            plain = orjson.loads(broken).get("signs")
        except (orjson.JSONDecodeError, AttributeError):
            continue
        with contextlib.suppress(LineError):
            signs_of_line(plain, FIELDS)


def test_it_is_written_when_an_incident_opens_a_minute_later_and_when_it_is_over(capped):
    opened, *_, over = [read(cut.body) for cut in capped.cuts]

    assert (opened.incident.ended, over.incident.ended is None) == (None, False)
    assert {cut.incident for cut in capped.cuts} == {over.incident.id}
    assert 2 <= len(capped.cuts) <= 3


def test_a_replay_tells_the_same_incidents_as_the_daemon_did(capped):
    recording = read(capped.cuts[-1].body)
    *_, (_, memory) = replayed(recording.steps)

    assert memory.incidents == capped.incidents == (recording.incident,)


def test_a_replay_of_a_part_begins_with_what_was_usual_and_tells_the_same(capped):
    began = capped.incidents[0].started
    steps = read(capped.cuts[-1].body).steps
    first = next(n for n, step in enumerate(steps) if isinstance(step, Usual) and step.baselines)
    *_, (_, memory) = replayed(steps[first:])
    told = memory.incidents[0]

    assert (told.cause, told.kind, told.severity) == ("power_cap", "drop", "warning")
    assert told.started == pytest.approx(began, abs=1.5)
    assert told.lost_tokens == pytest.approx(capped.incidents[0].lost_tokens, rel=0.03)


def test_what_stands_when_the_daemon_ends_is_written_as_it_stands():
    stands = recorded(CAP, 190)
    before = len(stands.cuts)
    stands.recorder.finish()
    last = read(stands.cuts[-1].body)

    assert len(stands.cuts) == before + 1
    assert (last.steps[-1], last.incident.ended) == (stands.signs[-1], None)


def test_an_incident_that_outlives_the_daemon_is_followed_in_the_file_of_the_run_before(tmp_path, capped):
    """A daemon that is killed comes back with the same incident, and without what was in memory."""
    files, memory = IncidentFiles(tmp_path, 1 << 24, 1e12), Memory()
    recorder = FlightRecorder(4 << 20, {"boot_id": "boot-1"}, files.write)
    for second, signs in enumerate(capped.signs[:240]):
        if second == 180:
            recorder = FlightRecorder(4 << 20, {"boot_id": "boot-1"}, files.write)
        before, memory = memory, diagnosed(memory, signs)
        if not 180 <= second < 185:
            recorder.take(signs, memory.incidents, before)
    (incident,) = memory.incidents
    kept = read(files.read(incident.id))
    moments = [step.at for step in kept.steps if not isinstance(step, Usual)]

    assert (moments[0], kept.incident.ended) == (capped.signs[0].at, incident.ended)
    assert {each.monotonic_seconds for each in moments} >= {
        capped.signs[n].at.monotonic_seconds for n in (159, 185, 215)
    }


def test_what_rings_nobody_is_not_written():
    restart = recorded("{kind: engine_crash, at: 100s, lasts: 8s}", 150)

    assert {each.severity for each in restart.incidents} == {"info"}
    assert restart.cuts == []


def test_text_that_is_no_unicode_costs_a_line_and_not_the_daemon(caplog):
    recorder = FlightRecorder(1 << 20, {}, print)
    for _ in range(2):
        recorder.take(dataclasses.replace(NODE, node="\udc80"), (), Memory())

    assert [each.getMessage() for each in caplog.records] == ["a moment cannot be recorded"]


def test_the_ring_goes_back_half_an_hour_and_no_further():
    ring = Ring(8 << 20)
    for second in range(4000):
        ring.take(float(second), b"x", lambda: b"usual")

    assert 3999 - 1800 - 61 <= ring.oldest <= 3999 - 1800
    assert ring.size_bytes < 4000


def test_the_ring_is_bounded_in_bytes_whatever_comes():
    dice, ring, most = random.Random(1), Ring(600_000), 0
    for second in range(200):
        ring.take(float(second), dice.randbytes(20_000), lambda: b"usual")
        most = max(most, ring.size_bytes)

    assert 300_000 < most <= 600_000


def test_a_ring_of_nothing_keeps_nothing():
    ring = Ring(0)
    ring.take(1.0, b"x", lambda: b"usual")

    assert (ring.oldest, ring.since(0.0)) == (None, b"")


HEAD = {"format": "rackwatt recording", "version": 1, "columns": FIELDS, "incident": None}


def packed(*lines):
    return gzip.compress(
        b"".join((each if isinstance(each, bytes) else orjson.dumps(each)) + b"\n" for each in lines)
    )


def whole(signs=NODE):
    return packed(HEAD, line_of_signs(signs))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is no recording"),
        (b"{}", "is no recording"),
        (b"[1]\n", "is no recording"),
        (packed({"signs": []}), "is no recording"),
        (packed({**HEAD, "format": "diary"}), "its format is 'diary'"),
        (packed({**HEAD, "version": 2}), "has version 2, this rackwatt reads up to 1: use a newer one"),
        (packed({**HEAD, "version": "1"}), "which is none"),
        (packed({**HEAD, "columns": None}), "does not name its columns"),
        (packed({**HEAD, "incident": {"id": 1}}), "its incident is not understood"),
        (packed(HEAD), "has no moment in it"),
        (packed(HEAD, {"signs": [1, 2]}), "line 2: "),
        (packed(HEAD, b"not json"), "line 2: is not JSON"),
        (packed(HEAD, {"usual": {"m": 7}}), "line 2: "),
        (b"\x1f\x8b" + bytes(40), "cannot be unpacked"),
        (whole()[:60], "cut short"),
    ],
    ids=range(16),
)
def test_what_is_no_recording_is_refused_with_the_reason(body, why):
    with pytest.raises(RecordingError, match=re.escape(why)):
        read(body)


def test_a_bomb_is_refused_before_it_fills_memory(monkeypatch):
    monkeypatch.setattr("agent.recorder.reading.MOST_INFLATED_BYTES", 1 << 20)
    with pytest.raises(RecordingError, match="unpacks to more than 1 MiB"):
        read(gzip.compress(orjson.dumps(HEAD) + b"\n" * (4 << 20)))


def test_a_line_without_end_is_refused():
    with pytest.raises(RecordingError, match="has a line of more than 4 MiB"):
        read(packed(b"a" * (5 << 20)))


def test_what_is_cut_short_is_read_as_far_as_it_goes_and_says_so(capped):
    body = capped.cuts[-1].body
    part = read(body[: len(body) - 500])

    assert len(part.steps) > 50
    assert part.notes == ("the file is cut short: what followed is missing",)


def test_any_damage_of_a_file_is_refused_or_said_and_never_another_error(capped):
    body, dice, refused, noted = capped.cuts[0].body, random.Random(7), 0, 0
    for _ in range(40):
        broken = bytearray(body)
        for _ in range(dice.choice((1, 1, 3, 30))):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        try:
            noted += bool(read(bytes(broken)).notes)
        except RecordingError as error:
            refused += bool(str(error))

    assert refused + noted >= 35
    assert min(refused, noted) >= 1


def test_it_can_be_read_unpacked_and_twice_in_a_row(capped):
    body = capped.cuts[-1].body
    once = read(body)

    assert read(gzip.decompress(body)).steps == once.steps
    assert [s for s in read(body + body).steps if not isinstance(s, Usual)] == [
        s for s in once.steps if not isinstance(s, Usual)
    ]


def test_the_head_is_the_first_line_and_names_what_it_is(capped):
    head = json.loads(gzip.decompress(capped.cuts[-1].body).partition(b"\n")[0])

    assert (head["format"], head["version"], head["node"], head["boot_id"]) == (
        "rackwatt recording",
        1,
        "tray-00",
        "boot-1",
    )
    assert isinstance(read(capped.cuts[-1].body), Recording)
