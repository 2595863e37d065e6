"""Other work: prompts grew, so that less is left for output. Nothing is broken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.diagnose.baseline import load_of, mix_at
from agent.diagnose.case import Case, Explanation, middle
from agent.diagnose.sample import MIX_SECONDS, mix_of
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.sample import Sample

LEAST_GROWTH = 1.3
"""Prompts for each output token are no other work below this factor."""
SPREADS = 4.0
"""Beyond so many times of how far they usually are from what is usual, they are unusual."""


def explain(case: Case) -> Iterator[Explanation]:
    """Yield it when many more prompt tokens are computed for each output token than before.

    They may have grown long ago, while there was little to do: then it is more than when it was learned what
    it gives at this load.
    """
    before, learned = middle(_mix(sample) for sample in case.before), _learned(case)
    now = middle(_mix(sample) for sample in case.latest)
    prompts_before = middle(sample.prompt_rate for sample in case.before)
    prompts = middle(sample.prompt_rate for sample in case.latest)
    if now is None or prompts is None:
        return
    if learned and (not before or learned < before):
        usual = learned * case.expected
        before, prompts_before = learned, min(prompts_before or usual, usual)
    if not before or not prompts_before:
        return
    if now < LEAST_GROWTH * before or prompts <= prompts_before:
        return
    text = f"{now:.2f} prompt tokens are computed for each output token, before {before:.2f}"
    evidence = (Evidence("engine_tokens_per_second", case.node, None, prompts_before, prompts, text),)
    usual = _is_usual(case.baseline, mix_of(case.during, MIX_SECONDS))
    yield Explanation(Cause.WORKLOAD_SHIFT, None, 0.85, text, evidence, usual=usual)


def _learned(case: Case) -> float | None:
    """Return the prompts with which it was learned what the present load gives."""
    load = load_of(case.baseline, case.latest[-1].in_flight)
    return None if load is None else mix_at(case.baseline, load)


def _is_usual(baseline: Baseline, lately: float | None) -> bool:
    """Whether prompts are this long here now and then: a few clients with long ones."""
    if baseline.mix is None or lately is None:
        return False
    return lately < baseline.mix * math.exp(SPREADS * baseline.mix_spread)


def _mix(sample: Sample) -> float | None:
    rate, prompts = sample.rate, sample.prompt_rate
    return None if not rate or prompts is None else prompts / rate
