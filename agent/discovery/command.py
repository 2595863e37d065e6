"""What a serving engine's command line tells: its port, and the GPUs that it wants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PORTS = ("--port", "-p", "--server-port", "--http-port", "--metrics-port", "--metrics-export-port")
TENSOR = ("--tensor-parallel-size", "-tp", "--tp", "--tp-size")
PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp", "--pp-size")
DATA = ("--data-parallel-size", "-dp", "--dp", "--dp-size")
DATA_LOCAL = ("--data-parallel-size-local", "-dpl")
NODES = ("--nnodes", "-n")
NODE_RANK = ("--node-rank",)
"""Of the nodes of one engine, of which the first has its page."""
ONE_RANK = ("--data-parallel-external-lb", "--data-parallel-rank", "-dpn")
"""With these each data-parallel rank of vLLM answers for itself."""
DESTRUCTIVE = ("trtllm", "tensorrt_llm", "tensorrt-llm")
"""Engines on whose `/metrics` each reader takes away what the next would read (JSON of TensorRT-LLM)."""
PROGRAMS = {
    "llamacpp": ("llama-server",),
    "tgi": ("text-generation-launcher", "text-generation-router"),
    "triton": ("tritonserver",),
    "trtllm": DESTRUCTIVE,
}
"""Programs of engines that are not called after them."""
LARGEST_PORT = 65535
MOST = 1_000_000
"""No plan is larger."""


@dataclass(frozen=True, slots=True)
class Parallelism:
    """How one engine is spread, as far as its command line says."""

    world_size: int | None = None
    """GPUs of all that one page of it tells of; None is not said."""
    nodes: int | None = None
    headless: bool = False
    """It is a part of another node's engine, whose page tells of it."""


def named_ports(argv: Sequence[str]) -> tuple[int, ...]:
    """Return the ports that a command line names."""
    found = (_whole(value) for name, value in _options(argv) if name in PORTS)
    return tuple(port for port in found if port is not None and 0 < port <= LARGEST_PORT)


def without_ports(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without the ports that it names: what stays the same on another port."""
    kept: list[str] = []
    skip = False
    for word in argv:
        name, equals, _ = word.partition("=")
        if skip:
            skip = False
        elif _canonical(name) in PORTS:
            skip = not equals
        else:
            kept.append(word)
    return tuple(kept)


def parallelism(argv: Sequence[str]) -> Parallelism:
    """Return how vLLM, SGLang or TensorRT-LLM is spread; what no option says is None."""
    options = dict(_options(argv))
    tensor, pipeline, data, local, nodes = (
        _first(options, names) for names in (TENSOR, PIPELINE, DATA, DATA_LOCAL, NODES)
    )
    headless = "--headless" in options or bool(_first(options, NODE_RANK))
    if nodes is None and data and local:
        nodes = math.ceil(data / local)
    if any(name in options for name in ONE_RANK) or "--enable-dp-attention" in options:
        data = None  # the page is one rank's; or the ranks share the tensor-parallel GPUs (SGLang)
    elif "--data-parallel-hybrid-lb" in options:
        data = local
    said = [size for size in (tensor, pipeline, data) if size is not None]
    return Parallelism(math.prod(said) if said else None, nodes, headless)


def reads_destructively(commands: Iterable[Sequence[str]]) -> bool:
    """Whether a process looks like one whose `/metrics` must not be asked for."""
    return any(word in part.lower() for argv in commands for part in argv for word in DESTRUCTIVE)


def mentions(engine: str, commands: Iterable[Sequence[str]]) -> bool:
    """Whether an engine's name is part of the program or of the module that was started."""
    names = PROGRAMS.get(engine, (engine,))
    return any(
        name in part.lower().rpartition("/")[2] for argv in commands for part in argv[:3] for name in names
    )


def _options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each option with its value; one without has the next word, whatever that is."""
    for word, following in zip(argv, (*argv[1:], ""), strict=False):
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            yield _canonical(name), value if equals else following


def _canonical(name: str) -> str:
    """Return an option as its documentation writes it: engines take `_` for `-`."""
    return name.replace("_", "-")


def _first(options: dict[str, str], names: Sequence[str]) -> int | None:
    found = (_whole(options[name]) for name in names if name in options)
    return next((number for number in found if number), None)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text[:8]) <= MOST else None
