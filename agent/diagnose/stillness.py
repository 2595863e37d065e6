"""Whether an engine stands still that counts only what has ended: it has requests, and nothing of it moves.

Each step puts tokens into the KV cache, and most engines count their steps: where those moved from one look
to the next and have stopped, no step is made, whether a request would have ended by now or not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from agent.diagnose.case import of_gpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import EngineSigns

LEAST_KNOWN = 20
"""So many looks at an engine at work tell how often it moves."""
LEAST_CHANCE = 0.05
"""That it does not from one look to the next is no less likely than this."""
LEAST_LOOKS, LEAST_PROOF = 3, 6.0
"""Where its GPUs do less as well, it stands still after so many looks, as unlikely (minus the logarithm) …"""
ALONE_LOOKS, ALONE_PROOF = 10, 20.0
"""… where they tell nothing, after these …"""
BUSY_SECONDS = 120.0
"""… and where they work on, after this time: a long prompt moves nothing for a minute."""
WORKED_RATIO = 0.8
"""GPUs that draw at least this share of what they did work on."""


def still_since(samples: Sequence[Sample], name: str) -> float | None:
    """Return since when it stands still; None while it moves, has nothing to do, or may only be slow."""
    newest = samples[-1].engines.get(name)
    if newest is None or not _has_work(newest):
        return None
    last = next((at for at in range(len(samples) - 1, 0, -1) if _moved(samples, at, name)), None)
    if last is None or len(samples) - 1 - last < LEAST_LOOKS or _are_old(samples, last, name, newest):
        return None
    while not _works(samples[last], name) and last < len(samples) - 1:
        last += 1  # it had nothing to do
    looks = len(samples) - 1 - last
    if looks < LEAST_LOOKS:
        return None
    worked = [_moved(samples, at, name) for at in range(1, last + 1) if _works(samples[at], name)]
    if len(worked) < LEAST_KNOWN:
        return None
    chance = max(LEAST_CHANCE, (worked.count(False) + 1.0) / (len(worked) + 2.0))
    proof, begun = -math.log(chance) * looks, samples[last].seconds
    less = work_less(samples[:last], samples[last + 1 :])
    if less is None:
        sure = looks >= ALONE_LOOKS and proof >= ALONE_PROOF and _shows_steps(newest)
    elif less:
        sure = proof >= LEAST_PROOF
    else:
        sure = samples[-1].seconds - begun >= BUSY_SECONDS and proof >= ALONE_PROOF
    return begun if sure else None


def still_ones(samples: Sequence[Sample]) -> frozenset[str]:
    """Return the instances that stand still, of those that count what has ended."""
    counting = (name for name, each in samples[-1].engines.items() if each.on_finish)
    return frozenset(name for name in counting if still_since(samples, name) is not None)


def _shows_steps(engine: EngineSigns) -> bool:
    return engine.kv_cache_usage_ratio is not None or engine.heartbeat is not None


def _shown(engine: EngineSigns) -> tuple[float | None, ...]:
    made = None if engine.output is None else engine.output.value
    return made, engine.kv_cache_usage_ratio, engine.heartbeat


def _moved(samples: Sequence[Sample], place: int, name: str) -> bool:
    """Whether anything of it moved between a sample and the one before; what was not seen may have."""
    before, now = samples[place - 1].engines.get(name), samples[place].engines.get(name)
    if before is None or now is None or not before.up or not now.up:
        return True
    return _shown(before) != _shown(now) or before.restarts != now.restarts


def _works(sample: Sample, name: str) -> bool:
    engine = sample.engines.get(name)
    return engine is not None and _has_work(engine)


def _has_work(engine: EngineSigns) -> bool:
    return engine.up and bool(engine.running or engine.waiting)


def _are_old(samples: Sequence[Sample], last: int, name: str, newest: EngineSigns) -> bool:
    """Whether the requests that it shows may all have ended: gauges of the last step stay when it is idle.

    Those that ended since its gauges last moved are not in work any more, whatever these say.
    """
    place = last
    while place > 0:
        before, now = samples[place - 1].engines.get(name), samples[place].engines.get(name)
        if before is None or now is None or _gauges(before) != _gauges(now):
            break
        place -= 1
    earlier = samples[max(0, place - 1)].engines.get(name)
    if earlier is None or earlier.finished is None or newest.finished is None:
        return True
    return newest.finished - earlier.finished >= (newest.running or 0.0) + (newest.waiting or 0.0)


def _gauges(engine: EngineSigns) -> tuple[float | None, ...]:
    return engine.kv_cache_usage_ratio, engine.running, engine.heartbeat


def work_less(before: Sequence[Sample], now: Sequence[Sample], ratio: float = WORKED_RATIO) -> bool | None:
    """Whether the GPUs of one engine draw clearly less than before; None unless all of them tell.

    Which of them are whose is not known: as many as an engine has, on average, must do less.
    """
    falls = []
    for number in {gpu.gpu for gpu in now[-1].gpus}:
        was, watts = (of_gpu(some, number, lambda gpu: gpu.power_watts) for some in (before, now))
        if not was or watts is None:
            return None
        falls.append(watts / was)
    less = sum(each < ratio for each in falls)
    return less * len(now[-1].engines) >= len(falls) if falls else None
