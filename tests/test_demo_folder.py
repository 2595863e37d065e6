"""What a demo that was killed leaves behind goes at the start of the next; nothing else does."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.demo_folder import LOCK, demo_folder, remove_left_over

PROGRAM = """
import time
from agent.demo_folder import demo_folder
with demo_folder() as folder:
    (folder / "rack.log").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temp(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.fixture
def started(temp):
    """A demo in a process of its own, and its folder."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        yield process, temp / Path(process.stdout.readline().strip()).name
        process.kill()


def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid


def test_the_folder_of_a_demo_that_was_killed_goes_at_the_start_of_the_next(started, temp):
    process, folder = started
    process.kill()
    process.wait()
    assert (folder / "rack.log").exists()
    with demo_folder() as own:
        left = list(temp.iterdir())

    assert left == [own]
    assert list(temp.iterdir()) == []


def test_the_folder_of_a_demo_that_runs_stays(started, temp):
    _, folder = started
    with demo_folder():
        pass

    assert (folder / "rack.log").exists()


def test_a_folder_whose_lock_is_held_stays_though_its_number_is_of_nobody_here(started, temp):
    """Its demo runs in another container that has the same folder of temporary files."""
    _, folder = started
    elsewhere = folder.rename(temp / f"rackwatt-demo-{dead_pid()}-abc")
    remove_left_over(temp)

    assert (elsewhere / "rack.log").exists()


def test_what_is_not_certainly_a_demo_s_stays(temp):
    number = dead_pid()
    for name in (f"rackwatt-demo-{number}", f"rackwatt-demo-{number}-abc.d", f"other-{number}-abc"):
        (temp / name).mkdir()
        (temp / name / LOCK).touch()
    (temp / f"rackwatt-demo-{number}-nolock").mkdir()
    (temp / f"rackwatt-demo-{number}-link").symlink_to(temp / f"other-{number}-abc")
    (temp / f"rackwatt-demo-{number}-file").touch()
    before = sorted(temp.iterdir())
    remove_left_over(temp)

    assert sorted(temp.iterdir()) == before
    assert len(before) == 6
