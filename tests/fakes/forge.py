"""Forks real daemons from one process that has everything imported, as `rackwatt demo` does.

    with Forge(folder) as forge:
        program = forge.program(["run", "--config", "a.yaml"], log)     # a Program: start, kill, freeze, …

Eighteen daemons are there in two seconds instead of ten, and share most of their memory.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fakes.processes import POLL_SECONDS, STOP_SECONDS, ProcessFailedError, Program, python_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY = "ready"
PLUG_INS = {
    "rack": {"members": ["http://127.0.0.1:1"]},
    "collectors": {"twin": {}, "engines": {}},
    "exporters": {"prometheus": {}},
}


class Forge:
    """The process that forks; every daemon ends with it, and it with this process."""

    def __init__(self, folder: Path) -> None:
        self._answers = folder / "forge.out"
        self._program = python_program(__name__, str(self._answers), log=folder / "forge.log")
        self._read = 0

    def __enter__(self) -> Self:
        self._program.start()
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def fork(self, name: str, arguments: Sequence[str], log: Path) -> int:
        """Start one daemon; return its process id."""
        order = json.dumps({"name": name, "arguments": list(arguments), "log": str(log)})
        pipe = self._program._popen.stdin
        pipe.write(order.encode() + b"\n")
        pipe.flush()
        return int(self._answer())

    def program(
        self, arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> ForgedProgram:
        """Name what `rackwatt` is to do; the environment is the forge's own."""
        assert not env, "a forked daemon has the environment of the forge"
        return ForgedProgram(self, arguments, log)

    def _answer(self) -> str:
        ends = time.monotonic() + 30.0
        while time.monotonic() < ends and self._program.running:
            with contextlib.suppress(FileNotFoundError):
                lines = self._answers.read_text().split("\n")[:-1]
                if len(lines) > self._read:
                    self._read += 1
                    return lines[self._read - 1]
            time.sleep(0.005)
        raise ProcessFailedError(f"the forge does not answer:\n{self._program.tail()}")


class ForgedProgram(Program):
    """One daemon that the forge forked: the same handles, by its process id."""

    def __init__(self, forge: Forge, arguments: Sequence[str], log: Path) -> None:
        super().__init__(["rackwatt", *arguments], log)
        self._forge = forge
        self._pid = 0

    @property
    def pid(self) -> int:
        if not self._pid:
            raise ProcessFailedError(f"{self.args} is not started")
        return self._pid

    @property
    def running(self) -> bool:
        with contextlib.suppress(OSError):
            return (
                self._pid != 0 and Path(f"/proc/{self._pid}/stat").read_text().split(") ")[1][0] not in "ZX"
            )
        return False

    def start(self) -> Self:
        assert not self.running, f"{self.args} is already running as {self._pid}"
        self._pid = self._forge.fork(self.log.parent.name, self.args[1:], self.log)
        return self

    def stop(self, grace_seconds: float = STOP_SECONDS) -> None:
        for number in (signal.SIGCONT, signal.SIGTERM):
            self._signal(number)
        if not self._gone(grace_seconds):
            self.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._gone(STOP_SECONDS), f"{self.args} outlives SIGKILL"

    def _signal(self, number: int) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _gone(self, seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while self.running and time.monotonic() < ends:
            time.sleep(POLL_SECONDS)
        return not self.running


def main(answers: Path) -> None:
    """Fork what each line of the standard input names, until it ends."""
    from agent import config, daemon, plugins  # noqa: F401, PLC0415 - only in the forge itself
    from agent.cli import main as run  # noqa: PLC0415
    from agent.demo import Child  # noqa: PLC0415

    config.parse(json.dumps(PLUG_INS), "forge")  # imports the plug-ins that it names
    plugins.engine_tables()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who end
    gc.freeze()

    def job(arguments: list[str]) -> Any:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return run(arguments)

    _tell(answers, READY)
    for line in sys.stdin:
        order = json.loads(line)
        child = Child(order["name"], lambda order=order: job(order["arguments"]), Path(order["log"]))
        child.start()
        _tell(answers, str(child.pid))


def _tell(answers: Path, text: str) -> None:
    with answers.open("a") as file:
        file.write(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
