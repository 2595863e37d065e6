"""Other work: prompts grew, so that less is left for output. Nothing is broken.

A prompt token goes through the same weights as an output token, and many of them at once: it takes no more
work. So longer prompts cost at most as many output tokens as more prompt tokens are computed: a little growth
explains a little that is missing, and none explains much.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.diagnose.baseline import load_of, mix_at
from agent.diagnose.case import Case, Explanation, middle
from agent.diagnose.sample import MIX_SECONDS, mix_of
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent.diagnose.baseline import Baseline
    from agent.diagnose.sample import Sample

SURE = 0.85
LEAST_SHARE = 0.02
"""Half of what must be missing for a gap: what can take less of the rate explains none of it."""
SPREADS = 4.0
"""Beyond so many times of how far they usually are from what is usual, they are unusual."""


def explain(case: Case) -> Iterator[Explanation]:
    """Yield it when more prompt tokens are computed than before, as sure as they can take what is missing.

    They may have grown long ago, while there was little to do: then it is more than when it was learned what
    it gives at this load.
    """
    lately = _last(case.during, MIX_SECONDS)
    before, learned = middle(_mix(sample) for sample in case.before), _learned(case)
    now, prompts = mix_of(lately, MIX_SECONDS), _mean(lately)
    prompts_before = middle(sample.prompt_rate for sample in case.before)
    if now is None or prompts is None:
        return
    by_chance = _by_chance(case.before, lately[-1].seconds - lately[0].seconds)
    if learned and (not before or learned < before):
        usual = learned * case.expected
        before, prompts_before = learned, min(prompts_before or usual, usual)
    if not before or not prompts_before or now <= by_chance * before:
        return
    most = (prompts - prompts_before) / case.expected if case.expected else 0.0
    if most < LEAST_SHARE:
        return
    weight = SURE * min(1.0, most / case.missing) if case.missing > 0.0 else SURE
    text = f"{now:.2f} prompt tokens are computed for each output token, before {before:.2f}"
    evidence = (Evidence("engine_tokens_per_second", case.node, None, prompts_before, prompts, text),)
    usual_now = _is_usual(case.baseline, mix_of(case.during, MIX_SECONDS))
    yield Explanation(Cause.WORKLOAD_SHIFT, None, weight, text, evidence, usual=usual_now)


def _last(samples: Sequence[Sample], seconds: float) -> Sequence[Sample]:
    return [each for each in samples if each.seconds > samples[-1].seconds - seconds]


def _mean(samples: Sequence[Sample]) -> float | None:
    """Return the prompt tokens per second over samples."""
    known = [rate for each in samples if (rate := each.prompt_rate) is not None]
    return sum(known) / len(known) if known else None


def _by_chance(samples: Sequence[Sample], seconds: float) -> float:
    """Return how many times the middle of its parts the longest prompts were, over as long, before."""
    ends, end = list[float](), samples[-1].seconds + 1.0
    for place in range(len(samples) - 1, -1, -1):
        if samples[place].seconds <= end - max(seconds, 1.0):
            end = samples[place].seconds
            mix = mix_of(samples[: place + 1], max(seconds, 1.0))
            ends += [] if mix is None else [mix]
    usual = middle(ends)
    return max(ends) / usual if usual else 1.0


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
