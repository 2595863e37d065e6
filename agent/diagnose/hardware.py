"""Errors of hardware that cost no tokens, or none yet: told as faults, unless a drop names them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.incident import Cause, Evidence, Incident, Kind, Severity
from agent.measure.xid import cause_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from agent.diagnose.signs import GpuSigns, NodeSigns

STANDS_SECONDS = 60.0
"""An error that does not come again is over after this time."""
ABSENT = (-1, "absent")
"""The place of what is said of GPUs that were never seen: it stands while they are missing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One error of one GPU."""

    at: float
    """Monotonic, when it came last."""
    incident: Incident


@dataclass(frozen=True, slots=True)
class Known:
    """What GPUs had counted, and the faults that stand."""

    counts: Mapping[tuple[int, str], float] = field(default_factory=dict)
    """By GPU and error."""
    faults: Mapping[tuple[int, str], Fault] = field(default_factory=dict)
    begun: bool = False


def resumed(standing: Sequence[Incident], now: float) -> Known:
    """Return what is known after a restart: GPUs that were never seen are missing since they were told."""
    absent = next((each for each in standing if each.kind is Kind.FAULT and each.gpu is None), None)
    return Known(faults={} if absent is None else {ABSENT: Fault(now, absent)})


def watched(
    known: Known, signs: NodeSigns, standing: Sequence[Incident]
) -> tuple[Known, tuple[Incident, ...]]:
    """Take one moment more; return every fault that stands and that no other incident names."""
    now, named = signs.at.monotonic_seconds, {each.gpu for each in standing}
    counts, faults = dict(known.counts), dict(known.faults)
    for gpu in signs.gpus:
        for error, cause, count, text in _errors(gpu):
            place = (gpu.gpu, error)
            if known.begun and count > counts.get(place, 0.0):
                faults[place] = Fault(now, _told(signs, gpu, cause, text, known.faults.get(place)))
            counts[place] = count
    faults = {
        place: each
        for place, each in faults.items()
        if place != ABSENT
        and now - each.at < STANDS_SECONDS
        and each.incident.gpu not in named
        and (place[1] == "lost" or (place[0], "lost") not in faults)
    }
    if signs.gpus_absent:
        faults[ABSENT] = Fault(now, _absent(signs, known.faults.get(ABSENT)))
    begun = known.begun or bool(signs.gpus)
    return Known(counts, faults, begun), tuple(each.incident for each in faults.values())


def _errors(gpu: GpuSigns) -> Iterator[tuple[str, Cause, float, str]]:
    for xid, count in gpu.xids.items():
        cause = cause_of(xid) if count else None  # most never come
        if cause is not None:
            yield f"xid {xid}", cause, count, f"GPU {gpu.gpu} reported Xid {xid}"
    if gpu.uncorrected:
        yield "ecc", Cause.ECC, gpu.uncorrected, f"GPU {gpu.gpu} had an uncorrected memory error"
    yield "lost", Cause.GPU_LOST, float(gpu.is_lost), f"GPU {gpu.gpu} no longer answers: {gpu.state}"


def _absent(signs: NodeSigns, before: Fault | None) -> Incident:
    there = len(signs.gpus)
    text = f"only {there} of {there + signs.gpus_absent} GPUs were ever seen here"
    evidence = Evidence("node_gpus_expected", signs.node, None, None, float(there + signs.gpus_absent), text)
    return _fault(signs, None, Cause.GPU_LOST, evidence, before)


def _told(signs: NodeSigns, gpu: GpuSigns, cause: Cause, text: str, before: Fault | None) -> Incident:
    evidence = Evidence("gpu_xid_errors_total", signs.node, gpu.gpu, None, None, text)
    return _fault(signs, gpu.gpu, cause, evidence, before)


def _fault(
    signs: NodeSigns, gpu: int | None, cause: Cause, evidence: Evidence, before: Fault | None
) -> Incident:
    now = signs.at.unix_seconds
    started = now if before is None else before.incident.started
    return Incident(
        id=f"{signs.node}/{cause}/{'absent' if gpu is None else gpu}/{started:.0f}",
        scope="node",
        kind=Kind.FAULT,
        cause=cause,
        severity=Severity.WARNING,
        node=signs.node,
        gpu=gpu,
        engine_instance="",
        model="",
        started=started,
        detected=started,
        ended=None,
        lost_tokens=0.0,
        lost_joules=None,
        confidence=1.0,
        evidence=(evidence,),
        summary=f"{signs.node}: {evidence.text}; no drop comes of it so far",
    )
