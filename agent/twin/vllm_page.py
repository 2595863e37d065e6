"""The metrics page of a vLLM engine, as vLLM 0.32 prints it: families, labels, order, number format.

Families that a twin has nothing to say about (LoRA, multi-modal caches, the Python runtime) are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.twin.grid import PICO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.twin.engine import Engine
    from agent.twin.histogram import Histogram

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
VERSION = "0.32.0"
PLAIN_DIGITS = 6
TOKENS_PER_PREEMPTION = 8192
STEP_TOKENS_PER_RUNNING = 1

GAUGES = (
    ("num_requests_running", "Number of requests in model execution batches.", ("",)),
    ("num_requests_waiting", "Number of requests waiting to be processed.", ("",)),
    (
        "num_requests_waiting_by_reason",
        "Number of waiting requests by reason.",
        (',reason="capacity"', ',reason="deferred"'),
    ),
    (
        "engine_sleep_state",
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake.",
        (',sleep_state="awake"', ',sleep_state="weights_offloaded"', ',sleep_state="discard_all"'),
    ),
    ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", ("",)),
)
COUNTERS = (
    ("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.", ("",)),
    ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", ("",)),
    ("num_preemptions", "Cumulative number of preemption from the engine.", ("",)),
    ("prompt_tokens", "Number of prefill tokens processed.", ("",)),
    (
        "prompt_tokens_by_source",
        "Number of prompt tokens by source.",
        (',source="local_compute"', ',source="local_cache_hit"', ',source="external_kv_transfer"'),
    ),
    ("prompt_tokens_cached", "Number of cached prompt tokens (local + external).", ("",)),
    ("generation_tokens", "Number of generation tokens processed.", ("",)),
    (
        "request_success",
        "Count of successfully processed requests.",
        (
            ',finished_reason="stop"',
            ',finished_reason="length"',
            ',finished_reason="abort"',
            ',finished_reason="error"',
            ',finished_reason="repetition"',
        ),
    ),
)
HISTOGRAMS = (
    ("iteration_tokens_total", "Histogram of number of tokens per engine_step.", 4),
    ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", 0),
    ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", 1),
    ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", 2),
    ("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", 3),
)
"""Name, help, place among an engine's histograms."""
CREATED = "%(created)s"


class Page:
    """Renders the page of one engine; what does not move is prepared once."""

    def __init__(self, model: str, histograms: tuple[Histogram, ...]) -> None:
        escaped = model.replace("\\", "\\\\").replace('"', '\\"')
        self._model = escaped
        lines = [*_process(), *self._gauges(), *self._counters()]
        for name, help_text, place in HISTOGRAMS:
            lines += self._histogram(name, help_text, histograms[place].bounds)
        self._template = "\n".join(lines) + "\n"

    def _labels(self, more: str) -> str:
        """Return the label set of one series; vLLM sorts labels by name."""
        own = ['engine="0"', f'model_name="{self._model}"', *filter(None, [more.removeprefix(",")])]
        return "{" + ",".join(sorted(own)) + "}"

    def _gauges(self) -> Iterator[str]:
        for name, help_text, variants in GAUGES:
            yield from _head(f"vllm:{name}", help_text, "gauge")
            yield from (_escaped(f"vllm:{name}{self._labels(more)}") + " %s" for more in variants)

    def _counters(self) -> Iterator[str]:
        for name, help_text, variants in COUNTERS:
            yield from _head(f"vllm:{name}_total", help_text, "counter")
            yield from (_escaped(f"vllm:{name}_total{self._labels(more)}") + " %s" for more in variants)
            yield from _head(f"vllm:{name}_created", help_text, "gauge")
            yield from (_escaped(f"vllm:{name}_created{self._labels(more)}") + " %s" for more in variants)

    def _histogram(self, name: str, help_text: str, bounds: tuple[float, ...]) -> Iterator[str]:
        full = f"vllm:{name}"
        yield from _head(full, help_text, "histogram")
        for bound in (*bounds, "+Inf"):
            labels = self._labels(f',le="{bound}"')
            yield _escaped(f"{full}_bucket{labels}") + " %d.0"
        yield _escaped(f"{full}_count{self._labels('')}") + " %s"
        yield _escaped(f"{full}_sum{self._labels('')}") + " %s"
        yield from _head(f"{full}_created", help_text, "gauge")
        yield _escaped(f"{full}_created{self._labels('')}") + " %s"

    def render(self, engine: Engine, rest_ns: int, started_unix: float, cpu_seconds: float) -> bytes:
        """Return the page of this moment."""
        output, prompt, cached = engine.counters(rest_ns)
        created = python_float(started_unix + 0.5)
        values: list[str | int] = [python_float(started_unix), python_float(cpu_seconds)]
        values += _gauge_values(engine)
        for counted in _counted(engine, output, prompt, cached):
            values += map(python_float, counted)
            values += [created] * len(counted)
        for _, _, place in HISTOGRAMS:
            values += _histogram_values(engine, place)
            values.append(created)
        return (self._template % tuple(values)).encode()


def _process() -> Iterator[str]:
    name = "process_start_time_seconds"
    yield from _head(name, "Start time of the process since unix epoch in seconds.", "gauge")
    yield f"{name} %s"
    name = "process_cpu_seconds_total"
    yield from _head(name, "Total user and system CPU time spent in seconds.", "counter")
    yield f"{name} %s"


def _head(name: str, help_text: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {_escaped(help_text)}", f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _gauge_values(engine: Engine) -> list[str]:
    waiting = python_float(engine.waiting)
    return [
        python_float(engine.running),
        waiting,
        waiting,
        "0.0",
        "1.0",
        "0.0",
        "0.0",
        python_float(engine.cache),
    ]


def _counted(engine: Engine, output: int, prompt: int, cached: int) -> tuple[tuple[int, ...], ...]:
    """Values of COUNTERS, in their order."""
    finished = output // engine.traits.output_tokens
    preempted = engine.preempted_pt // (PICO * TOKENS_PER_PREEMPTION)
    return (
        (prompt,),
        (cached,),
        (preempted,),
        (prompt,),
        (prompt - cached, cached, 0),
        (cached,),
        (output,),
        (0, finished, 0, 0, 0),
    )


def _histogram_values(engine: Engine, place: int) -> list[str | int]:
    """Buckets, count and sum; what is counted is a request, a token or an engine step."""
    histogram = engine.histograms[place]
    unit = PICO
    if place in {0, 2, 3}:
        unit *= engine.traits.output_tokens
    elif place == 4:  # noqa: PLR2004 - of steps
        unit *= max(1, engine.traits.running)
    counts = histogram.cumulated(unit)
    return [*counts, python_float(counts[-1]), python_float(histogram.weighted / unit)]


def python_float(value: float) -> str:
    """Print a number as prometheus_client does: 3922.0, 1.234567e+06."""
    text = repr(float(value))
    dot = text.find(".")
    if value <= 0 or dot <= PLAIN_DIGITS:
        return text
    mantissa = f"{text[0]}.{text[1:dot]}{text[dot + 1 :]}".rstrip("0.")
    return f"{mantissa}e+0{dot - 1}"
