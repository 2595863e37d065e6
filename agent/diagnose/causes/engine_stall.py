"""An engine that answers, has requests, and makes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, middle, usual_rates
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

STILL_RATIO = 0.02
"""It makes no more than this share of what it did."""


def explain(case: Case) -> Iterator[Explanation]:
    """Yield one explanation for each instance that stands still."""
    usual = usual_rates(case)
    of_all = sum(usual.values())
    for name, rate in usual.items():
        engine = case.during[-1].engines.get(name)
        if engine is None or not engine.up or rate <= 0.0 or not (engine.running or engine.waiting):
            continue
        now = middle(sample.rates[name].output for sample in case.latest if name in sample.rates)
        if engine.on_finish:  # that no request ended within seconds says nothing
            now = 0.0 if name in case.still else None
        if now is not None and now <= STILL_RATIO * rate:
            requests = (engine.running or 0.0) + (engine.waiting or 0.0)
            text = f"engine {name} answers and has {requests:.0f} requests, but makes no tokens"
            evidence = Evidence("engine_tokens_per_second", case.node, None, rate, now, text)
            yield Explanation(Cause.ENGINE_STALL, rate / of_all, 0.9, text, (evidence,), None, name)
