"""An engine that speaks vLLM's page and whose token counts are known exactly at every moment.

    with TruthEngine(engines=8, output=constant(2000)) as engine:
        engine.url + "/metrics"        the page, as vLLM 0.32 renders it
        engine.truth()                 exact counts now, or at a CLOCK_MONOTONIC moment
        engine.timelines()             the same, to be reckoned in this process at any moment

The server is a process of its own: `python -m fakes.engines.truth PORT [SETTINGS-JSON]`.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from fakes.engines.timeline import Schedule, Timeline, constant, schedule_to_json
from fakes.processes import LOOPBACK, Program, free_port, http_get, python_program, wait_http

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = "mistralai/Mistral-7B-v0.3"


DEFAULT_RATE = 1000.0


@dataclass(frozen=True, slots=True)
class Truth:
    """Exact whole tokens at one moment, of all engines together unless one was asked for."""

    at_ns: int
    """CLOCK_MONOTONIC."""
    output_tokens: int
    """Produced since the server's start, resets or not."""
    prompt_tokens: int
    cached_tokens: int
    """The part of `prompt_tokens` that came from the prefix cache."""
    output_counter: int
    """What the page's counters add up to: since the last reset."""
    prompt_counter: int
    process_start_seconds: float
    """The unix time that the page gives as process_start_time_seconds."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One request for the page: its CLOCK_MONOTONIC moments and what it was told."""

    arrived_ns: int
    read_ns: int
    """When the counters were read: the page is the truth of this moment."""
    sent_ns: int
    """When the first byte was given to the socket."""
    output_counter: int


