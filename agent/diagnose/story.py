"""A verdict in words and figures: the incident that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.diagnose.toll import joules_of, tokens_of
from agent.measure.incident import Bounds, Cause, Evidence, Incident, Kind, Severity

if TYPE_CHECKING:
    from agent.diagnose.case import Case
    from agent.diagnose.gap import Gap
    from agent.diagnose.loss import Loss
    from agent.diagnose.signs import NodeSigns, UnitSigns
    from agent.diagnose.toll import Toll
    from agent.diagnose.verdict import Verdict

CRITICAL_RATIO = 0.5
STALLED_RATIO = 0.9
PERCENT = 100.0
SHOWN = 6
"""Pieces of evidence that an incident carries at most."""


def told_of(
    case: Case,
    verdict: Verdict,
    gap: Gap,
    toll: Toll,
    unit: UnitSigns,
    node: NodeSigns,
    before: Incident | None,
    restarting: bool,  # noqa: FBT001  # one of eight things it needs
) -> Incident:
    """Return the incident as it stands now; what it was before keeps its name and moments."""
    best = verdict.best
    lag = node.at.monotonic_seconds - case.since
    started = node.at.unix_seconds - lag if before is None else before.started
    books, missing = gap.reckoned, case.lacking
    kind = _kind(best.cause, missing, restarting=restarting)
    makes = "makes" if gap.healthy_since is None else "made"
    return Incident(
        id=f"{node.node}/{unit.deployment}/{started:.0f}" if before is None else before.id,
        scope="node",
        kind=kind,
        cause=best.cause,
        severity=severity_of(kind, best.cause, missing),
        node=node.node,
        gpu=best.gpu,
        engine_instance=best.instance,
        model=unit.model,
        started=started,
        detected=node.at.unix_seconds if before is None else before.detected,
        ended=None,
        confidence=verdict.confidence,
        evidence=_evidence(case, verdict, gap, node, before),
        summary=(
            f"{node.node}: {unit.model} {makes} {missing * PERCENT:.0f} % fewer tokens than it should: "
            f"{best.text}"
        ),
        **_lost(books, toll),
    )


def _lost(books: Loss, toll: Toll) -> dict[str, Any]:
    """Return what it cost so far, with bounds."""
    tokens, joules = tokens_of(books.lost), joules_of(toll, books.noise)
    return {
        "lost_tokens": tokens.amount,
        "lost_tokens_bounds": Bounds(tokens.lower, tokens.upper),
        "lost_joules": None if joules is None else joules.amount,
        "lost_joules_bounds": None if joules is None else Bounds(joules.lower, joules.upper),
        "lost_gpu_seconds": toll.gpu_seconds,
    }


def _evidence(
    case: Case, verdict: Verdict, gap: Gap, node: NodeSigns, before: Incident | None
) -> tuple[Evidence, ...]:
    """Return what speaks for it; once nothing is missing any more, what last spoke."""
    if before is not None and gap.healthy_since is not None:
        return before.evidence
    return (*_drop(case, node), *verdict.best.evidence)[:SHOWN]


def _kind(cause: Cause, missing: float, *, restarting: bool) -> Kind:
    if restarting or cause is Cause.ENGINE_RESTART:
        return Kind.RESTART
    return Kind.STALL if cause is Cause.ENGINE_STALL and missing > STALLED_RATIO else Kind.DROP


def severity_of(kind: Kind, cause: Cause, missing: float) -> Severity:
    """Return how bad it is that this share of what was due is missing."""
    if kind is Kind.RESTART or cause is Cause.WORKLOAD_SHIFT:
        return Severity.INFO
    return Severity.CRITICAL if missing >= CRITICAL_RATIO else Severity.WARNING


def _drop(case: Case, node: NodeSigns) -> tuple[Evidence, ...]:
    rate = case.during[-1].rate
    text = f"{rate or 0.0:.0f} output tokens/s instead of {case.expected:.0f}"
    return (Evidence("engine_tokens_per_second", node.node, None, case.expected, rate, text),)
