"""Totals on disk: small, atomic, versioned, safe when the disk is full."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.store import Saver, Store, StoreError, trial

STATE = {"counters": {"gpu/GPU-1/energy": [12.5, 100.0, "boot:a", 1700000000.0, 0]}, "gpus": {"GPU-1": 0}}


def test_what_was_saved_is_loaded_again(tmp_path):
    store = Store(tmp_path)
    store.save(STATE)

    assert store.load().state == STATE


def test_a_directory_that_does_not_exist_is_made(tmp_path):
    Store(tmp_path / "a" / "b").save(STATE)

    assert Store(tmp_path / "a" / "b").load().state == STATE


def test_without_a_file_there_is_no_state_and_nothing_to_tell(tmp_path):
    kept = Store(tmp_path).load()

    assert (kept.state, kept.note) == (None, "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "is not a file of totals"),
        (b"\0" * 4096, "is not a file of totals"),
        (b"[]\n{}\n", "is not a file of totals"),
        (b'{"version": 1, "crc32": 5}\n{"counters": {}}\n', "is damaged"),
        (b'{"version": 99, "crc32": 5}\n{}\n', "has version 99, this rackwatt knows 1"),
    ],
)
def test_an_unusable_file_is_set_aside_and_said(tmp_path, body, why):
    (tmp_path / "totals.json").write_bytes(body)
    kept = Store(tmp_path).load()

    assert kept.state is None
    assert why in kept.note
    assert "totals start at 0" in kept.note
    assert (tmp_path / "totals.unusable.json").read_bytes() == body


def test_a_file_cut_anywhere_is_never_taken_for_whole(tmp_path):
    store = Store(tmp_path)
    store.save(STATE)
    whole = (tmp_path / "totals.json").read_bytes()
    for length in range(len(whole) - 1):
        (tmp_path / "totals.json").write_bytes(whole[:length])

        assert store.load().state is None


def test_a_changed_byte_is_noticed(tmp_path):
    store = Store(tmp_path)
    store.save(STATE)
    body = (tmp_path / "totals.json").read_bytes().replace(b"12.5", b"92.5")
    (tmp_path / "totals.json").write_bytes(body)

    assert "checksum" in store.load().note


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(StoreError, match="file/state cannot be written: Not a directory"):
        Store(tmp_path / "file" / "state").save(STATE)


def test_state_in_a_directory_that_is_a_file_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    store = Store(tmp_path / "file")
    kept = store.load()

    assert (kept.state, kept.note) == (None, "")  # nothing was kept, so nothing is lost
    with pytest.raises(StoreError, match="file cannot be written: File exists; what lies there is a file: "):
        store.save(STATE)


def test_a_trial_leaves_nothing_behind_where_totals_can_be_kept(tmp_path):
    assert trial(tmp_path) == ""
    assert trial(tmp_path / "not" / "yet") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_trial_finds_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("not a directory")

    assert trial(tmp_path / "file") == (
        f"{tmp_path}/file cannot be written: Not a directory; "
        "what lies there is a file: set state_dir to a directory"
    )


def test_a_trial_finds_totals_that_another_user_keeps(tmp_path, monkeypatch):
    (tmp_path / "totals.json").write_bytes(b"theirs")
    monkeypatch.setattr("agent.store.os.access", lambda _, mode: mode == os.F_OK)  # root may do everything

    assert trial(tmp_path) == (
        f"{tmp_path}/totals.json belongs to somebody else; give this user {tmp_path} and what is in it"
    )


def test_a_trial_finds_a_full_disk_though_everybody_may_write_there(small_disk):
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], capture_output=True, check=False)

    assert trial(small_disk) == f"{small_disk} cannot be written: No space left on device; make room there"


def test_a_trial_finds_a_disk_that_is_full_for_a_second_copy_of_what_is_kept(small_disk):
    (small_disk / "totals.json").write_bytes(bytes(600_000))

    assert "make room there" in trial(small_disk)


def test_a_trial_finds_a_disk_that_is_mounted_read_only(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    assert trial(small_disk / "rackwatt") == (
        f"{small_disk}/rackwatt cannot be written: Read-only file system; "
        "it is mounted read-only: set state_dir to a place that is not"
    )


def test_a_full_disk_keeps_the_old_state_and_leaves_no_debris(small_disk):
    store = Store(small_disk)
    store.save(STATE)
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], capture_output=True, check=False)
    large = {"counters": {str(i): [0.0, 0.0, None, 0.0, 0] for i in range(20000)}, "gpus": {}}

    with pytest.raises(StoreError, match="No space left"):
        store.save(large)
    assert store.load().state == STATE
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "totals.json"]


def test_the_saver_tells_of_a_failure_once_and_of_its_end(tmp_path, caplog):
    caplog.set_level("INFO", "rackwatt.store")
    (tmp_path / "state").write_text("in the way")
    saver = Saver(Store(tmp_path / "state"))
    for _ in range(3):
        saver.submit(STATE)
        assert saver.flush(5.0)
    failed = saver.error
    (tmp_path / "state").unlink()
    saver.submit(STATE)
    assert saver.flush(5.0)

    assert "cannot be written" in failed
    assert saver.error == ""
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_kill_in_the_middle_of_saving_leaves_a_whole_file(tmp_path):
    """T1: SIGKILL at any moment leaves the old state or the new one."""
    program = (
        "import sys, pathlib; from agent.store import Store\n"
        "store = Store(pathlib.Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    n += 1; store.save({'n': n, 'fill': ['x' * 100] * 2000})\n"
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
        deadline = time.monotonic() + 10
        while not (tmp_path / "totals.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        process.kill()
        process.wait()

        state = Store(tmp_path).load().state
        assert state is not None
        assert len(state["fill"]) == 2000


def test_the_file_is_one_line_of_header_and_one_of_json(tmp_path):
    Store(tmp_path).save(STATE)
    head, body = (tmp_path / "totals.json").read_text().splitlines()

    assert json.loads(head)["version"] == 1
    assert json.loads(body) == STATE


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0 or os.geteuid() != 0:
        pytest.fail(f"this test mounts a small tmpfs and needs root: {mounted.stderr.decode()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_valid_checksum_over_no_json_is_set_aside(tmp_path):
    (tmp_path / "totals.json").write_bytes(b'{"version": 1, "crc32": 0}\n')

    assert "is not a file of totals" in Store(tmp_path).load().note


def test_a_second_unusable_file_does_not_replace_the_first(tmp_path):
    for body in (b"first", b"second"):
        (tmp_path / "totals.json").write_bytes(body)
        Store(tmp_path).load()

    assert (tmp_path / "totals.unusable.json").read_bytes() == b"first"
    assert (tmp_path / "totals.unusable-1.json").read_bytes() == b"second"


def test_totals_that_json_cannot_hold_are_a_failed_save_not_a_dead_thread(tmp_path):
    saver = Saver(Store(tmp_path))
    saver.submit({"counters": {"a": [float("inf")]}})
    assert saver.flush(5.0)
    failed = saver.error
    saver.submit(STATE)
    assert saver.flush(5.0)

    assert "cannot be written" in failed
    assert saver.error == ""
    assert Store(tmp_path).load().state == STATE


def test_an_infinity_that_comes_later_is_not_kept_as_nothing(tmp_path):
    store = Store(tmp_path)
    store.save({"counters": {"a": [1.0, None], "b": [2.0, None]}})

    with pytest.raises(StoreError, match="cannot be written"):
        store.save({"counters": {"a": [float("nan"), None], "b": [2.0, None]}})
    assert store.load().state == {"counters": {"a": [1.0, None], "b": [2.0, None]}}


def test_what_is_too_large_to_be_read_again_is_not_written(tmp_path):
    with pytest.raises(StoreError, match="larger than"):
        Store(tmp_path).save({"fill": "x" * (16 * 1024 * 1024)})


def test_a_save_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.store.HUNG_SECONDS", 0.1)
    os.mkfifo(tmp_path / "totals.json.new")
    saver = Saver(Store(tmp_path))
    saver.submit(STATE)
    time.sleep(0.3)

    assert "a save has been hanging" in saver.error
    assert not saver.flush(0.1)


def test_the_same_totals_are_not_written_twice(tmp_path):
    store = Store(tmp_path)
    store.save(STATE)
    first = (tmp_path / "totals.json").stat().st_ino
    store.save(dict(STATE))

    assert (tmp_path / "totals.json").stat().st_ino == first


def test_only_one_holds_a_directory(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    first.lock()

    with pytest.raises(StoreError, match="another rackwatt keeps its totals in"):
        second.lock()


def test_a_file_that_cannot_be_read_is_left_as_it_is_and_not_replaced(tmp_path):
    (tmp_path / "totals.json").mkdir()  # unreadable for root, too
    store = Store(tmp_path)
    kept = store.load()

    assert "it is left as it is" in kept.note
    with pytest.raises(StoreError, match="let this user read and write it"):
        store.save(STATE)
    assert (tmp_path / "totals.json").is_dir()
