"""One engine: what it makes of the work that is offered, its queue, its cache, its life."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.twin.grid import MILLI, PICO, STEP_NS, STEPS_PER_SECOND
from agent.twin.histogram import (
    INTER_TOKEN_BOUNDS,
    REQUEST_BOUNDS,
    STEP_BOUNDS,
    TTFT_BOUNDS,
    Histogram,
)

if TYPE_CHECKING:
    from agent.twin.scenario import RackShape

PREFILL_SECONDS = 0.08
"""Time to the first token without a queue."""
PREFILL_SHARE = 0.15
"""Share of the work that the scenario's usual prompts are; longer ones take more of it."""
CACHE_AT_FULL_BATCH = 0.72
CACHE_FULL = 0.995
CACHE_GROWTH_STEPS = 5 * STEPS_PER_SECOND
"""Long contexts fill the cache within five seconds."""


class EngineTraits:
    """What one engine is made for; never changes."""

    __slots__ = ("cached_milli", "capacity_mtps", "output_tokens", "prompt_milli", "queue_pt", "running")

    def __init__(self, shape: RackShape, tray: int) -> None:
        engines = shape.engines_per_tray
        self.capacity_mtps = round(shape.rate(tray) / engines * MILLI)
        self.running = max(1, shape.running // engines)
        self.output_tokens = shape.output_tokens
        self.queue_pt = shape.queue // engines * shape.output_tokens * PICO
        self.prompt_milli = round(shape.prompt_tokens / shape.output_tokens * MILLI)
        self.cached_milli = round(shape.cached_share * MILLI)


class Engine:
    """State at the beginning of a step, and the rates that stand during it."""

    __slots__ = (
        "base_pt",
        "cache",
        "down",
        "histograms",
        "next_queue_pt",
        "offered_mtps",
        "offered_pt",
        "preempted_pt",
        "queue_pt",
        "rates_mtps",
        "running",
        "saturated",
        "started_step",
        "starts",
        "total_pt",
        "traits",
    )

    def __init__(self, traits: EngineTraits) -> None:
        """Begin as an engine that has just started."""
        self.traits = traits
        self.down = False
        self.starts = 1
        self.started_step = 0
        self.total_pt = (0, 0, 0)
        """Picotokens since the twin's start: output, prompt, cached prompt."""
        self.base_pt = (0, 0, 0)
        """The same at the start of its process: where its own counters begin."""
        self.rates_mtps = (0, 0, 0)
        self.offered_mtps = 0
        self.offered_pt = 0
        self.queue_pt = 0
        self.next_queue_pt = 0
        self.running = 0
        self.cache = 0.0
        self.saturated = 0
        self.preempted_pt = 0
        self.histograms = _fresh()

    def clone(self) -> Engine:
        """Return a copy that can go its own way."""
        twin = Engine.__new__(Engine)
        for name in Engine.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.histograms = tuple(each.clone() for each in self.histograms)
        return twin

    def integrate(self) -> None:
        """Live through one step."""
        output, prompt, cached = (rate * STEP_NS for rate in self.rates_mtps)
        self.offered_pt += self.offered_mtps * STEP_NS
        if output:
            self._book(output, prompt, cached)
        self.queue_pt = self.next_queue_pt

    def _book(self, output: int, prompt: int, cached: int) -> None:
        before = self.total_pt
        self.total_pt = (before[0] + output, before[1] + prompt, before[2] + cached)
        if self.saturated:
            self.preempted_pt += output
        self._observe(output)

    def _observe(self, output: int) -> None:
        rate = self.rates_mtps[0] / MILLI
        inter_token = self.running / rate
        waited = self.queue_pt / PICO / rate
        first = PREFILL_SECONDS + waited
        first_token, inter, request, queued, per_step = self.histograms
        first_token.add(output, first)
        inter.add(output, inter_token)
        request.add(output, first + self.traits.output_tokens * inter_token)
        queued.add(output, waited)
        per_step.add(output, float(self.running))

    def plan(self, offered: float, speed: float, cache: float, prompts: float, *, stalled: bool) -> float:
        """Settle the rates of the next step; return how busy it is, 0 to 1."""
        traits = self.traits
        self.offered_mtps = round(traits.capacity_mtps * offered)
        prefill = PREFILL_SHARE * (prompts - 1.0) if prompts > 1.0 else 0.0
        capacity = int(traits.capacity_mtps * speed * cache / (1.0 + prefill))
        wanted = self.offered_mtps * STEP_NS + self.queue_pt
        rate = 0 if stalled else min(capacity, wanted // STEP_NS)
        self.next_queue_pt = min(wanted - rate * STEP_NS, traits.queue_pt)
        busy = rate / capacity if capacity else 0.0
        if not stalled:
            self.running = math.ceil(busy * traits.running * cache)
        elif wanted:
            self.running = max(self.running, 1)
        prompt = rate * round(traits.prompt_milli * prompts) // MILLI
        self.rates_mtps = (rate, prompt, prompt * traits.cached_milli // MILLI)
        self._fill_cache(cache)
        return busy

    def _fill_cache(self, cache: float) -> None:
        usual = CACHE_AT_FULL_BATCH * self.running / self.traits.running
        if cache < 1.0:
            self.saturated = min(self.saturated + 1, CACHE_GROWTH_STEPS)
            usual += (CACHE_FULL - usual) * self.saturated / CACHE_GROWTH_STEPS
        else:
            self.saturated = 0
        self.cache = usual

    def crash(self, offered: float) -> None:
        """Be gone: what waited is lost, what comes is refused."""
        self.down = True
        self.offered_mtps = round(self.traits.capacity_mtps * offered)
        self.rates_mtps = (0, 0, 0)
        self.queue_pt = self.next_queue_pt = self.running = self.saturated = 0
        self.cache = 0.0

    def start(self, step: int) -> None:
        """Be a new process: counters from zero."""
        self.down = False
        self.starts += 1
        self.started_step = step
        self.base_pt = self.total_pt
        self.preempted_pt = 0
        self.histograms = _fresh()

    def tokens(self, rest_ns: int) -> tuple[int, int, int]:
        """Whole tokens since the twin's start: output, prompt, cached prompt."""
        output, prompt, cached = (
            (total + rate * rest_ns) // PICO
            for total, rate in zip(self.total_pt, self.rates_mtps, strict=True)
        )
        return output, prompt, cached

    def counters(self, rest_ns: int) -> tuple[int, int, int]:
        """Whole tokens since its process started."""
        made = self.tokens(rest_ns)
        return tuple(now - base // PICO for now, base in zip(made, self.base_pt, strict=True))  # type: ignore[return-value]  # three in, three out

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self.queue_pt // (self.traits.output_tokens * PICO)


def _fresh() -> tuple[Histogram, ...]:
    bounds = (TTFT_BOUNDS, INTER_TOKEN_BOUNDS, REQUEST_BOUNDS, REQUEST_BOUNDS, STEP_BOUNDS)
    return tuple(Histogram(each) for each in bounds)
