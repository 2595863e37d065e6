"""The folder of a demo: gone with it or, when it was killed, at the start of the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "rackwatt-demo-"
NAME = re.compile(rf"{PREFIX}(\d{{1,9}})-\w+")
LOCK = "lock"
"""Held by the demo and its children: numbers of processes say nothing of those in another container."""


@contextlib.contextmanager
def demo_folder() -> Iterator[Path]:
    """Make a folder for as long as the demo runs, and remove those of demos that were killed."""
    remove_left_over(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as name:
        folder = Path(name)
        with (folder / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder


def remove_left_over(parent: Path) -> None:
    """Remove folders of ours whose demo is dead; whatever is in doubt stays."""
    with contextlib.suppress(OSError):
        for path in parent.iterdir():
            found = NAME.fullmatch(path.name)
            if found and not _lives(int(found[1])) and _is_our_folder(path) and _is_let_go(path / LOCK):
                shutil.rmtree(path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _is_our_folder(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _is_let_go(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
