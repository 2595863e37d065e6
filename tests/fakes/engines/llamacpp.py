"""llama.cpp's own HTTP server (from the xllamacpp wheel) on a tiny model, in a process of its own.

What was seen on the real server (wheel 2026.10.11549, 2 cores):

- In flight: /slots shows `next_token[].n_decoded` going 0, 1, ... N-1 in step with the chunks that a
  streaming client holds (at most one behind), and the end adds exactly N to tokens_predicted_total. So
  total + sum(n_decoded over processing slots) is the number of tokens sampled, with nothing to correct.
  A slot at rest shows n_decoded 0 (or no `next_token` before its first request).
- Reading /metrics, then /slots never counts a token twice: 0 of 1,292 rounds were above the next round
  in which no request ended. A request that ends between the two is missed until the next round: in 600
  requests of 1-60 tokens on 4 slots the estimate fell 109 times, by up to 126. /slots, then /metrics
  counts such requests twice (133 rounds too high). Equal totals in /metrics, /slots, /metrics are exact.
- After the last byte has reached the client, the very next /metrics has its tokens: 0 late in 200
  requests (half streamed), 0.45 ms median for the read. The page is made between decoding steps by the
  thread that counts, so a test need not wait after its client has ended.
- A cancelled stream is counted in full: the client left after 10 chunks, 12 tokens were added 16 ms
  later. A cancelled request without streaming is not noticed: it ran on for 1.7 s, all 2,000 counted.
- `Process-Start-Time-Unix` on /metrics is CLOCK_MONOTONIC in microseconds at the start, not unix time:
  constant during a life, new and larger after each restart (smaller after a reboot of the machine).
- While the model loads every path, /health too, answers 503 with JSON: {"error": {"message": "Loading
  model", "type": "unavailable_error", "code": 503}}. Before that the connection is refused (0.2 s).
- With an API key /metrics, /slots, /props and /v1/models answer 401 without it; /health stays open.
- The model's name: /props has `model_alias`, `model_path`, `total_slots`, `is_sleeping`; /v1/models has
  `data[].id` (the alias), `data[].aliases`, `data[].meta` and, besides, an Ollama-like `models[].name`.
- Kept-alive connections close after 5 idle seconds or 100 requests (then with `Connection: close`), and
  after a streamed answer without saying so: a client must be ready to connect again.
- A prompt token is in prompt_tokens_total or in prompt_tokens_cached_total, never in both: their sum is
  the clients' `usage.prompt_tokens`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fakes.engines.tiny_gguf import Shape, tiny_gguf
from fakes.processes import LOOPBACK, Program, free_port, http_get, python_program, wait_http

if TYPE_CHECKING:
    from types import TracebackType

MODEL_ALIAS = "tiny-random"


class LlamaCpp:
    """A real llama.cpp server with /metrics and /slots on; `restart` keeps the port."""

    def __init__(
        self,
        *,
        slots: int = 4,
        threads: int = 1,
        context: int = 8192,
        api_key: str | None = None,
        shape: Shape | None = None,
        alias: str = MODEL_ALIAS,
    ) -> None:
        """Settle the server's settings; `context` is shared out over the slots."""
        self.slots = slots
        self.api_key = api_key
        self.alias = alias
        self.port: int | None = None
        self._shape = shape or Shape()
        self._settings = {"slots": slots, "threads": threads, "context": context}
        self._program: Program | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def url(self) -> str:
        """The server's base address, without a final slash."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a permitted client sends."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def program(self) -> Program:
        """The running program, for its pid, freezing and processor time."""
        if self._program is None:
            message = "the llama.cpp server is not started"
            raise RuntimeError(message)
        return self._program

    def start(self, port: int | None = None, *, wait: bool = True) -> Self:
        """Start on the port (default: the port it had, else a free one) and wait until it is ready."""
        self.port = port or self.port or free_port()
        args = [str(self.port), "--model", str(tiny_gguf(self._shape)), "--alias", self.alias]
        for name, value in self._settings.items():
            args += [f"--{name}", str(value)]
        if self.api_key:
            args += ["--api-key", self.api_key]
        self._program = python_program(__name__, *args, "--with-parent")
        self._program.start()
        if wait:
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
        """Stop and start again on the same port: counters begin at zero."""
        self.stop()
        return self.start()

    def get(self, path: str) -> bytes:
        """The body of one GET with the key; an error status raises."""
        status, body = http_get(self.url + path, headers=self.headers)
        if status != 200:
            message = f"{path} answered {status}: {body[:200]!r}"
            raise RuntimeError(message)
        return body

    def counter(self, name: str) -> float:
        """One value of the /metrics page, by its name without the `llamacpp:` prefix."""
        prefix = f"llamacpp:{name} "
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith(prefix):
                return float(line.removeprefix(prefix))
        message = f"the page has no {prefix.strip()}"
        raise KeyError(message)

    def tokens_in_flight(self) -> int:
        """Tokens decoded so far for requests that have not ended, from /slots."""
        slots: list[dict[str, Any]] = json.loads(self.get("/slots"))
        return sum(
            step["n_decoded"]
            for slot in slots
            if slot["is_processing"]
            for step in slot.get("next_token", ())
        )


def serve(options: argparse.Namespace) -> None:
    """Run the server in this process until it is told to end."""
    import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415 - large; only the server process needs it

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model or tiny_gguf())
    params.model_alias = {options.alias}
    params.hostnames = [LOOPBACK]
    params.port = options.port
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.n_parallel = options.slots
    params.n_ctx = options.context
    params.ui = False
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    if options.api_key:
        params.api_keys = [options.api_key]
    server = xllamacpp.Server(params)
    sys.stdout.write(f"listening on {server.listening_address} {xllamacpp.BUILD_INFO}\n")
    sys.stdout.flush()
    if options.with_parent:
        sys.stdin.buffer.read()
    else:
        signal.pause()


def main(args: list[str] | None = None) -> None:
    """Serve from the command line: `python -m fakes.engines.llamacpp PORT`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--alias", default=MODEL_ALIAS)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--api-key")
    parser.add_argument("--with-parent", action="store_true", help="end when stdin closes")
    serve(parser.parse_args(args))


if __name__ == "__main__":
    main()
