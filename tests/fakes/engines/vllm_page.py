"""vLLM's metrics page, rendered from a recorded one: its families, labels and order, with our numbers.

The recorded page is cut once into a %-template with a slot for every number that moves. Histograms keep
their recorded shape and are scaled: every bucket is a fixed share of the count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
SINGLE_CAPTURE = "vllm-0.32.0-after.prom"
MULTIPROCESS_CAPTURE = "vllm-0.32.0-apiservers2-after.prom"
CAPTURED_ENGINE = 'engine="0"'
CAPTURED_MODEL = 'model_name="tiny"'
LONG_CONTEXT_BUCKETS = ("5000.0", "10000.0", "20000.0", "50000.0", "100000.0")
"""The recording had a 2,048-token context; a 131,072-token one has these token buckets besides."""
TOKENS_PER_REQUEST = 256
OUTPUT_TOKENS_PER_STEP = 16

_SAMPLE = re.compile(r"^(?P<name>[^\s{]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
_TOKEN_BUCKETS = re.compile(r'_tokens_bucket\{.*le="2000\.0"')


@dataclass(frozen=True, slots=True)
class Slot:
    """A number of the page: a share of one of an engine's numbers, or of all engines' (None)."""

    engine: int | None
    base: str
    share: tuple[float, float] = (1, 1)


@dataclass(frozen=True, slots=True)
class EngineNumbers:
    """What one engine has done so far; the other numbers of its page follow from these."""

    output: int
    prompt: int
    cached: int
    running: int
    waiting: int
    kv_cache_usage: float


DIRECT = {
    "vllm:generation_tokens_total": "output",
    "vllm:prompt_tokens_total": "prompt",
    "vllm:prompt_tokens_cached_total": "cached",
    "vllm:prefix_cache_queries_total": "prompt",
    "vllm:prefix_cache_hits_total": "cached",
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "kv_cache_usage",
    "process_start_time_seconds": "process_start",
    "http_requests_total": "finished",
    'vllm:prompt_tokens_by_source_total source="local_compute"': "computed",
    'vllm:prompt_tokens_by_source_total source="local_cache_hit"': "cached",
    'vllm:prompt_tokens_cached_by_source_total source="device"': "cached",
    'vllm:request_success_total finished_reason="length"': "finished",
    'vllm:num_requests_waiting_by_reason reason="capacity"': "waiting",
}
"""Which number a series shows, by its name or by its name and one label; other series stand still."""

HISTOGRAM_COUNTS = {
    "vllm:inter_token_latency_seconds": "output",
    "vllm:iteration_tokens_total": "steps",
}
"""What a histogram counts, where that is not finished requests."""

HISTOGRAM_SUMS = {
    "vllm:iteration_tokens_total": "processed",
    "vllm:request_generation_tokens": "finished_tokens",
    "vllm:request_max_num_generation_tokens": "finished_tokens",
    "vllm:request_params_max_tokens": "finished_tokens",
}
"""What a histogram sums up, where that is not the recorded mean times the count."""


class VllmPage:
    """Renders the page of some engine labels; compiled once for a set of labels."""

    def __init__(self, engines: tuple[int, ...], model: str, *, multiprocess: bool = False) -> None:
        """Cut the recorded page into the template."""
        self.engines = engines
        capture = CAPTURES / (MULTIPROCESS_CAPTURE if multiprocess else SINGLE_CAPTURE)
        text: list[str] = []
        slots: list[Slot] = []
        for line, slot in _lines(capture.read_text(), engines):
            named = line.replace("%", "%%").replace(CAPTURED_MODEL, f'model_name="{model}"')
            text.append(named if slot is None else named.rpartition(" ")[0] + " %s")
            if slot is not None:
                slots.append(slot)
        self._template = "\n".join(text) + "\n"
        self._distinct = tuple(dict.fromkeys(slots))
        places = {slot: place for place, slot in enumerate(self._distinct)}
        self._spread = itemgetter(*(places[slot] for slot in slots))

    def render(self, numbers: Mapping[int, EngineNumbers], process_start: float, created: float) -> str:
        """The page of this moment."""
        bases: dict[int | None, dict[str, float]] = {
            engine: _bases(numbers[engine]) for engine in self.engines
        }
        bases[None] = {
            "finished": sum(bases[engine]["finished"] for engine in self.engines),
            "process_start": process_start,
            "created": created,
        }
        values = [_value(bases[slot.engine][slot.base], slot.share) for slot in self._distinct]
        text: str = self._template % self._spread(values)
        return text


def go_float(value: float) -> str:
    """A number as vLLM's Python server prints it: 3922.0, 1.234567e+06."""
    text = repr(float(value))
    dot = text.find(".")
    if value <= 0 or dot <= 6:
        return text
    mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
    return f"{mantissa}e+0{dot - 1}"


