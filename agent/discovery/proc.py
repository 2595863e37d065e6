"""Reads /proc: bounded, and without rights that an ordinary user has not got."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.discovery import proc_text

if TYPE_CHECKING:
    from agent.discovery.proc_text import Listening, Stat

FILE_BYTES = 64 * 1024
"""Of one file of a process; a longer command line is cut."""
TABLE_BYTES = 4 * 1024 * 1024
"""Of a table of sockets."""
CHUNK_BYTES = 4096
"""So much of it is read at a time: the kernel writes what is read, which takes milliseconds for thousands."""
MOST_FDS = 16384
"""Open files of one process that are looked at."""
MOST_PROCESSES = 65536
"""Processes of a machine that are looked at."""
SOCKET = "socket:["


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it stands now."""

    pid: int
    parent: int
    session: int
    start_ticks: int
    name: str
    uid: int
    argv: tuple[str, ...]
    cgroup: str


class Proc:
    """One reading of the processes; remembers what it has read, so make a new one each time."""

    def __init__(self, root: Path = Path("/proc")) -> None:
        self._root = root
        self._processes: dict[int, Process | None] = {}
        self._children: dict[int, list[int]] | None = None

    def process(self, pid: int) -> Process | None:
        """Return a process; None when it is not there, or hidden from us."""
        if pid not in self._processes:
            self._processes[pid] = self._read(pid)
        return self._processes[pid]

    def start_ticks(self, pid: int) -> int | None:
        """Return when a process started, read now; None when there is none."""
        stat = self._stat(pid)
        return None if stat is None else stat.start_ticks

    def children(self, pid: int) -> list[int]:
        """Return the children of a process."""
        told = self._told_children(pid)
        if told is not None:
            return told
        if self._children is None:
            self._children = self._walk()
        return self._children.get(pid, [])

    def sockets(self, pid: int) -> frozenset[int] | None:
        """Return the inodes of the sockets that a process holds; None when we may not look."""
        found = set()
        try:
            with os.scandir(self._root / str(pid) / "fd") as entries:
                for _, entry in zip(range(MOST_FDS), entries, strict=False):
                    with contextlib.suppress(FileNotFoundError):
                        target = os.readlink(entry.path)  # noqa: PTH115 - thousands of them
                        if target.startswith(SOCKET):
                            found.add(int(target[len(SOCKET) : -1]))
        except OSError:
            return None
        return frozenset(found)

    def listening(self, pid: int | str = "self") -> tuple[Listening, ...]:
        """Return what listens in the network namespace of a process; nothing when it is hidden."""
        found: tuple[Listening, ...] = ()
        for table in ("tcp", "tcp6"):
            with contextlib.suppress(OSError, ValueError):
                found += proc_text.listening_of(self._listening_part(f"{pid}/net/{table}"))
        return found

    def _listening_part(self, path: str) -> str:
        """Read a table of sockets up to the first that does not listen: those that do come first."""
        text = ""
        with (self._root / path).open("rb", buffering=0) as file:
            while len(text) < TABLE_BYTES and not proc_text.is_past_listening(text):
                chunk = file.read(CHUNK_BYTES)
                if not chunk:
                    break
                text += chunk.decode("ascii", "replace")
        return text

    def _read(self, pid: int) -> Process | None:
        stat = self._stat(pid)
        if stat is None:
            return None
        try:
            uid = proc_text.uid_of(self._text(f"{pid}/status"))
            argv = proc_text.arguments_of(self._text(f"{pid}/cmdline"))
            cgroup = self._text(f"{pid}/cgroup")
        except (OSError, ValueError):
            return None
        return Process(pid, stat.parent, stat.session, stat.start_ticks, stat.name, uid, argv, cgroup)

    def _stat(self, pid: int) -> Stat | None:
        try:
            stat = proc_text.stat_of(self._text(f"{pid}/stat"))
        except (OSError, ValueError):
            return None
        return None if stat.ended else stat

    def _told_children(self, pid: int) -> list[int] | None:
        """Ask the kernel for the children of each thread; None where it was built without that."""
        found: list[int] = []
        try:
            for task in (self._root / str(pid) / "task").iterdir():
                found += map(int, self._text(f"{pid}/task/{task.name}/children").split())
        except (OSError, ValueError):
            return None
        return found

    def _walk(self) -> dict[int, list[int]]:
        """Look at every process for its parent."""
        children: dict[int, list[int]] = {}
        pids = [int(entry.name) for entry in self._root.iterdir() if entry.name.isdecimal()]
        for pid in pids[:MOST_PROCESSES]:
            stat = self._stat(pid)
            if stat is not None:
                children.setdefault(stat.parent, []).append(pid)
        return children

    def _text(self, path: str, most_bytes: int = FILE_BYTES) -> str:
        with (self._root / path).open("rb") as file:
            return file.read(most_bytes).decode("utf-8", "replace")
