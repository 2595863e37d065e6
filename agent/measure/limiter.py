"""What bounds the throughput of a deployment now, also while nothing is wrong; and over a whole rack."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from agent.measure.row import Row, state_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


class Limit(StrEnum):
    """What more tokens would need more of."""

    DEMAND = "demand"  # requests: all that are asked for are in work
    KV_MEMORY = "kv_memory"  # room in the KV cache: requests wait for it
    MEMORY_BANDWIDTH = "memory_bandwidth"  # of the GPUs' own memory
    COMPUTE = "compute"  # tensor cores
    NVLINK = "nvlink"  # traffic between GPUs
    POWER_LIMIT = "power_limit"  # watts: clocks are held down for them
    THERMAL = "thermal"  # cooling: clocks are held down for it
    HOST = "host"  # what is before the GPUs: they wait for it
    UNKNOWN = "unknown"  # nothing that is measured says


LIMITS = (*Limit,)
"""Members of the enumeration: to walk it takes five times as long."""
MOST_EVIDENCE = 4


@dataclass(frozen=True, slots=True)
class LimitEvidence:
    """One figure that says so."""

    metric: str
    gpu: int | None
    """None: of all GPUs of the deployment, or of none."""
    value: float | None
    bound: float | None
    """What it is held against; None where there is nothing of the kind."""
    text: str


@dataclass(frozen=True, slots=True)
class Limiter:
    """What bounds a deployment, and the figures that say so."""

    name: Limit
    share: float | None
    """How much of that bound is used, 0 to 1; None where that is no number."""
    evidence: tuple[LimitEvidence, ...] = ()


UNDECIDED = Limiter(Limit.UNKNOWN, None)


@dataclass(frozen=True, slots=True)
class NodeLimit:
    """What bounds a deployment on one node, as that tells its rack."""

    node: str
    limiter: Limiter


def over_nodes(told: Sequence[NodeLimit]) -> Limiter | None:
    """Return what bounds a deployment on most of its nodes, with what bounds it on the others.

    Of two as frequent it is the one that stands first among the limits.
    """
    if not told:
        return None
    times = Counter(each.limiter.name for each in told)
    order = sorted(times, key=lambda name: (name is Limit.UNKNOWN, -times[name], LIMITS.index(name)))
    of_best = [each.limiter.share for each in told if each.limiter.name is order[0]]
    shares = [share for share in of_best if share is not None]
    evidence = tuple(_of_nodes(name, told) for name in order[:MOST_EVIDENCE])
    return Limiter(order[0], sum(shares) / len(shares) if shares else None, evidence)


def _of_nodes(name: Limit, told: Sequence[NodeLimit]) -> LimitEvidence:
    those = [each for each in told if each.limiter.name is name]
    where = those[0].node if len(those) == 1 else f"{len(those)} of {len(told)} nodes"
    why = next((each.limiter.evidence[0].text for each in those if each.limiter.evidence), "")
    text = f"{name.replace('_', ' ')} on {where}" + (f": {why}" if why else "")
    return LimitEvidence("deployment_limiter", None, float(len(those)), float(len(told)), text)


def limiter_rows(who: tuple[str, str], limiter: Limiter | None) -> tuple[Row, ...]:
    """Return every limit of one deployment, 1 for the one that binds."""
    now = Limit.UNKNOWN if limiter is None else limiter.name
    return state_rows("deployment_limiter", who, LIMITS, now)
