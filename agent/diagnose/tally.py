"""What was due against what was counted, where tokens are counted only when their request ends.

Such a counter moves by whole requests: over seconds it says more of chance than of the rate. So the shortfall
is weighed against the size of a request: what is missing of `due` tokens that come in grains of so many is
as unlikely as chance makes it, and `proof` is minus the logarithm of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.diagnose.sample import Sample

KEPT_SECONDS = 150.0
"""A shortfall is looked for over so long, at most."""
BLOCK_SECONDS = 10.0
"""How far the count is off is learned over so long …"""
MEMORY_SECONDS, FIRST_SECONDS = 900.0, 120.0
"""… renewed over this time, and known after that one."""
OUTLIER_SPREADS = 9.0
"""One block teaches no more than if it were three standard deviations off."""
FIRST_GRAIN = 2.0
"""Of requests whose lengths are not known: long ones make most of the tokens."""
LEAST_KNOWN_SECONDS = 60.0
"""What is due is known from no longer than it was learned: a longer shortfall than that proves less."""
SLACK = 0.04
"""A shortfall of this share is none."""
DOUBT, DOUBTED_SHARE = 1.0, 0.2
"""From here on what is asked for is no longer learned, and how the count varies by this share as fast."""
WITNESSED, ALONE = 3.0, 18.0
"""A shortfall is sure from here on where something else speaks of it, and from there on by itself."""
BACK = 6.0
"""It is over when it is so much likelier that nothing is missing than that as much is."""
LEAST_MISSING, MOST_MISSING = 0.1, 0.95
LEAST_FACTOR, MOST_FACTOR = 0.7, 1.1


@dataclass(frozen=True, slots=True)
class Step:
    """Some time, at its end: output tokens that were due, and that were counted."""

    at: float
    due: float
    made: float
    known: bool = True
    """Whether it could be said what was due; else it was what came."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """The least likely of all shortfalls that last until now."""

    since: float
    due: float
    made: float
    proof: float

    @property
    def missing(self) -> float:
        """Share of what was due."""
        return max(0.0, 1.0 - self.made / self.due) if self.due else 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What is known of one deployment that counts what has ended."""

    steps: tuple[Step, ...] = ()
    """The newest last."""
    seconds: float = 0.0
    """For how long it was learned from."""
    grain: float | None = None
    """Tokens that come at once, as far as that is seen in how the count varies."""
    factor: float = 1.0
    """What is counted of what was due, usually."""
    back: float = 0.0
    """While a shortfall stands: how much likelier it is that nothing is missing any more …"""
    back_since: float | None = None
    """… since then."""


def counted(tally: Tally, now: float, seconds: float, due: float | None, made: float) -> Tally:
    """Take one sample more: tokens that were due since the one before (None: unknown), and were counted."""
    if seconds <= 0.0:
        return tally
    step = Step(now, made, made, known=False) if due is None else Step(now, due * tally.factor, made)
    steps = (*tally.steps, step)
    first = next(place for place, each in enumerate(steps) if each.at > now - KEPT_SECONDS)
    return replace(tally, steps=steps[first:])


def cleared(tally: Tally) -> Tally:
    """Return it after a shortfall: only what was learned stays."""
    return replace(tally, steps=(), back=0.0, back_since=None)


def learned(tally: Tally, length: float | None, seconds: float, *, doubted: bool = False) -> Tally:
    """Learn how far the count usually is off, from seconds in which nothing is wrong, or may be."""
    if not tally.steps or length is None or seconds <= 0.0:
        return tally
    now = tally.steps[-1].at
    block = [each for each in tally.steps if each.at > now - BLOCK_SECONDS]
    due, made = sum(each.due for each in block), sum(each.made for each in block)
    if due <= 0.0 or not all(each.known for each in block):
        return tally
    grain = grain_of(tally, length)
    seen = min((made - due) ** 2 / due, OUTLIER_SPREADS * grain)
    known = min(tally.seconds + seconds, MEMORY_SECONDS)
    share = seconds / max(known, FIRST_SECONDS) * (DOUBTED_SHARE if doubted else 1.0)
    # The factor is in what is due already: it moves until nothing is left over.
    off = (made / due - 1.0) * share
    factor = min(MOST_FACTOR, max(LEAST_FACTOR, tally.factor * (1.0 + max(-share, min(share, off)))))
    return replace(tally, seconds=known, grain=grain + (seen - grain) * share, factor=factor)


def grain_of(tally: Tally, length: float) -> float:
    """Return how many tokens come at once; a request is the least that can."""
    return FIRST_GRAIN * length if tally.grain is None else max(tally.grain, length)


def shortfall(tally: Tally, length: float | None) -> Shortfall | None:
    """Return the least likely shortfall that lasts until now; None where nothing is missing."""
    if length is None:
        return None
    grain, due, made = grain_of(tally, length), 0.0, 0.0
    best: Shortfall | None = None
    ends, known = [each.at for each in tally.steps], max(tally.seconds, LEAST_KNOWN_SECONDS)
    for place in range(len(tally.steps) - 1, 0, -1):
        due, made = due + tally.steps[place].due, made + tally.steps[place].made
        lasts = ends[-1] - ends[place - 1]
        proof = surprise(due * (1.0 - SLACK), made) / grain / (1.0 + lasts / known)
        if proof > 0.0 and (best is None or proof > best.proof):
            best = Shortfall(ends[place - 1], due, made, proof)
    return best


def since(tally: Tally, begun: float) -> Shortfall:
    """Return what was missing since a moment."""
    steps = [each for each in tally.steps if each.at > begun]
    return Shortfall(begun, sum(each.due for each in steps), sum(each.made for each in steps), 0.0)


def off(tally: Tally, length: float | None, due: float) -> float:
    """Return how far, as a share of what was due, chance puts what is missing: one standard deviation."""
    return math.sqrt(grain_of(tally, length) / due) if length is not None and due > 0.0 else 1.0


def surprise(due: float, made: float) -> float:
    """Return how unlikely it is that so few came of what was due, in grains: 0 if none is missing.

    As of events that come by chance, each of one token.
    """
    if made >= due or due <= 0.0:
        return 0.0
    return due - made + (made * math.log(made / due) if made > 0.0 else 0.0)


def recovered(tally: Tally, length: float | None, missing: float) -> Tally:
    """Weigh with the newest step whether still as much is missing, or nothing any more."""
    if not tally.steps or length is None:
        return tally
    step, share = tally.steps[-1], min(MOST_MISSING, max(LEAST_MISSING, missing))
    more = (-step.made * math.log(1.0 - share) - share * step.due) / grain_of(tally, length)
    back = max(0.0, tally.back + more)
    began = step.at if tally.back_since is None else tally.back_since
    return replace(tally, back=back, back_since=began if back > 0.0 else None)


def healthy_since(tally: Tally) -> float | None:
    """Return since when nothing is missing any more, once that is sure."""
    return tally.back_since if tally.back >= BACK else None


def made_between(before: Sample, now: Sample) -> float | None:
    """Return the output tokens that were counted between two samples; None while that is not known."""
    made = 0.0
    for name, engine in now.engines.items():
        earlier = before.engines.get(name)
        if engine.output is None or earlier is None or earlier.output is None:
            return None
        made += max(0.0, engine.output.value - earlier.output.value)
    return made
