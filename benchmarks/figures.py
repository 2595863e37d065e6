"""The figures of many scenarios of diagnosis, as text."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.careful_rules import RULES
from benchmarks.plays import AFTER_SECONDS, RACK, TRAYS, WARM_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.diagnosis import Result

NEAR = 0.1
BIG = 0.15
DAY_SECONDS = 86_400.0
SMALL = ((0.0, 0.001), (0.001, 0.05), (0.05, 0.15))


def summary(results: Iterable[Result], kind: str = "") -> str:
    """Return the figures of one class of scenarios."""
    all_of = list(results)
    big = [each for each in all_of if each.size >= BIG]
    found = [each for each in big if each.found]
    quiet = sum(WARM_SECONDS + AFTER_SECONDS for _ in all_of) / DAY_SECONDS * (TRAYS if kind == RACK else 1)
    right = [each for each in found if each.right_cause and each.right_place]
    lines = [
        f"drops of 15 % and more: {len(big)}, found {share(len(found), len(big))}",
        f"right cause and place: {share(len(right), len(found))}",
        *_every_line(found),
        f"drops told of what was no fault: {sum(each.strangers for each in all_of)} in {len(all_of)}",
        f"false incidents: {_false(sum(each.false for each in all_of), quiet)}",
        *_time_lines(found),
        *_loss_lines(found),
    ]
    for low, high in SMALL:
        small = [e for e in all_of if low <= e.size < high]
        lines.append(f"size {low:.3f} to {high:.2f}: {len(small)}, found {sum(e.found for e in small)}")
    lines.extend(_rule_line(name, all_of, big, quiet) for name in RULES)
    return "\n".join(lines)


def _every_line(found: Sequence[Result]) -> list[str]:
    """Of several faults: whether each of them was told."""
    if not any(len(each.faults) > 1 for each in found):
        return []
    both = share(sum(each.every_cause for each in found), len(found))
    placed = share(sum(each.every_place for each in found), len(found))
    felt = [each for each in found if all(each.felt)]
    hidden = [each for each in found if not all(each.felt)]
    own = sum(all(each.own) for each in felt)
    told = [all(map(any, zip(e.own, e.named, strict=True))) for e in hidden]
    return [
        f"both causes told at some time: {both}, both places too: {placed}",
        f"where both cost 5 % and more: each in an incident of its own, {share(own, len(felt))}",
        f"where one costs nothing beside the other: told or named, {share(sum(told), len(hidden))}",
    ]


def _time_lines(found: Sequence[Result]) -> list[str]:
    times = sorted(each.seconds_to_detect for each in found if each.seconds_to_detect is not None)
    if not times:
        return []
    tenth = times[math.floor(0.9 * len(times))]
    return [f"seconds to detect: median {median(times):.1f}, nine of ten within {tenth:.1f}"]


def _loss_lines(found: Sequence[Result]) -> list[str]:
    """Say how near the loss is; longer prompts cost what nobody can tell from work that was not asked for."""
    known = [each for each in found if _is_reckoned(each)]
    errors = [abs((each.lost_ratio or 0.0) - 1.0) for each in known]
    if not errors:
        return []
    near, bounded = sum(error <= NEAR for error in errors), sum(each.lost_bounded or False for each in known)
    return [
        f"loss: median error {median(errors):.1%}, within 10 %: {share(near, len(errors))}",
        f"true loss within the bounds told: {share(bounded, len(errors))}",
    ]


def _is_reckoned(result: Result) -> bool:
    return result.lost_ratio is not None and "prefill_shift" not in result.faults


def is_far_off(result: Result) -> bool:
    """Whether the loss that was told is more than a tenth off, or the true one beyond its bounds."""
    far = abs((result.lost_ratio or 0.0) - 1.0) > NEAR
    return _is_reckoned(result) and (far or not result.lost_bounded)


def _rule_line(name: str, all_of: Sequence[Result], big: Sequence[Result], quiet: float) -> str:
    """Say what a rule in PromQL told of the same scenarios."""
    times = sorted(told for each in big if (told := each.rules[name][0]) is not None)
    late = times and f", seconds: median {median(times):.0f}, nine of ten {times[int(0.9 * len(times))]:.0f}"
    false = _false(sum(each.rules[name][1] for each in all_of), quiet)
    return f"rule, {name}: found {share(len(times), len(big))}{late or ''}; false: {false}"


def _false(count: int, days: float) -> str:
    """Say how many were false, and what none of them proves: fewer than 3/N with 95 %."""
    rated = f"fewer than {3.0 / days:.2g}" if count == 0 else f"{count / days:.2g}"
    return f"{count} in {days:.2f} quiet tray-days, {rated} a tray-day" + (" (95 %)" if count == 0 else "")


def share(part: int, whole: int) -> str:
    """Return a share with what it is of."""
    return f"{part}/{whole} = {part / whole:.1%}" if whole else "none"