def _bases(numbers: EngineNumbers) -> dict[str, float]:
    finished = numbers.output // TOKENS_PER_REQUEST
    return {
        "output": numbers.output,
        "prompt": numbers.prompt,
        "cached": numbers.cached,
        "computed": numbers.prompt - numbers.cached,
        "processed": numbers.output + numbers.prompt,
        "finished": finished,
        "finished_tokens": finished * TOKENS_PER_REQUEST,
        "steps": numbers.output // OUTPUT_TOKENS_PER_STEP,
        "running": numbers.running,
        "waiting": numbers.waiting,
        "kv_cache_usage": numbers.kv_cache_usage,
    }


def _value(base: float, share: tuple[float, float]) -> str:
    part, whole = share
    if part == whole:
        return go_float(base)
    if isinstance(part, int):
        return go_float(int(base) * part // int(whole))
    return go_float(base * part / whole)


def _lines(capture: str, engines: tuple[int, ...]) -> list[tuple[str, Slot | None]]:
    """The page's lines for these engines, each with its slot; a line without one stands still."""
    lines = _with_long_context(capture.splitlines())
    counts = _histogram_counts(lines)
    found: list[tuple[str, Slot | None]] = []
    for group, members in groupby(lines, key=_engine_group):
        block = list(members)
        if group is None:
            found += [(line, _slot(line, None, counts)) for line in block]
            continue
        found += [
            (line.replace(CAPTURED_ENGINE, f'engine="{engine}"'), _slot(line, engine, counts))
            for engine in engines
            for line in block
        ]
    return found


def _engine_group(line: str) -> str | None:
    """Lines of one group are repeated together for each engine: a whole histogram, else one line."""
    if line.startswith("#") or CAPTURED_ENGINE not in line:
        return None
    name = line.partition("{")[0]
    if name.endswith(("_bucket", "_count", "_sum")):
        return name.rpartition("_")[0]
    return line


def _with_long_context(lines: list[str]) -> list[str]:
    """Add the token buckets that a long context has after the recorded ones."""
    found: list[str] = []
    for line in lines:
        found.append(line)
        if _TOKEN_BUCKETS.search(line):
            found += [line.replace('le="2000.0"', f'le="{le}"') for le in LONG_CONTEXT_BUCKETS]
    return found


def _histogram_counts(lines: list[str]) -> dict[str, int]:
    samples = [match for line in lines if (match := _SAMPLE.match(line))]
    return {
        match["name"].removesuffix("_count"): int(float(match["value"]))
        for match in samples
        if match["name"].endswith("_count")
    }


def _slot(line: str, engine: int | None, counts: Mapping[str, int]) -> Slot | None:
    match = _SAMPLE.match(line)
    if match is None or line.startswith("#"):
        return None
    name, value = match["name"], float(match["value"])
    if name.endswith("_created"):
        return Slot(None, "created")
    labels = (match["labels"] or "").split(",")
    for key in (name, *(f"{name} {label}" for label in labels)):
        if key in DIRECT:
            return Slot(engine, DIRECT[key])
    family, _, part = name.rpartition("_")
    if family not in counts or part not in {"bucket", "count", "sum"}:
        return None
    if part == "sum":
        if family in HISTOGRAM_SUMS:
            return Slot(engine, HISTOGRAM_SUMS[family])
        return Slot(engine, HISTOGRAM_COUNTS.get(family, "finished"), (value, float(counts[family])))
    return Slot(engine, HISTOGRAM_COUNTS.get(family, "finished"), (int(value), counts[family]))