class TruthEngine:
    """Runs the truth server and steers it; every change is in force when the call returns."""

    def __init__(
        self,
        *,
        engines: int = 1,
        output: Schedule | None = None,
        prompt: Schedule | None = None,
        cached_per_mille: int = 250,
        model: str = MODEL,
        base_tokens: int = 0,
        started_ago_seconds: float = 0.0,
        multiprocess: bool = False,
        seed: int = 1,
    ) -> None:
        """Settle the beginning; rates are tokens per second of each engine label (default 1000).

        `prompt` is twice the output's schedule unless given. `base_tokens` is what each engine's
        counters begin with. `started_ago_seconds` moves the process start into the past.
        """
        self.port: int | None = None
        self._program: Program | None = None
        self._settings: dict[str, Any] = {
            "engines": engines,
            "output": schedule_to_json(output or constant(DEFAULT_RATE)),
            "prompt": None if prompt is None else schedule_to_json(prompt),
            "cached_per_mille": cached_per_mille,
            "model": model,
            "base_tokens": base_tokens,
            "started_ago_seconds": started_ago_seconds,
            "multiprocess": multiprocess,
            "seed": seed,
        }

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The server's base address, without a final slash; the page is at /metrics."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def program(self) -> Program:
        """The running program, for its pid, freeze, thaw and processor time."""
        if self._program is None:
            message = "the truth engine is not started"
            raise RuntimeError(message)
        return self._program

    def start(self, port: int | None = None) -> Self:
        """Start on the port (default: the port it had, else a free one); counters begin at the base."""
        self.port = port or self.port or free_port()
        settings = json.dumps(self._settings)
        self._program = python_program(__name__, str(self.port), settings, "--with-parent")
        self._program.start()
        wait_http(f"{self.url}/health", self._program)
        return self

    def stop(self) -> None:
        """SIGTERM and wait."""
        if self._program is not None:
            self._program.stop()

    def kill(self) -> None:
        """SIGKILL and wait."""
        if self._program is not None:
            self._program.kill()

    def restart(self) -> Self:
        """A real restart on the same port: new process, new start time, counters at the base."""
        self.stop()
        return self.start()

    # What is true

    def truth(self, at_ns: int | None = None, engine: int | None = None) -> Truth:
        """Exact counts now or at a CLOCK_MONOTONIC moment (time.monotonic_ns()), past or future."""
        query = "&".join(
            f"{name}={value}" for name, value in (("at", at_ns), ("engine", engine)) if value is not None
        )
        return Truth(**self._get(f"/truth?{query}"))

    def timelines(self, kind: str = "output") -> tuple[Timeline, ...]:
        """Each engine's exact production of `output` or `prompt` tokens, to be reckoned here."""
        return tuple(Timeline.from_json(value) for value in self._get("/timelines")[kind])

    def scrapes(self, last: int = 1000) -> tuple[Scrape, ...]:
        """The last requests for the page that were answered with it, oldest first."""
        return tuple(Scrape(*row) for row in self._get(f"/scrapes?last={last}"))

    def page(self) -> str:
        """The page, as a client gets it."""
        status, body = http_get(f"{self.url}/metrics")
        if status != 200:
            message = f"the page answered {status}"
            raise RuntimeError(message)
        return body.decode()

    # What is steered

    def schedule(
        self,
        output: Schedule | None = None,
        prompt: Schedule | None = None,
        engine: int | None = None,
    ) -> int:
        """Another schedule from now on, for one engine or all; the CLOCK_MONOTONIC moment it began.

        Only `output` given: prompts follow at twice its rates.
        """
        order: dict[str, Any] = {"engine": engine}
        if output is not None:
            order["output"] = schedule_to_json(output)
        if prompt is not None:
            order["prompt"] = schedule_to_json(prompt)
        return int(self.control(schedule=order)["at_ns"])

    def delay(
        self,
        before_ms: tuple[float, float] = (0.0, 0.0),
        after_ms: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Sleep a seeded random time before the counters are read, and before the first byte."""
        self.control(delay_before_ms=before_ms, delay_after_ms=after_ms)

    def drip(self, piece_bytes: int = 0, pause_ms: float = 0.0) -> None:
        """Send the page in pieces with a pause after each; 0 bytes sends it at once."""
        self.control(drip={"piece_bytes": piece_bytes, "pause_ms": pause_ms})

    def reset(self, *, new_start_time: bool, new_created: bool = True) -> int:
        """Counters to zero, as a restart (new start time) or without one; the moment it happened."""
        reset = {"new_start_time": new_start_time, "new_created": new_created}
        return int(self.control(reset=reset)["at_ns"])

    def vanish(self, *engines: int) -> None:
        """Leave these engine labels out of the page until called again (with none: all return)."""
        self.control(vanished=engines)

    def answer(self, status: int = 200) -> None:
        """Answer the page's requests with this status; 200 gives the page."""
        self.control(status=status)

    def hang(self, *, hanging: bool = True) -> None:
        """Take the page's requests and never answer them; False lets later ones through."""
        self.control(hang=hanging)

    def multiprocess(self, *, on: bool = True) -> None:
        """The page of vLLM with several API servers: no process_*, python_* and *_created."""
        self.control(multiprocess=on)

    def load(
        self,
        running: int | None = None,
        waiting: int | None = None,
        kv_cache_usage: float | None = None,
    ) -> None:
        """Set the gauges of each engine; None: 16 running while tokens flow, 0 waiting."""
        self.control(load={"running": running, "waiting": waiting, "kv_cache_usage": kv_cache_usage})

    def control(self, **orders: Any) -> Mapping[str, Any]:
        """Send orders to /control; the answer holds the moment they took effect, `at_ns`."""
        request = urllib.request.Request(
            f"{self.url}/control", json.dumps(orders).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10.0) as response:
            return dict(json.load(response))

    def _get(self, path: str) -> Any:
        status, body = http_get(self.url + path)
        if status != 200:
            message = f"{path} answered {status}: {body[:300]!r}"
            raise RuntimeError(message)
        return json.loads(body)


def main(args: list[str] | None = None) -> None:
    """Serve from the command line."""
    from fakes.engines.truth_server import serve  # noqa: PLC0415 - the server needs aiohttp, its users do not

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument(
        "settings", nargs="?", default="{}", help="JSON: the names of TruthEngine's arguments"
    )
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    options = parser.parse_args(args)
    serve(options.port, json.loads(options.settings), with_parent=options.with_parent)


if __name__ == "__main__":
    main()
