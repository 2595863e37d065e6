"""An engine that serves request by request in virtual time: batches, prefills, a cache that runs full.

It shares nothing with the twin. A step takes longer with each request in its batch and with each prompt
token that it computes; requests come by chance, their lengths are log-normal, and steps vary. Its page has
the families of vLLM's recorded one that tell of work.
"""

from __future__ import annotations

import math
import random
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

CAPTURE = Path(__file__).resolve().parents[1] / "captures" / "vllm-0.32.0-busy.prom"
_SHOWN = re.compile(
    r"^(?:# (?:HELP|TYPE) )?(vllm:(?:num_requests_running|num_requests_waiting|kv_cache_usage_perc"
    r"|num_preemptions_total|prompt_tokens_total|prompt_tokens_cached_total|generation_tokens_total"
    r"|request_success_total|iteration_tokens_total_count)|process_start_time_seconds)[ {]"
)


COUNTS = ("output", "prompt", "steps", "finished", "put_off", "ended_output", "ended_prompt")
"""The last two are of requests that have ended: all that some engines count."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the engine is able to do."""

    step_seconds: float = 0.011
    """A step of one request."""
    request_seconds: float = 0.00022
    """What each further request of a batch adds."""
    prompt_tokens_per_second: float = 22_000.0
    step_tokens: int = 2048
    """Prompt tokens that one step computes at most: a long prompt goes over several."""
    batch: int = 64
    cache_tokens: int = 400_000
    jitter: float = 0.05
    """Steps vary by this share …"""
    wander: float = 0.04
    """… and their mean wanders by this one …"""
    wander_seconds: float = 20.0
    """… within about this time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What clients send."""

    per_second: float
    """Requests, by chance."""
    prompt: float = 600.0
    """Tokens, the median."""
    output: float = 180.0
    spread: float = 0.8
    """Of the logarithm of both."""
    clients: int | None = None
    """So many that each wait for an answer before they ask again, in place of chance."""
    together: int = 1
    """Requests that come at once."""


@dataclass(slots=True)
class _Request:
    prompt: int
    output: int
    made: int = 0
    computed: int = 0
    """Tokens that are in the cache."""
    needed: int = 0
    """Tokens that must be there before it makes the next one."""


