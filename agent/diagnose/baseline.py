"""What a deployment gives at a load: learned online, robust, a value that is passed in and out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BINS_AN_OCTAVE = 2
"""Loads are told apart by steps of 40 %."""
MEMORY_SECONDS = 1800.0
"""Time at one load over which what is known of it is renewed."""
LEAST_SECONDS = 3.0
"""A load that was seen for less is not known."""
OUTLIER_RATIO = 1.2
"""One sample moves what is known by no more than if it were off by this factor."""
RISE_SECONDS, FALL_SECONDS = 60.0, 600.0
"""Time over which the most that is given is renewed: by more, and by less."""
RISE_NOISES = 2.0
SAME_PLACE, MORE_PLACE = 0.25, 0.05
"""A load that is lower by less than this part of a step is as much, one that is higher by more is more."""
TOP_RATIO = 1.05
"""What gives more than this at another load is the new most."""
WORK_SECONDS = 600.0
MIX_SECONDS = 1800.0
"""Time over which it is renewed what prompts there usually are …"""
FIRST_SPREAD, FIRST_SPREAD_SECONDS = 0.3, 60.0
"""… and the first guess of how far that varies, which counts as much as this time."""
MOST_SPREAD = 3.0
NOISE_SECONDS = 300.0
FIRST_NOISE = 0.05
FIRST_SECONDS = 10.0
"""The first guess of the noise counts as much as this time."""
LEAST_NOISE = 0.01
MOST_NOISE = 0.5


@dataclass(frozen=True, slots=True)
class Level:
    """Output tokens per second at one load."""

    rate: float
    seconds: float
    """For how long it was seen."""
    place: float
    """Logarithm of the requests in flight at that, on average."""
    mix: float | None = None
    """Computed prompt tokens for each output token at that: longer prompts leave less for output."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of one deployment on one node."""

    levels: Mapping[int, Level] = field(default_factory=dict)
    """By the logarithm of the requests in flight."""
    noise: float = FIRST_NOISE
    """How far the rate usually is from what is expected, as a share."""
    seconds: float = 0.0
    """For how long it was learned from."""
    mix: float | None = None
    """Computed prompt tokens for each output token, usually …"""
    tokens_per_request: float | None = None
    """Output tokens of a request, usually."""
    mix_spread: float = FIRST_SPREAD
    """… and how far, in logarithms, the mean of some seconds is from that."""
    mix_seconds: float = 0.0
    """For how long that was learned."""
    batch: float | None = None
    """The most requests that it had in work: more of them only wait."""
    top: Level | None = None
    """The most that it gave: a level is a mean over loads, and the highest of them gives more."""

    @property
    def capacity(self) -> float | None:
        """The most that it was seen to give for some time."""
        known = [rate for _, rate in _known(self)]
        return max(known) if known else None


def _known(baseline: Baseline) -> list[tuple[float, float]]:
    """Return place and rate of every load that is known."""
    levels = baseline.levels.values() if baseline.top is None else (*baseline.levels.values(), baseline.top)
    return [(level.place, level.rate) for level in levels if level.seconds >= LEAST_SECONDS]


def place_of(in_flight: float) -> float:
    """Return where a load lies among the bins."""
    return BINS_AN_OCTAVE * math.log2(max(in_flight, 1.0))


def expected(baseline: Baseline, in_flight: float) -> float | None:
    """Return the rate that it gives with so many requests in flight; None while nothing near is known.

    Between two known loads it is interpolated. Beyond the highest it is what that one gave: no more is
    proved. Below the lowest it is in proportion.
    """
    if in_flight <= 0.0:
        return 0.0
    known = sorted(_known(baseline))
    if not known:
        return None
    place = place_of(in_flight)
    lowest, highest = known[0], known[-1]
    if place >= highest[0]:
        return highest[1]
    if place <= lowest[0]:
        return float(lowest[1] * 2.0 ** ((place - lowest[0]) / BINS_AN_OCTAVE))
    after = next(number for number, (at, _) in enumerate(known) if at > place)
    (left, low), (right, high) = known[after - 1], known[after]
    share = (place - left) / (right - left)
    return float(low ** (1.0 - share) * high**share)


