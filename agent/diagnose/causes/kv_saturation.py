"""A KV cache that is full: batches shrink, requests are put off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, middle
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL_RATIO = 0.95


def explain(case: Case) -> Iterator[Explanation]:
    """Yield it when the cache is full, and more requests wait or are put off for it than before."""
    before = middle(sample.cache_usage for sample in case.before)
    now = middle(sample.cache_usage for sample in case.latest)
    put_off = middle(sample.preemption_rate for sample in case.latest) or 0.0
    put_off_before = middle(sample.preemption_rate for sample in case.before) or 0.0
    if now is None or now < FULL_RATIO:
        return
    worse = put_off > 2.0 * put_off_before
    became = before is None or before < FULL_RATIO
    # It may have been full before, with fewer tokens lost: then requests must be put off for it now.
    tighter = put_off > 0.0 and _shrank(case)
    if not worse and (case.during[-1].waiting <= 0.0 or not (became or tighter)):
        return
    text = f"the KV cache is full ({now:.0%}" + ("" if before is None else f", before {before:.0%}") + ")"
    evidence = [Evidence("engine_kv_cache_usage_ratio", case.node, None, before, now, text)]
    if put_off:
        told = f"{put_off:.1f} requests a second are put off for want of cache, before {put_off_before:.1f}"
        evidence.append(Evidence("engine_preemptions_total", case.node, None, put_off_before, put_off, told))
    yield Explanation(
        Cause.KV_SATURATION, _explained(case, evidence), 0.95 if worse else 0.6, text, tuple(evidence)
    )


def _shrank(case: Case) -> bool:
    before = middle(sample.running for sample in case.before)
    now = middle(sample.running for sample in case.latest)
    return before is not None and now is not None and now < before


def _explained(case: Case, evidence: list[Evidence]) -> float | None:
    """Return what the smaller batch takes away; None when it did not shrink."""
    before = middle(sample.running for sample in case.before)
    now = middle(sample.running for sample in case.latest)
    if not before or now is None or now >= before:
        return None
    text = f"{now:.0f} requests are in work instead of {before:.0f}"
    evidence.append(Evidence("engine_requests", case.node, None, before, now, text))
    return 1.0 - now / before
