"""Recordings on disk: replaced whole, pruned, and no disk stops the daemon."""

import gzip
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from agent.incident_files import IncidentFiles, Scribe
from agent.recorder.flight_recorder import Cut

CUT = Cut("r12/tray-01/llama/1760000000", 1_760_000_000.0, b"x" * 100, goes_on=False)
DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.fixture
def files(tmp_path):
    return IncidentFiles(tmp_path / "incidents", 1000, 30 * DAY, lambda: NOW)


def numbered(number, size=100):
    return replace(CUT, incident=f"i{number}", started=CUT.started + number, body=b"%d" % number * size)


def test_it_is_found_by_the_id_of_its_incident_and_by_no_other(files):
    files.write(CUT)

    assert files.read(CUT.incident) == CUT.body
    assert files.read("r12/tray-01/llama/1760000001") is None


def test_its_name_says_when_and_no_id_can_leave_the_directory(files, tmp_path):
    files.write(replace(CUT, incident="../../etc/passwd"))

    assert [path.name[:17] for path in (tmp_path / "incidents").iterdir()] == ["20251009T085320Z-"]


def test_the_end_of_an_incident_replaces_what_was_kept_when_it_opened(files, tmp_path):
    files.write(CUT)
    files.write(replace(CUT, body=b"y" * 50))

    assert files.read(CUT.incident) == b"y" * 50
    assert len(list((tmp_path / "incidents").iterdir())) == 1


def test_one_that_goes_on_follows_what_is_there(files):
    files.write(replace(CUT, body=gzip.compress(b"one ")))
    files.write(replace(CUT, body=gzip.compress(b"two"), goes_on=True))

    assert gzip.decompress(files.read(CUT.incident)) == b"one two"


def test_the_oldest_go_when_there_is_no_room(files, tmp_path):
    for number in range(1, 10):
        files.write(numbered(number, 300))
        path = next(p for p in (tmp_path / "incidents").iterdir() if p.read_bytes()[:1] == b"%d" % number)
        os.utime(path, (NOW + number, NOW + number))

    assert [files.read(f"i{number}") is not None for number in range(1, 10)] == [False] * 6 + [True] * 3


def test_what_is_too_old_goes_and_what_is_not_ours_stays(files, tmp_path):
    files.write(CUT)
    other = tmp_path / "incidents" / "notes.jsonl.gz"
    other.write_bytes(b"mine")
    for path in (tmp_path / "incidents").iterdir():
        os.utime(path, (NOW - 31 * DAY, NOW - 31 * DAY))
    files.prune()

    assert list((tmp_path / "incidents").iterdir()) == [other]


def test_a_recording_that_is_larger_than_all_may_be_is_not_written(files):
    with pytest.raises(OSError, match="more than retention_size"):
        files.write(replace(CUT, body=b"x" * 2000))


def test_a_disk_that_takes_nothing_is_said_once_and_what_comes_later_is_kept(tmp_path, caplog):
    caplog.set_level("INFO", "rackwatt.recorder")
    blocked = tmp_path / "incidents"
    blocked.write_text("a file where a directory should be")
    scribe = Scribe(IncidentFiles(blocked, 1000, DAY, lambda: NOW))
    for number in (1, 2):
        scribe.submit(numbered(number, 10))
        assert scribe.flush(5.0)
    blocked.unlink()
    scribe.submit(numbered(3, 10))

    assert scribe.flush(5.0)
    assert scribe.lost == 2
    assert [each.getMessage() for each in caplog.records] == [
        "recordings of incidents are not kept",
        "recordings of incidents are kept again",
    ]


def test_a_full_disk_leaves_the_old_recording_and_no_half_one(files, tmp_path, monkeypatch):
    files.write(CUT)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(replace(CUT, body=b"y" * 50))

    assert files.read(CUT.incident) == CUT.body
    assert len(list((tmp_path / "incidents").iterdir())) == 1


WRITER = """
import sys
from pathlib import Path
from agent.incident_files import IncidentFiles
from agent.recorder.flight_recorder import Cut
files, number = IncidentFiles(Path(sys.argv[1]), 1 << 26, 1e12), 0
while True:
    number += 1
    files.write(Cut("i", 1.76e9, b"%d" % (number % 10) * 3_000_000, goes_on=False))
    if number == 1:
        print("written", flush=True)
"""


def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_recording_and_nothing_for_long(tmp_path):
    files, halves = IncidentFiles(tmp_path, 1 << 26, 1e12), 0
    for wait in (0.002, 0.007, 0.015):
        command = [sys.executable, "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(wait)
            process.kill()
        body = files.read("i")
        halves += any(path.suffix == ".new" for path in tmp_path.iterdir())

        assert body == body[:1] * 3_000_000
    files.write(replace(CUT, incident="i"))

    assert [path.suffix for path in tmp_path.iterdir()] == [".gz"]
    assert halves >= 1
