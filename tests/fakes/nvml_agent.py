"""Our NVML collector in a process of its own, one collection at a time, beside a fake driver.

The dynamic loader reads LD_LIBRARY_PATH once, at exec, so the collector cannot see the fake from
within the test's own process. Run as a program, this file is that process; imported, it starts one.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import orjson

from agent.collectors import nvml
from agent.measure.reading import Moment, SourceError

QUICK = {"interval": 0.02, "timeout": 1.5, "call_timeout": 0.4, "kmsg": ""}
"""Settings that let a test ask often and not wait long."""

TREE = Path(__file__).parents[2]


class NvmlAgent:
    """A running collector; `collect` makes it read once and returns what it said."""

    def __init__(
        self, env: dict[str, str], constants: dict[str, float] | None = None, **settings: Any
    ) -> None:
        """Starts the process; `constants` are module constants of ours to set, by their full names."""
        options = json.dumps({"settings": QUICK | settings, "constants": constants or {}})
        paths = os.pathsep.join([str(TREE), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, options],
            env=os.environ | env | {"PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say("hello")

    def __enter__(self) -> Self:
        """Returns itself: the process is running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the process, however it stands."""
        self.process.kill()
        self.process.communicate()

    def _say(self, word: str) -> dict[str, Any]:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def collect(self) -> dict[str, Any]:
        """Reads once: a reading, or the reason why there is none."""
        return self._say("collect")

    def gpus(self) -> list[dict[str, Any]]:
        """Reads once and returns the GPUs."""
        return self.collect()["reading"]["gpus"]

    def gpu(self, index: int = 0) -> dict[str, Any]:
        """Reads once and returns one GPU."""
        return self.gpus()[index]

    def until(self, wanted: Any, seconds: float = 5.0) -> dict[str, Any]:
        """Reads until an answer is as wanted, and returns it."""
        end = time.monotonic() + seconds
        answer = self.collect()
        while not wanted(answer):
            if time.monotonic() > end:
                message = f"not within {seconds} s; last answer: {answer}"
                raise TimeoutError(message)
            time.sleep(0.03)
            answer = self.collect()
        return answer

    def reason(self, reason: str, seconds: float = 5.0) -> dict[str, Any]:
        """Reads until it fails for a reason."""
        return self.until(lambda answer: answer.get("reason") == reason, seconds)

    def release(self) -> None:
        """Has the collector let go of the driver."""
        self._say("release")

    def resume(self) -> None:
        """Has the collector take hold again."""
        self._say("resume")

    def examine(self) -> list[dict[str, Any]]:
        """Returns what the doctor finds."""
        return self._say("examine")["findings"]

    def quit(self) -> float:
        """Closes the collector, lets the process end by itself, and returns the seconds that took."""
        started = time.monotonic()
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        self.process.wait(10)
        return time.monotonic() - started


async def _collect(collector: Any, clock: Any) -> dict[str, Any]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(collector.timeout_seconds):
            answer = {"reading": await collector.collect(clock(), None)}
    except SourceError as error:
        answer = {"reason": error.reason, "detail": error.detail}
    except TimeoutError:
        answer = {"reason": "deadline", "detail": "it did not give up by itself"}
    threads = sum(thread.name.startswith("rackwatt") for thread in threading.enumerate())
    seconds = time.monotonic() - started
    return answer | {"seconds": seconds, "threads": threads, "interval": collector.interval_seconds}


async def _serve(options: dict[str, Any]) -> None:
    settings = nvml.Settings(**options["settings"])
    collector = nvml.build(settings)
    loop = asyncio.get_running_loop()
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while (word := (await words.readline()).decode().strip()) not in {"", "quit"}:
        answer: Any = {}
        if word == "collect":
            answer = await _collect(collector, lambda: Moment(time.monotonic(), time.time()))
        elif word == "examine":
            answer = {"findings": await nvml.examine(settings)}
        elif word in {"release", "resume"}:
            getattr(collector, word)()
        sys.stdout.buffer.write(orjson.dumps(answer, default=sorted, option=orjson.OPT_NON_STR_KEYS) + b"\n")
        sys.stdout.buffer.flush()
    await collector.close()


def main() -> None:
    """Serves the commands on standard input."""
    options = json.loads(sys.argv[1])
    for name, value in options["constants"].items():
        module, _, constant = name.rpartition(".")
        setattr(importlib.import_module(module), constant, value)
    asyncio.run(_serve(options))


if __name__ == "__main__":
    main()
