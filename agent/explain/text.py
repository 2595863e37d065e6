"""An account in words, for somebody who was woken by it."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.measure.glossary import WORDS
from agent.measure.incident import Cause, Kind
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.diagnose.timeline import Event
    from agent.explain.account import Account
    from agent.measure.incident import Evidence, Incident

WIDTH = 110
LABEL = 12
MOST_EVENTS = 40
SURE = ((0.9, "clear"), (0.6, "likely"), (0.3, "possible"), (0.0, "a guess"))
MINUTE, HOUR = 60.0, 3600.0
KILO = 10_000.0
OF_A_RACK = (Kind.STRAGGLER, Kind.EFFICIENCY)
"""Found by comparing a node with its like."""


def text_of(account: Account) -> str:
    """Return the whole story."""
    lines = [*_head(account), *_evidence(account), *_time_line(account), *_others(account), *_end(account)]
    return "\n".join(printable(line, 1000) for line in lines)


def listed(incidents: list[Incident]) -> list[str]:
    """Return a line for each incident, the newest first."""
    lines = [
        f"{wall(each.started)}  {_state(each):>12}  {each.severity:<8}  "
        f"{each.kind}, {each.cause}: {each.node}  {each.id}"
        for each in incidents
    ]
    return [printable(line, 1000) for line in lines] or ["no incident within a day"]


def _state(incident: Incident) -> str:
    return "goes on" if incident.ended is None else lasted(incident.ended - incident.started)


def _head(account: Account) -> Iterator[str]:
    told = account.incident
    state = "goes on" if told.ended is None else f"over after {lasted(told.ended - told.started)}"
    gpu = "" if told.gpu is None else f" GPU {told.gpu}"
    yield f"{told.severity.upper()}  {told.kind}, {told.cause} on {told.node}{gpu}: {state}"
    yield from textwrap.wrap(told.summary, WIDTH)
    yield ""
    yield _labelled("model", told.model or "-")
    if told.engine_instance:
        yield _labelled("engine", told.engine_instance)
    late = f"told {lasted(max(0.0, told.detected - told.started))} after it began"
    until = "now" if told.ended is None else wall(told.ended)
    yield _labelled("when", f"{wall(told.started)} to {until}; {late}")
    yield _labelled("sure", f"{sureness(told)}: {_sure_why(account)}")
    yield _labelled("lost", lost(told))
    yield _labelled("meaning", WORDS[Cause][told.cause])
    yield _labelled("incident", told.id)


def _sure_why(account: Account) -> str:
    told = account.incident
    if told.cause is Cause.UNKNOWN:
        return "nothing that was measured explains it"
    if told.kind is Kind.GAP:
        return "what cannot be seen is certain; what happened meanwhile is not"
    if told.cause is Cause.NODE_DOWN:
        return "its power is gone with it, says the rack's own meter"
    if told.kind in OF_A_RACK:
        return "one of its GPUs is unlike those of the others"
    if account.missing is None:
        return "how much of the missing tokens the cause explains, where that can be reckoned"
    missing = f"{account.missing:.0%} of the rate was missing when it was judged"
    if account.explained is None:
        return f"{missing}; what the cause takes away cannot be reckoned"
    return f"{missing}, the cause takes away {account.explained:.0%}"


def _evidence(account: Account) -> Iterator[str]:
    if not account.incident.evidence:
        return
    yield ""
    yield f"{'EVIDENCE':<72} {'before':>14} {'during':>14}"
    for each in account.incident.evidence:
        first, *rest = textwrap.wrap(each.text, 68) or ["-"]
        yield f"  {first:<70} {figure(each, each.before):>14} {figure(each, each.during):>14}"
        yield from (f"  {line}" for line in rest)


def _time_line(account: Account) -> Iterator[str]:
    began = account.incident.started
    yield ""
    yield f"TIME LINE (T is {wall(began)})"
    for each in account.events[:MOST_EVENTS]:
        yield f"  {relative(each.unix_seconds - began):>9}  {clock(each.unix_seconds)}  {_event(each)}"
    more = len(account.events) - MOST_EVENTS
    if more > 0:
        yield f"  and {more} more (--json has all)"


def _event(event: Event) -> str:
    if not event.gpus:
        return event.text
    names = ", ".join(map(str, event.gpus))
    return f"GPU{'s' if len(event.gpus) > 1 else ''} {names}: {event.text}"


def _others(account: Account) -> Iterator[str]:
    if not account.others:
        return
    yield ""
    yield "WHAT IT IS NOT (how well it would explain what is missing, 0 to 1)"
    for each in account.others:
        causes = ", ".join(each.causes)
        if each.why:
            yield from _wrapped(f"  {each.score:4.2f}  {causes}: {each.text}; {each.why}", 8)
        else:
            yield from _wrapped(f"     -  {causes}: {each.text}", 8)


def _end(account: Account) -> Iterator[str]:
    if account.unknown:
        yield ""
        yield "NOT KNOWN"
        for each in account.unknown:
            yield from _wrapped(f"  {each}", 4)
    yield ""
    if account.recorded is not None:
        first, last = account.recorded
        yield f"recorded from {clock(first)} to {clock(last)} UTC; {_agreement(account)}"
    for note in account.notes:
        yield f"note: {note}"


def _agreement(account: Account) -> str:
    if account.again is None:
        return (
            "judged once more, nothing is found: its beginning is missing, or this rackwatt judges otherwise"
        )
    if account.same:
        return "judged once more, it is the same"
    return f"judged once more by this rackwatt it is {account.again.kind}, {account.again.cause}"


def _labelled(label: str, text: str) -> str:
    return f"  {label:<{LABEL}}{text}"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, drop_whitespace=True) or [text]


def sureness(incident: Incident) -> str:
    """Return how sure the cause is, in a word and a figure."""
    word = next(word for least, word in SURE if incident.confidence >= least)
    return f"{word} ({incident.confidence:.2f})"


def lost(incident: Incident) -> str:
    """Return what it cost; what nobody reckoned is said to be so."""
    so_far = " so far" if incident.ended is None else ""
    if incident.kind is Kind.GAP:
        parts = ["not known: nobody saw what was made"]
    elif incident.kind in OF_A_RACK and not incident.lost_tokens:
        most = incident.lost_tokens_bounds
        parts = ["tokens not reckoned"]
        if most is not None and most.upper > 0.0:
            parts = [f"not known, at most {most.upper:,.0f} output tokens{so_far}"]
    else:
        parts = [f"{incident.lost_tokens:,.0f} output tokens{so_far}"]
    if incident.lost_joules is not None:
        parts.append(f"{incident.lost_joules:,.0f} J")
    if incident.lost_cost is not None:
        parts.append(f"{incident.lost_cost:,.2f} {incident.currency}".rstrip())
    absent = [
        name
        for name, value in (("joules", incident.lost_joules), ("money", incident.lost_cost))
        if value is None
    ]
    return ", ".join(parts) + (f"; {' and '.join(absent)} not reckoned" if absent else "")


def figure(evidence: Evidence, value: float | None) -> str:
    """Return a figure of evidence in the unit that people say."""
    if value is None:
        return "-"
    metric = evidence.metric
    if metric.endswith("_hertz"):
        return f"{value / 1e6:.0f} MHz"
    if metric.endswith("_watts"):
        return f"{value:.0f} W"
    if metric.endswith("_celsius"):
        return f"{value:.0f} °C"
    if metric.endswith("_ratio"):
        return f"{value:.0%}"
    if metric.endswith("_per_second"):
        return f"{value:,.0f}/s"
    return f"{value:,.0f}" if abs(value) >= KILO or value == int(value) else f"{value:.2f}"


def wall(unix_seconds: float) -> str:
    """Return a moment as people write it."""
    return f"{_utc(unix_seconds):%Y-%m-%d %H:%M:%S} UTC"


def clock(unix_seconds: float) -> str:
    """Return the time of day."""
    return f"{_utc(unix_seconds):%H:%M:%S}"


def _utc(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(unix_seconds, 0.0), 4e9), UTC)


def relative(seconds: float) -> str:
    """Return how long before or after."""
    whole = round(seconds)
    sign = "-" if whole < 0 else "+"
    minutes, rest = divmod(abs(whole), 60)
    return "T" if whole == 0 else f"{sign}{minutes}:{rest:02d}"


def lasted(seconds: float) -> str:
    """Return a time that something took."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min {seconds % MINUTE:.0f} s"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR // MINUTE:.0f} min"
