"""Starts, watches, measures and stops the real programs that tests run beside the agent."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

TESTS_FOLDER = Path(__file__).resolve().parents[1]
LOOPBACK = "127.0.0.1"
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
TAIL_BYTES = 4000


class ProcessFailedError(RuntimeError):
    """A program that a test needs did not start, answer or stop."""


class Program:
    """One program in a process of its own, its output in a file; usable as a context manager."""

    def __init__(
        self, args: Sequence[str], log: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Name the command line; `env` is added to this process's environment."""
        self.args = list(args)
        self.log = log or _log_path(Path(self.args[0]).name)
        self._env = dict(env or {})
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running program."""
        if self._popen is None:
            message = f"{self.args[0]} is not started"
            raise ProcessFailedError(message)
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> Self:
        """Start the program; its standard input stays open for as long as this process lives."""
        if self.running:
            message = f"{self.args[0]} is already running as {self.pid}"
            raise ProcessFailedError(message)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.args,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._env},
            )
        atexit.register(self.kill)
        return self

    def stop(self, grace_seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM, then SIGKILL when it still lives after the grace; the exit status."""
        if self._popen is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(signal.SIGCONT)
            self._popen.terminate()
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        return self._reap()

    def kill(self) -> int | None:
        """SIGKILL at once, as an out-of-memory killer would; the exit status."""
        if self._popen is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            self._popen.kill()
        return self._reap()

    def freeze(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def tail(self) -> str:
        """The last output, for error messages."""
        if not self.log.exists():
            return "(no output)"
        return self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace") or "(no output)"

    def _reap(self) -> int | None:
        if self._popen is None:
            return None
        status = self._popen.wait(STOP_SECONDS)
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        self._popen = None
        atexit.unregister(self.kill)
        return status


def python_program(module: str, *args: str, log: Path | None = None) -> Program:
    """`python -m module args` with the tests folder importable."""
    inherited = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(filter(None, [str(TESTS_FOLDER), inherited]))
    env = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    log = log or _log_path(module.rsplit(".", 1)[-1])
    return Program([sys.executable, "-m", module, *args], log=log, env=env)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def http_get(
    url: str, timeout_seconds: float = 10.0, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of one blocking GET; an error status is returned, not raised."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wait_http(
    url: str,
    program: Program | None = None,
    deadline_seconds: float = 15.0,
    statuses: Collection[int] = (200,),
) -> bytes:
    """Wait until the URL answers with one of the statuses; the body."""
    ends = time.monotonic() + deadline_seconds
    last = "no attempt"
    while time.monotonic() < ends:
        if program is not None and not program.running:
            message = f"{program.args} ended before {url} answered:\n{program.tail()}"
            raise ProcessFailedError(message)
        try:
            status, body = http_get(url, timeout_seconds=2.0)
        except OSError as error:
            last = str(error)
        else:
            if status in statuses:
                return body
            last = f"status {status}"
        time.sleep(POLL_SECONDS)
    output = program.tail() if program is not None else ""
    message = f"{url} did not answer in {deadline_seconds} s (last: {last})\n{output}"
    raise ProcessFailedError(message)


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor time that a process has used so far."""

    run_seconds: float
    """Nanosecond resolution, from schedstat of the threads alive now."""
    stat_seconds: float
    """10 ms resolution, from stat: user and system time of all threads, ended ones too."""


def cpu_time(pid: int) -> CpuTime:
    """Read both forms of a process's processor time."""
    run_nanoseconds = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            run_nanoseconds += int((task / "schedstat").read_text().split()[0])
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return CpuTime(run_nanoseconds / 1e9, ticks / os.sysconf("SC_CLK_TCK"))


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:") * 1024


def pss_bytes(pid: int) -> int:
    """Proportional memory of a process: shared pages are divided among their users."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:") * 1024


def _kilobytes(path: Path, field: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    message = f"{path} has no {field}"
    raise ProcessFailedError(message)


def _log_path(name: str) -> Path:
    handle, path = tempfile.mkstemp(dir=_log_folder(), prefix=f"{name}-", suffix=".log")
    os.close(handle)
    return Path(path)


@functools.cache
def _log_folder() -> Path:
    """One folder for this process's logs, deleted at its end."""
    folder = Path(tempfile.mkdtemp(prefix="rackwatt-test-logs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
