"""A small file is read whole, or refused in one sentence that each of its readers tells."""

import pytest

from agent.binding import ConfigError, read_text
from agent.collectors.carbon import Settings, build
from agent.discovery import file_sd
from agent.explain.find import CannotExplainError, from_file
from agent.measure.reading import Moment, Reason, SourceError
from agent.small_file import SmallFileError, read_small
from agent.store import Store
from agent.wire.http_config import Credentials

NOW = Moment(1.0, 1_800_000_000.0)


def test_it_is_read_whole_up_to_its_bound(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")

    assert read_small(path, 5) == b"12345"
    with pytest.raises(SmallFileError, match=r"file: is larger than 4 bytes$") as refused:
        read_small(str(path), 4)
    assert (refused.value.too_large, refused.value.missing) == (True, False)


@pytest.mark.parametrize(
    ("name", "why", "missing"),
    [
        ("none", "cannot be read: No such file or directory", True),
        (".", "cannot be read: Is a directory", False),
        ("a\0b", "cannot be read: embedded null byte", False),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path, name, why, missing):
    with pytest.raises(SmallFileError, match=why) as refused:
        read_small(f"{tmp_path}/{name}", 4)

    assert (refused.value.too_large, refused.value.missing) == (False, missing)


async def carbon(path):
    await build(Settings(file=str(path), max_bytes=100)).collect(NOW, None)


async def secret(path):
    Credentials().secret(str(path), "basic_auth.password_file")


async def settings(path):
    read_text(path)


async def targets(path):
    file_sd.read([str(path)])


async def recording(path):
    from_file(str(path))


READERS = {
    "carbon": (carbon, 101, SourceError, Reason.TOO_LARGE),
    "secret": (secret, 65 * 1024, SourceError, Reason.DENIED),
    "settings": (settings, 5 << 20, ConfigError, None),
    "targets": (targets, 5 << 20, SourceError, Reason.TOO_LARGE),
    "recording": (recording, 65 << 20, CannotExplainError, None),
}


@pytest.mark.parametrize(("reader", "size", "kind", "reason"), READERS.values(), ids=READERS)
async def test_whoever_reads_one_tells_the_same_of_one_that_is_too_large(
    tmp_path, reader, size, kind, reason
):
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    with pytest.raises(kind, match=r"/file: is larger than \d+ bytes") as refused:
        await reader(path)

    assert getattr(refused.value, "reason", None) is reason


@pytest.mark.parametrize(("reader", "size", "kind", "reason"), READERS.values(), ids=READERS)
async def test_whoever_reads_one_tells_the_same_of_one_that_is_not_there(
    tmp_path, reader, size, kind, reason
):
    with pytest.raises(kind, match="/none: cannot be read: No such file or directory"):
        await reader(tmp_path / "none")


def test_totals_that_are_too_large_are_set_aside(tmp_path):
    with (tmp_path / "totals.json").open("wb") as file:
        file.truncate(100 << 20)
    kept = Store(tmp_path, "totals.json").load()

    assert kept.state is None
    assert "is far too large to be ours; it was moved to totals.unusable.json" in kept.note
