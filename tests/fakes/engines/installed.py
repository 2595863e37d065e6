"""Real serving engines on a tiny model; `scripts/engines.sh` installs them into `.cache/engines`."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fakes.engines.tiny_hf import Shape, tiny_hf
from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port, rss_bytes, wait_http

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALLED = Path(__file__).resolve().parents[3] / ".cache" / "engines"
READY_SECONDS = 540.0  # two cores that are busy otherwise; one idle minute is usual
STOP_SECONDS = 20.0
MODEL = "tiny"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one program of an engine is started, as its users start it."""

    engine: str
    """Its folder in `.cache/engines`."""
    command: tuple[str, ...]
    """With {model} and {port} to fill in; the program is one of the engine's own environment."""
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/health"
    """The path that answers 200 once requests are taken."""


OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
VLLM = Recipe(
    engine="vllm",
    command=(
        *("vllm", "serve", "{model}", "--served-model-name", MODEL, "--host", LOOPBACK, "--port", "{port}"),
        *("--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"),
        *("--num-gpu-blocks-override", "512", "--enable-prompt-tokens-details"),
    ),
    env={**OFFLINE, "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},
)
NO_GPU = Path(__file__).resolve().parents[2] / "engines_real" / "no_gpu"
SGLANG = Recipe(
    engine="sglang",
    command=(
        *("python", "-m", "sglang.launch_server", "--model-path", "{model}", "--served-model-name", MODEL),
        *("--host", LOOPBACK, "--port", "{port}", "--enable-metrics", "--enable-cache-report"),
        *("--device", "cpu", "--dtype", "float32", "--context-length", "2048", "--max-total-tokens", "20000"),
        *("--attention-backend", "torch_native", "--disable-overlap-schedule"),
    ),
    env={**OFFLINE, "SGLANG_USE_CPU_ENGINE": "1", "PYTHONPATH": str(NO_GPU)},
)
DYNAMO = {**OFFLINE, "DYN_DISCOVERY_BACKEND": "file", "DYN_REQUEST_PLANE": "tcp", "DYN_EVENT_PLANE": "zmq"}
"""Its parts find each other through a folder, which the test names in DYN_FILE_KV."""
DYNAMO_WORKER = Recipe(
    engine="dynamo",
    command=("python", "-m", "dynamo.mocker", "--model-path", "{model}", "--model-name", MODEL),
    env={**DYNAMO, "DYN_SYSTEM_PORT": "{port}"},
    ready="/metrics",
)
DYNAMO_FRONTEND = Recipe(
    engine="dynamo",
    command=("python", "-m", "dynamo.frontend", "--http-host", LOOPBACK, "--http-port", "{port}"),
    env=DYNAMO,
    ready=f"/v1/models/{MODEL}",
)


class Family(Program):
    """A program with all that it starts: killed together, and none outlives it."""

    def __init__(self, args: list[str], env: Mapping[str, str]) -> None:
        """Name the command line; it leads a process group of its own."""
        super().__init__(["setsid", *args], env=env)

    def stop(self, grace_seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM to the first of them, SIGKILL to those that still live after the grace."""
        if not self.running:
            return super().stop(grace_seconds)
        leader = self.pid
        status = super().stop(grace_seconds)
        _kill_group(leader)
        return status

    def kill(self) -> int | None:
        """SIGKILL to all of them at once."""
        if self._popen is not None:
            _kill_group(self.pid)
        return super().kill()

    def members(self) -> dict[int, str]:
        """The living processes of the group with the names that they give themselves."""
        return {pid: _command(pid) for pid in _processes() if _group(pid) == self.pid}


class InstalledEngine:
    """One running program of an engine; `restart` keeps the port."""

    def __init__(
        self,
        recipe: Recipe,
        *flags: str,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        shape: Shape | None = None,
    ) -> None:
        """Take a recipe, what this one has on its command line and in its environment besides, its model."""
        self.port = port or free_port()
        self.model = MODEL
        self._recipe = recipe
        self._path = INSTALLED / recipe.engine / "bin" / recipe.command[0]
        values = {"model": str(tiny_hf(shape)), "port": str(self.port)}
        arguments = [argument.format_map(values) for argument in (*recipe.command[1:], *flags)]
        filled = {name: value.format_map(values) for name, value in recipe.env.items()}
        path = f"{self._path.parent}{os.pathsep}{os.environ['PATH']}"
        self.family = Family([str(self._path), *arguments], {**filled, "PATH": path, **(env or {})})

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.family.stop()

    @property
    def url(self) -> str:
        """The server's base address, without a final slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Start and wait until it takes requests."""
        if not self._path.exists():
            raise ProcessFailedError(f"{self._path} is missing: scripts/engines.sh {self._recipe.engine}")
        self.family.start()
        wait_http(self.url + self._recipe.ready, self.family, READY_SECONDS)
        return self

    def restart(self, *, kill: bool = False) -> Self:
        """End all its processes and start again: counters begin at zero."""
        if kill:
            self.family.kill()
        else:
            self.family.stop()
        return self.start()

    def memory_bytes(self) -> int:
        """Resident memory of all its processes."""
        return sum(rss_bytes(pid) for pid in self.family.members())


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""