def at_batch(baseline: Baseline, batch: float) -> float | None:
    """Return what more requests in work would give than were ever seen, if they gave more as fewer did."""
    known = sorted(_known(baseline))
    if not known or batch < 1.0 or place_of(batch) <= known[-1][0] + MORE_PLACE:
        return None
    (low_place, low), (place, rate) = known[0], known[-1]
    apart = place - low_place
    slope = BINS_AN_OCTAVE * math.log2(rate / low) / apart if apart >= 1.0 else 1.0
    grown = 2.0 ** ((place_of(batch) - place) / BINS_AN_OCTAVE)
    return float(rate * grown ** min(1.0, max(0.0, slope)))


def mix_at(baseline: Baseline, in_flight: float) -> float | None:
    """Return the prompts that were usual when it was learned what it gives at about this load."""
    levels = baseline.levels.values() if baseline.top is None else (*baseline.levels.values(), baseline.top)
    place = place_of(in_flight)
    told = [
        (abs(each.place - place), each.mix) for each in levels if each.mix and each.seconds >= LEAST_SECONDS
    ]
    return min(told, default=(0.0, None))[1]


def learned(
    baseline: Baseline, in_flight: float, rate: float, seconds: float, mix: float | None = None
) -> Baseline:
    """Return what is known after one more healthy sample that stands for so many seconds."""
    if in_flight < 1.0 or rate <= 0.0:
        return baseline
    foretold = expected(baseline, in_flight)
    place, total = place_of(in_flight), min(baseline.seconds + seconds, MEMORY_SECONDS)
    levels = {
        **baseline.levels,
        round(place): _moved(baseline.levels.get(round(place)), Level(rate, seconds, place, mix)),
    }
    top = _topped(baseline.top, Level(rate, seconds, place, mix), baseline.noise)
    baseline = replace(baseline, levels=levels, seconds=total, top=top)
    return with_noise(baseline, abs(rate / foretold - 1.0), seconds) if foretold else baseline


def _topped(top: Level | None, now: Level, noise: float) -> Level:
    """Return the most that is given: it rises soon, and falls slowly while as much load gives less.

    What noise does is no rise: to follow it faster up than down would find the best seconds, not the usual.
    """
    if top is None or (now.rate > TOP_RATIO * top.rate and abs(now.place - top.place) >= 1.0):
        return now
    if now.rate <= top.rate and now.place < top.place - SAME_PLACE:
        return top
    rises = now.place > top.place + MORE_PLACE or now.rate > (1.0 + RISE_NOISES * noise) * top.rate
    seconds = top.seconds + now.seconds
    return _mean(top, now, seconds, now.seconds / min(seconds, RISE_SECONDS if rises else FALL_SECONDS))


def with_noise(baseline: Baseline, off: float, seconds: float) -> Baseline:
    """Return what is known after a healthy sample was off by this share."""
    share = min(1.0, seconds / min(NOISE_SECONDS, baseline.seconds + FIRST_SECONDS))
    noise = baseline.noise + (1.25 * min(off, MOST_NOISE) - baseline.noise) * share
    return replace(baseline, noise=max(LEAST_NOISE, noise))


def with_work(baseline: Baseline, rate: float, finished_rate: float | None, seconds: float) -> Baseline:
    """Return what is known of requests after one more healthy sample: how long their outputs are."""
    if rate <= 0.0 or not finished_rate:
        return baseline
    share = min(1.0, seconds / min(WORK_SECONDS, baseline.seconds + seconds))
    return replace(
        baseline, tokens_per_request=_nearer(baseline.tokens_per_request, rate / finished_rate, share)
    )


def with_batch(baseline: Baseline, running: float | None, waiting: float, seconds: float) -> Baseline:
    """Return what is known of the most requests in work; it falls slowly while others wait for their turn."""
    if running is None or running < 1.0 or (baseline.batch == running):
        return baseline
    if baseline.batch is None or running > baseline.batch:
        return replace(baseline, batch=running)
    if waiting <= 0.0:
        return baseline
    return replace(baseline, batch=_nearer(baseline.batch, running, min(1.0, seconds / FALL_SECONDS)))


