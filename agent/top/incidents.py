"""What is wrong now and why: a line for each incident that stands, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.incident import Severity
from agent.top.cells import Line, Span, Tone, line, seconds, whole, wrapped

if TYPE_CHECKING:
    from agent.top.page import RackPage, Trouble

TONES = {Severity.CRITICAL: Tone.BAD, Severity.WARNING: Tone.WARN, Severity.INFO: Tone.DIM}
WORST_FIRST = tuple(TONES)


def standing(page: RackPage) -> list[Trouble]:
    """Return the incidents that stand; a severity that only a newer server knows is a warning."""
    return sorted(
        (each for each in page.incidents if each.ended is None),
        key=lambda each: WORST_FIRST.index(_severity(each)),
    )


def is_wrong(page: RackPage) -> bool:
    """Whether one stands that somebody must look at."""
    return any(_severity(each) is not Severity.INFO for each in standing(page))


def incident_lines(page: RackPage, columns: int | None) -> list[Line]:
    """Return what stands: where, why, for how long, what it has cost, and its own summary."""
    return [
        line(Span(text, TONES[_severity(each)]))
        for each in standing(page)
        for text in wrapped(_words(each, page.at_unix_seconds), columns, "  ")
    ]


def _words(incident: Trouble, now: float | None) -> str:
    place = incident.node if incident.gpu is None else f"{incident.node} GPU {incident.gpu}"
    what = f"{incident.kind}, {incident.cause}".replace("_", " ")
    facts = [f"incident: {place}: {what}"]
    if now is not None and incident.started is not None:
        facts.append(f"for {seconds(max(0.0, now - incident.started))}")
    if incident.lost_tokens:
        facts.append(f"{whole(incident.lost_tokens)} tokens lost")
    return "; ".join([*facts, incident.summary])


def _severity(incident: Trouble) -> Severity:
    return Severity(incident.severity) if incident.severity in set(Severity) else Severity.WARNING
