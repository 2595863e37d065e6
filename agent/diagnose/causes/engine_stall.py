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
    """Yield what the instances explain that stand still."""
    usual = usual_rates(case)
    still = [(name, now) for name in usual if (now := _still(case, name, usual[name])) is not None]
    if not still:
        return
    evidence = tuple(
        Evidence("engine_tokens_per_second", case.node, None, usual[name], now, _text(case, name))
        for name, now in still
    )
    explained = sum(usual[name] for name, _ in still) / sum(usual.values())
    text = "; ".join(each.text for each in evidence)
    yield Explanation(Cause.ENGINE_STALL, explained, 0.9, text, evidence, None, still[0][0])


def _still(case: Case, name: str, usual: float) -> float | None:
    """Return what an instance makes now; None if that is something, or nothing is asked of it."""
    engine = case.during[-1].engines.get(name)
    if engine is None or not engine.up or usual <= 0.0 or not (engine.running or engine.waiting):
        return None
    if engine.on_finish:  # that no request ended within seconds says nothing
        return 0.0 if name in case.still else None
    now = middle(sample.rates[name].output for sample in case.latest if name in sample.rates)
    return now if now is not None and now <= STILL_RATIO * usual else None


def _text(case: Case, name: str) -> str:
    engine = case.during[-1].engines[name]
    requests = (engine.running or 0.0) + (engine.waiting or 0.0)
    return f"engine {name} answers and has {requests:.0f} requests, but makes no tokens"