@dataclass(slots=True)
class Served:
    """The engine; `live` lets it work for a second, `page` is what it shows then."""

    traits: Traits
    asked: Asked
    seed: int
    pace: float = 1.0
    """Steps take longer by this factor."""
    down: bool = False
    """No process is there."""
    cached_tokens: int = 0
    """Held by others: cache that is not free for requests."""
    started: float = 0.0
    _dice: random.Random = field(init=False)
    _running: list[_Request] = field(default_factory=list)
    _waiting: deque[_Request] = field(default_factory=deque)
    _now: float = 0.0
    _next: float = 0.0
    _wander: float = 0.0
    _sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    _page: list[str] = field(default_factory=list)
    output_total: int = 0
    """Of all its lives."""

    def __post_init__(self) -> None:
        """Seed the dice and cut the recorded page."""
        self._dice = random.Random(self.seed)
        lines = CAPTURE.read_text(encoding="utf-8").splitlines()
        self._page = [line for line in lines if _SHOWN.match(line)]

    def live(self, until: float) -> None:
        """Work until this second of its time."""
        share = math.exp(-1.0 / self.traits.wander_seconds)
        fresh = self._dice.gauss(0.0, self.traits.wander) * math.sqrt(1.0 - share * share)
        self._wander = self._wander * share + fresh
        if self.down:  # a step that hung is over, too
            self._now, self._next = until, max(self._next, until)
        while self._now < until:
            self._arrive()
            if self._running or self._waiting:
                self._now += self._step()
            else:
                self._now = min(until, self._next)

    def hang(self, until: float) -> None:
        """Make nothing until this second, while requests come."""
        self._now = until
        self._arrive()

    def restart(self, at: float) -> None:
        """Begin as a new process: what was in work is lost, counters are at zero."""
        self._sums = dict.fromkeys(self._sums, 0)
        self.started, self.down = at, False

    def stop(self) -> None:
        """End the process; what it had is lost."""
        self._running.clear()
        self._waiting.clear()
        self.down = True

    @property
    def in_work(self) -> int:
        """Requests in its batch."""
        return len(self._running)

    @property
    def usage(self) -> float:
        """Share of the cache that is in use."""
        used = self.cached_tokens + sum(each.computed for each in self._running)
        return min(1.0, used / self.traits.cache_tokens)

    def page(self) -> bytes:
        """What it shows on /metrics."""
        return ("\n".join(self._line(line) for line in self._page) + "\n").encode()

    def page_of_ended(self) -> bytes:
        """The same on the page of TensorRT-LLM, which counts the tokens of requests that have ended."""
        told = {
            "generation_tokens_total": self._sums["ended_output"],
            "prompt_tokens_total": self._sums["ended_prompt"],
            'request_success_total{finished_reason="length"}': self._sums["finished"],
            "num_requests_running": len(self._running),
            "num_requests_waiting": len(self._waiting),
            "kv_cache_utilization": self.usage,
        }
        return "".join(map(_ended_line, told, told.values())).encode()

    def _line(self, line: str) -> str:
        if line.startswith("#"):
            return line
        head, _, _ = line.rpartition(" ")
        name = head.partition("{")[0].removeprefix("vllm:")
        told = {
            "num_requests_running": len(self._running),
            "num_requests_waiting": len(self._waiting),
            "kv_cache_usage_perc": self.usage,
            "num_preemptions_total": self._sums["put_off"],
            "prompt_tokens_total": self._sums["prompt"],
            "generation_tokens_total": self._sums["output"],
            "iteration_tokens_total_count": self._sums["steps"],
            "process_start_time_seconds": 1_760_000_000.0 + self.started,
            "request_success_total": self._sums["finished"] if '"length"' in head else 0,
        }
        return f"{head} {float(told.get(name, 0))!r}"

    def _arrive(self) -> None:
        if self.asked.clients is not None:
            for _ in range(self.asked.clients - len(self._running) - len(self._waiting)):
                self._waiting.append(self._drawn())
            return
        while self._next <= self._now:
            for _ in range(self.asked.together):
                self._waiting.append(self._drawn())
            self._next += self._dice.expovariate(self.asked.per_second / self.asked.together)

    def _drawn(self) -> _Request:
        prompt, output = (
            max(1, round(middle * math.exp(self._dice.gauss(0.0, self.asked.spread))))
            for middle in (self.asked.prompt, self.asked.output)
        )
        prompt = min(prompt, 30_000)
        return _Request(prompt, min(output, 4_000), needed=prompt)

    def _step(self) -> float:
        traits = self.traits
        free = traits.cache_tokens - self.cached_tokens - sum(each.computed for each in self._running)
        while free < len(self._running) and len(self._running) > 1:
            free += self._put_off()
        while self._waiting and len(self._running) < traits.batch and self._waiting[0].prompt < free:
            free -= self._waiting[0].prompt
            self._running.append(self._waiting.popleft())
        budget, computed = traits.step_tokens, 0
        for each in self._running:
            chunk = min(budget - computed, each.needed - each.computed)
            each.computed += chunk
            computed += chunk
            if each.computed == each.needed:
                self._sums["prompt"] += 0 if each.made else each.prompt
                self._sums["output"] += 1
                self.output_total += 1
                each.made, each.needed = each.made + 1, each.needed + 1
        self._sums["steps"] += 1
        for each in self._running:
            if each.made >= each.output:
                self._sums["finished"] += 1
                self._sums["ended_output"] += each.made
                self._sums["ended_prompt"] += each.prompt
        seconds = traits.step_seconds + traits.request_seconds * len(self._running)
        seconds += computed / traits.prompt_tokens_per_second
        self._running = [each for each in self._running if each.made < each.output]
        vary = self._dice.gauss(0.0, traits.jitter) + self._wander
        return seconds * self.pace * max(0.3, 1.0 + vary)

    def _put_off(self) -> int:
        """Take the youngest out of the batch; it is computed anew later."""
        youngest = self._running.pop()
        freed, youngest.computed = youngest.computed, 0
        self._waiting.appendleft(youngest)
        self._sums["put_off"] += 1
        return freed


def _ended_line(name: str, value: float) -> str:
    name, _, labels = name.rstrip("}").partition("{")
    return (
        f'trtllm_{name}{{engine_type="trtllm",model_name="tiny"{labels and "," + labels}}} {float(value)!r}\n'
    )
