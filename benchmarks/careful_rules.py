"""What careful rules in PromQL would have told of the same seconds, evaluated as Prometheus does.

Each engine and GPU is scraped, and each rule evaluated, every 15 s. What does not answer has no sample: it
is stale at once. `rate` is extrapolated to the edges of its window and knows resets; `sum` leaves out what is
absent, and a comparison of nothing is no alert; an alert fires when its expression held for `for`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.virtual_tray import ENGINES

if TYPE_CHECKING:
    from benchmarks.quick_tray import QuickNode

SCRAPE_SECONDS = 15
WINDOW_SECONDS = 60.0
AVERAGE_SECONDS = 3600.0
SHARE = 0.8
FOR_SECONDS = 300.0
EDGE_INTERVALS = 1.1
"""A window whose edge is further from its samples than this is extrapolated by half an interval only."""
TOKENS = "sum(rate(vllm:generation_tokens_total[1m]))"
RULES = {
    "tokens": f"{TOKENS} < {SHARE} * avg_over_time({TOKENS}[1h:15s]), for: 5m",
    "tokens per watt": f"E < {SHARE} * avg_over_time(E[1h:15s]), for: 5m; E = {TOKENS} / sum(gpu_watts)",
}
Samples = list[tuple[float, float]]


def lately(samples: Samples, now: float, window: float, closed: bool) -> Samples:
    """Return the samples of a window: Prometheus 3 leaves out one at its very beginning, 2 does not."""
    return [each for each in samples if now - window < each[0] <= now or (closed and each[0] == now - window)]


def rate(samples: Samples, now: float, window: float = WINDOW_SECONDS, closed: bool = False) -> float | None:
    """Return a counter's increase per second as `rate` does; None of fewer than two samples."""
    inside = lately(samples, now, window, closed)
    if len(inside) < 2:
        return None
    (first, low), (last, _) = inside[0], inside[-1]
    increase = 0.0
    for (_, was), (_, value) in pairwise(inside):
        increase += value - was if value >= was else value
    sampled = last - first
    apart = sampled / (len(inside) - 1)
    before, after = first - (now - window), now - last
    before = before if before < EDGE_INTERVALS * apart else apart / 2.0
    if increase > 0.0 and low >= 0.0:
        before = min(before, sampled * low / increase)  # no counter was ever below 0
    after = after if after < EDGE_INTERVALS * apart else apart / 2.0
    return increase * (sampled + before + after) / sampled / window


@dataclass(slots=True)
class Rule:
    """One rule: an expression that is less than a share of its own average over an hour, for some time."""

    closed: bool = False
    """Whether a window has its beginning, as before Prometheus 3."""
    held: Samples = field(default_factory=list)
    since: float | None = None
    """When it became pending."""
    fires: bool = False
    alerts: Samples = field(default_factory=list)
    """Of each alert that fired: since when it was pending, and when it fired."""

    def evaluate(self, now: float, value: float | None) -> None:
        """Take one evaluation."""
        self.held = lately(self.held, now, AVERAGE_SECONDS, self.closed)
        if value is not None:
            self.held.append((now, value))
        if value is None or value >= SHARE * sum(each for _, each in self.held) / len(self.held):
            self.since, self.fires = None, False
            return
        self.since = now if self.since is None else self.since
        if not self.fires and now - self.since >= FOR_SECONDS:
            self.fires = True
            self.alerts.append((self.since, now))


@dataclass(slots=True)
class Rules:
    """Both rules over one tray, or over the sums of a rack."""

    closed: bool = False
    rules: dict[str, Rule] = field(default_factory=dict)
    counters: dict[tuple[int, int], Samples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without a sample."""
        self.rules = {name: Rule(self.closed) for name in RULES}

    def see(self, second: int, *nodes: QuickNode) -> None:
        """Scrape and evaluate when it is time."""
        if second % SCRAPE_SECONDS:
            return
        now = float(second)
        for number, node in enumerate(nodes):
            if node.why_missing(ENGINES, second) is None:
                for place, engine in enumerate(node.tray.engines):
                    if not engine.down:
                        self._scraped((number, place), now, float(engine.counters(0)[0]))
        rates = (rate(samples, now, closed=self.closed) for samples in self.counters.values())
        told = [each for each in rates if each is not None]
        tokens = sum(told) if told else None
        gpus = [gpu for node in nodes if node.latest is not None for gpu in node.latest.gpus]
        watts = sum(gpu.power_watts for gpu in gpus if gpu.power_watts is not None)
        self.rules["tokens"].evaluate(now, tokens)
        self.rules["tokens per watt"].evaluate(now, tokens / watts if tokens is not None and watts else None)

    def _scraped(self, target: tuple[int, int], now: float, value: float) -> None:
        kept = lately(self.counters.get(target, []), now, WINDOW_SECONDS, closed=True)
        self.counters[target] = [*kept, (now, value)]
