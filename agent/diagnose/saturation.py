"""A KV cache that is full while nothing is lost: requests wait for it, tokens come as usual."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity

if TYPE_CHECKING:
    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import NodeSigns, UnitSigns
    from agent.diagnose.watch import Watch

FULL_RATIO = 0.95
"""Cache in use at which engines admit nothing more."""
WAITING_RATIO = 0.02
"""Fewer waiting than this share of all requests are on their way into the batch."""
LASTS_SECONDS = 30.0
"""A full cache that comes and goes within this time is how a cache is used."""
CLEAR_SECONDS = 15.0
"""It is over when it was not full, or nobody waited for it, for so long."""
SMOOTHED_SAMPLES = 15
"""The queue is the mean of about so many."""
GROWN_RATIO, LEAST_GROWN = 1.5, 4.0
"""It grows when it is longer than at its shortest by this factor, and by so many requests …"""
GROWS_SECONDS = 60.0
"""… for so long."""


@dataclass(frozen=True, slots=True)
class Queue:
    """How many wait, and whether they become more."""

    length: float
    shortest: float
    longer_since: float | None = None
    grows: bool = False
    """It did once, while the cache is full: a queue that is as long as it was is no shorter."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Since when the cache of a deployment is full, and the incident of it."""

    since: float | None = None
    clear_since: float | None = None
    incident: Incident | None = None
    queue: Queue | None = None


def watched(crowd: Crowd, watch: Watch, unit: UnitSigns, node: NodeSigns) -> tuple[Crowd, Incident | None]:
    """Take one moment more; return the incident while it stands, and once more when it has ended.

    Once tokens are missing it is a drop, which says of its cache itself.
    """
    now, sample = node.at.monotonic_seconds, watch.samples[-1]
    if watch.gap.sure:
        return Crowd(), _over(crowd, node)
    if _is_crowded(sample):
        since = now if crowd.since is None else crowd.since
        crowd = replace(crowd, since=since, clear_since=None, queue=_queued(crowd.queue, sample, now))
    elif crowd.since is not None:
        crowd = replace(crowd, clear_since=now if crowd.clear_since is None else crowd.clear_since)
    if crowd.since is None:
        return crowd, None
    if crowd.clear_since is not None and (crowd.incident is None or now - crowd.clear_since >= CLEAR_SECONDS):
        return Crowd(), _over(crowd, node)
    if now - crowd.since < LASTS_SECONDS:
        return crowd, None
    if crowd.clear_since is None:
        crowd = replace(crowd, incident=_told(crowd, sample, unit, node))
    return crowd, crowd.incident


def _queued(queue: Queue | None, sample: Sample, now: float) -> Queue:
    if queue is None:
        return Queue(sample.waiting, sample.waiting)
    length = queue.length + (sample.waiting - queue.length) / SMOOTHED_SAMPLES
    shortest = min(queue.shortest, length)
    longer = length > GROWN_RATIO * shortest and length - shortest >= LEAST_GROWN
    since = (now if queue.longer_since is None else queue.longer_since) if longer else None
    grows = queue.grows or (since is not None and now - since >= GROWS_SECONDS)
    return Queue(length, shortest, since, grows)


def _is_crowded(sample: Sample) -> bool:
    cache, in_flight = sample.cache_usage, sample.in_flight or 0.0
    if cache is None or cache < FULL_RATIO:
        return False
    return sample.waiting > WAITING_RATIO * in_flight or sample.preemption_rate > 0.0


def _over(crowd: Crowd, node: NodeSigns) -> Incident | None:
    return crowd.incident and replace(crowd.incident, ended=node.at.unix_seconds)


def _told(crowd: Crowd, sample: Sample, unit: UnitSigns, node: NodeSigns) -> Incident:
    before, cache, put_off = crowd.incident, sample.cache_usage or 0.0, sample.preemption_rate
    started = node.at.unix_seconds - (node.at.monotonic_seconds - (crowd.since or 0.0))
    grows = crowd.queue is not None and crowd.queue.grows
    text = f"the KV cache is {cache:.0%} full, and {sample.waiting:.0f} requests wait"
    text += ", more and more" if grows else ""
    evidence = [Evidence("engine_kv_cache_usage_ratio", node.node, None, None, cache, text)]
    if put_off:
        told = f"{put_off:.1f} requests a second are put off for want of cache"
        evidence.append(Evidence("engine_preemptions_total", node.node, None, None, put_off, told))
    return Incident(
        id=f"{node.node}/{unit.deployment}/saturation/{started:.0f}" if before is None else before.id,
        scope="node",
        kind=Kind.SATURATION,
        cause=Cause.KV_SATURATION,
        severity=Severity.WARNING if grows else Severity.INFO,
        node=node.node,
        gpu=None,
        engine_instance="",
        model=unit.model,
        started=started,
        detected=node.at.unix_seconds if before is None else before.detected,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=1.0,
        evidence=tuple(evidence),
        summary=f"{node.node}: {unit.model}: {text}; it makes as many tokens as usual",
    )