def load_of(baseline: Baseline, in_flight: float | None) -> float | None:
    """Return how much of a load makes a difference: what is beyond the largest batch only waits."""
    if in_flight is None or baseline.batch is None:
        return in_flight
    return min(in_flight, baseline.batch)


def with_mix(baseline: Baseline, mix: float | None, seconds: float) -> Baseline:
    """Return what is known of prompts after some seconds more, whether anything is missed in them or not.

    What comes again and again is usual, also where each time fewer tokens are made for it.
    """
    if not mix or seconds <= 0.0:
        return baseline
    usual, known = baseline.mix or mix, baseline.mix_seconds
    off = min(abs(math.log(mix / usual)), MOST_SPREAD)
    share = seconds / min(MIX_SECONDS, known + seconds)
    more = seconds / min(MIX_SECONDS, known + seconds + FIRST_SPREAD_SECONDS)
    return replace(
        baseline,
        mix=usual * (mix / usual) ** share,
        mix_spread=baseline.mix_spread + (off - baseline.mix_spread) * more,
        mix_seconds=min(known + seconds, MIX_SECONDS),
    )


def _nearer(before: float | None, now: float, share: float) -> float:
    return now if before is None else before + (now - before) * share


def _moved(before: Level | None, now: Level) -> Level:
    if before is None:
        return now
    seen = min(before.seconds + now.seconds, MEMORY_SECONDS)
    return _mean(before, now, seen, min(1.0, now.seconds / seen))


def _mean(before: Level, now: Level, seconds: float, share: float) -> Level:
    """Return a level that has moved by this share to what it is now, by no more than an odd sample may."""
    off = min(max(now.rate / before.rate, 1.0 / OUTLIER_RATIO), OUTLIER_RATIO)
    mix = before.mix if now.mix is None else _nearer(before.mix, now.mix, share)
    return Level(before.rate * off**share, seconds, _nearer(before.place, now.place, share), mix)


def dumped(baseline: Baseline) -> dict[str, Any]:
    """Return it as plain values, to be kept over a restart."""
    return {
        "levels": [_row(level) for level in baseline.levels.values()],
        "noise": baseline.noise,
        "seconds": baseline.seconds,
        "mix": baseline.mix,
        "mix_spread": baseline.mix_spread,
        "mix_seconds": baseline.mix_seconds,
        "tokens_per_request": baseline.tokens_per_request,
        "batch": baseline.batch,
    } | ({} if baseline.top is None else {"top": _row(baseline.top)})


def _row(level: Level) -> list[float]:
    return [level.place, level.rate, level.seconds, *([] if level.mix is None else [level.mix])]


def _level(place: float, rate: float, seconds: float, mix: float | None = None) -> Level:
    return Level(rate, seconds, place, mix)


def recalled(kept: Mapping[str, Any]) -> Baseline:
    """Take what `dumped` gave. Raises ValueError, TypeError or KeyError when it is something else."""
    told = [_level(*map(amount, level)) for level in kept["levels"]]
    top = None if kept.get("top") is None else _level(*map(amount, kept["top"]))
    levels = {round(each.place): each for each in told if each.rate > 0.0}
    mix, length = (None if kept[key] is None else amount(kept[key]) for key in ("mix", "tokens_per_request"))
    noise = min(max(amount(kept["noise"]), LEAST_NOISE), MOST_NOISE)
    spread = min(amount(kept.get("mix_spread", FIRST_SPREAD)), MOST_SPREAD)
    known = min(amount(kept.get("mix_seconds", 0.0)), MIX_SECONDS)
    batch = None if kept.get("batch") is None else amount(kept["batch"])
    return Baseline(levels, noise, amount(kept["seconds"]), mix, length, spread, known, batch, top)


def amount(told: Any) -> float:
    """Return what was kept as a number that is no less than nothing. Raises ValueError or TypeError."""
    try:
        value = float(told)
    except OverflowError as error:
        raise ValueError(f"{str(told)[:20]} is no amount") from error
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{told!r} is no amount")
    return value
