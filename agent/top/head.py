"""What stands above the tables: the big figures, how far to trust them, who is missing, the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.efficiency import joules_per_token
from agent.measure.engine import TokenKind
from agent.measure.glossary import WORDS
from agent.measure.rack_snapshot import EFFICIENCY
from agent.measure.rack_snapshot import RATE as RATE_FIGURE
from agent.measure.validity import Flag, Invalid
from agent.top.cells import (
    Line,
    Span,
    Tone,
    aligned,
    cells_wide,
    clipped,
    clipped_line,
    fitting,
    kilowatts,
    line,
    percent,
    plain,
    rate,
    ratio,
    seconds,
    whole,
    wrapped,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.measure.rack_snapshot import MemberFigures
    from agent.top.page import RackPage, Standing

BOUNDARIES = ("gpu", "module", "node", "rack", "facility")
"""From the innermost outwards."""
NAMED_MISSING = 8
"""So many missing nodes get a line with the reason; the rest are named together."""
PHRASES = {
    str(word): said.partition(":")[0].rstrip(".")
    for kind in (Invalid, Flag)
    for word, said in WORDS[kind].items()
}
LADDER = ("BOUNDARY", "kW", "TOK/J", "J/TOKEN", "STANDING", "METER")


@dataclass(frozen=True, slots=True)
class Status:
    """How the asking goes."""

    url: str
    age_seconds: float | None
    """Since the snapshot on the screen came; None before the first."""
    stale: bool = False
    error: str = ""
    """Why the last attempt brought nothing: what, where, what to do."""
    retry_seconds: float = 0.0
    """Until the next attempt."""


def title_line(page: RackPage | None, status: Status, columns: int) -> Line:
    """Name the rack and tell how old what is shown is."""
    if page is None:
        name = "rackwatt top"
    else:
        name = f"node {page.rack} (a rack of one)" if page.of_one else f"rack {page.rack}"
    if status.age_seconds is None:
        age = Span("no answer yet", Tone.BAD if status.error else Tone.DIM)
    elif status.stale:
        age = Span(f"STALE: {seconds(status.age_seconds)} old", Tone.BAD)
    else:
        age = Span(f"{max(0.0, status.age_seconds):.0f} s old", Tone.GOOD)
    room = columns - cells_wide(age.text) - 2
    left = clipped_line(line(Span(name, Tone.STRONG), Span(f"  {status.url}", Tone.DIM)), room)
    return (*left, Span(" " * (columns - cells_wide(plain(left)) - cells_wide(age.text))), age)


def status_lines(status: Status, columns: int) -> list[Line]:
    """Say what is wrong with the asking, and that it goes on."""
    if not status.error:
        if not status.stale:
            return []
        text = "STALE: it answers, but with the same snapshot; the figures below are of then, not of now"
        return [line(Span(text, Tone.BAD)) for text in wrapped(text, columns, "  ")]
    again = (
        f"; asking again in {status.retry_seconds:.0f} s" if status.retry_seconds >= 1.0 else "; asking again"
    )
    return [line(Span(text, Tone.BAD)) for text in wrapped(f"! {status.error}{again}", columns, "  ")]


def output_line(page: RackPage, columns: int | None = None) -> Line:
    """Return the headline: output tokens per second with window, coverage and standing."""
    output = page.tokens_per_second.get(TokenKind.OUTPUT)
    others = (
        line(Span(f"  {kind.replace('_', ' ')} {rate(value)}/s", Tone.DIM))
        for kind, value in page.tokens_per_second.items()
        if kind is not TokenKind.OUTPUT
    )
    must = line(
        Span("OUTPUT ", Tone.DIM),
        Span(f"{rate(output)} tokens/s", Tone.STRONG),
        f"  window {seconds(page.window_seconds)}  coverage {percent(page.coverage, 1)}  ",
        standing_of(page.standing),
    )
    return fitting(columns, must, *others)


def count_line(page: RackPage, columns: int | None = None) -> Line:
    """Return how many of the expected report, and what the rack has made so far."""
    must = line(
        Span("NODES ", Tone.DIM),
        _of(page.nodes_reporting, page.nodes_expected),
        Span("  GPUS ", Tone.DIM),
        _of(page.gpus_reporting, page.gpus_expected),
        Span(f"  drained {len(page.drained)}", Tone.DIM) if page.drained else "",
    )
    return fitting(columns, must, *(line(Span(part, Tone.DIM)) for part in _totals(page)))


def _of(reporting: int, expected: int) -> Span:
    return Span(f"{reporting} of {expected}", Tone.GOOD if reporting >= expected else Tone.BAD)


def _totals(page: RackPage) -> list[str]:
    total = page.tokens_total.get(TokenKind.OUTPUT)
    backfilled = page.backfilled_tokens_total.get(TokenKind.OUTPUT)
    said = [] if total is None else [f"  {whole(total)} output tokens in all"]
    return [*said, f", {whole(backfilled)} of them told late"] if said and backfilled else said


def standing_of(standing: Standing | None) -> Span:
    """Return the verdict on one figure in a word or two."""
    if standing is None:
        return Span("unknown", Tone.DIM)
    if not standing.valid:
        return Span("NOT VALID", Tone.BAD)
    noted = ", ".join(flag.replace("_", " ") for flag in standing.flags)
    return Span(f"valid, {noted}" if noted else "valid", Tone.WARN if noted else Tone.GOOD)


def ladder_lines(page: RackPage, columns: int, *, meters: bool = True) -> list[Line]:
    """Return power and efficiency of each boundary, one below the other; no boundary is ever added up."""
    rows = []
    for boundary in boundaries_of(page):
        efficiency = page.tokens_per_joule.get((TokenKind.OUTPUT, boundary))
        joules = None if efficiency is None else joules_per_token(efficiency, 1.0)
        row = (
            line(Span(boundary, Tone.STRONG)),
            line(kilowatts(page.power_watts.get(boundary))),
            line(Span(ratio(efficiency), Tone.STRONG)),
            line(ratio(joules)),
            line(standing_of(page.standings.get(f"{EFFICIENCY}_{boundary}"))),
            line(Span(page.power_sources.get(boundary, ""), Tone.DIM)),
        )
        rows.append(row if meters else row[:-1])
    if not rows:
        return [line(Span("no power is measured at any boundary", Tone.WARN))]
    return [
        clipped_line(each, columns)
        for each in aligned(LADDER if meters else LADDER[:-1], rows, frozenset({1, 2, 3}))
    ]


def boundaries_of(page: RackPage) -> list[str]:
    """Return the boundaries that the rack or its figures name, innermost first."""
    figures = [
        name.removeprefix(f"{EFFICIENCY}_") for name in page.standings if name.startswith(f"{EFFICIENCY}_")
    ]
    return in_order([*page.power_watts, *(boundary for _, boundary in page.tokens_per_joule), *figures])


def in_order(boundaries: Iterable[str]) -> list[str]:
    """Sort boundaries from the innermost outwards, unknown ones last."""
    return sorted(set(boundaries), key=lambda name: (_rung(name), name))


def _rung(boundary: str) -> int:
    return BOUNDARIES.index(boundary) if boundary in BOUNDARIES else len(BOUNDARIES)


def trouble_lines(page: RackPage, columns: int | None) -> list[Line]:
    """Return what to know before trusting the figures: reasons in words, missing and drained by name."""
    said = [
        *((f"not valid: {about}", Tone.BAD) for about in _why(page, "reasons")),
        *((text, Tone.WARN) for text in _missing(page)),
        *((text, Tone.DIM) for text in _drained(page)),
        *((f"note: {about}", Tone.DIM) for about in _why(page, "flags")),
    ]
    return [
        line(Span(text, tone)) for whole_text, tone in said for text in wrapped(whole_text, columns, "  ")
    ]


def _why(page: RackPage, which: str) -> list[str]:
    """Put the figures that share a reason (or a flag) together."""
    figures: dict[str, list[str]] = {}
    standings = {RATE_FIGURE: page.standing} | dict(page.standings)
    for figure, standing in standings.items():
        for word in standing.reasons if which == "reasons" else standing.flags:
            figures.setdefault(word, []).append(_figure(figure))
    return [f"{in_words(word)} ({', '.join(named)})" for word, named in figures.items()]


def _figure(name: str) -> str:
    if name == RATE_FIGURE:
        return "tokens/s"
    return f"tokens/J {name.removeprefix(f'{EFFICIENCY}_')}" if name.startswith(EFFICIENCY) else name


def in_words(word: str) -> str:
    """Return the sentence for a reason or a flag; one that we do not know, as it came."""
    return PHRASES.get(word, word.replace("_", " "))


def _missing(page: RackPage) -> list[str]:
    known = {member.node: member for member in page.members}
    said = [f"missing: {name}{_last_seen(known.get(name))}" for name in page.missing[:NAMED_MISSING]]
    rest = page.missing[NAMED_MISSING:]
    return [*said, f"missing as well: {', '.join(rest)}"] if rest else said


def _last_seen(member: MemberFigures | None) -> str:
    if member is None:
        return ""
    ago = (
        "it has never answered"
        if member.age_seconds is None
        else f"last seen {seconds(member.age_seconds)} ago"
    )
    return f": {member.why}; {ago}" if member.why else f": {ago}"


def _drained(page: RackPage) -> list[str]:
    known = {member.node: member.why for member in page.members}
    named = [f"{name} ({known[name]})" if known.get(name) else name for name in page.drained]
    return [f"drained, not expected: {', '.join(named)}"] if named else []


def record_lines(page: RackPage, columns: int, most: int | None = None) -> list[Line]:
    """Return the comparison with a published record and its caveats; a live figure is no result (T20).

    With a limit, the last line is cut: the caveats begin early enough to be seen.
    """
    record = page.record
    if record is None:
        return []
    title = record.title or record.name
    caveats = f" ({'; '.join(record.caveats)})" if record.caveats else ""
    if record.ratio is None:
        text = f"not compared with {title}: our rate is not known, or not valid{caveats}"
    else:
        theirs = f"{title}, {rate(record.tokens_per_second)} tokens/s"
        text = f"{percent(record.ratio, 1)} compared with {theirs}{caveats}"
    first, *more = wrapped(f"RECORD {text}", columns, "  ")
    if most is not None and len(more) >= most:
        rest = " ".join(each.removeprefix("  ") for each in more[most - 2 :])
        more = [*more[: most - 2], clipped(f"  {rest}", columns)]
    return [line(Span("RECORD", Tone.DIM), first.removeprefix("RECORD")), *(line(each) for each in more)]


def shortened(lines: list[Line], most: int, columns: int, key: str) -> list[Line]:
    """Return at most so many lines; the last one then says how to see the rest."""
    if len(lines) <= most or most <= 0:
        return lines[: max(0, most)]
    hidden = len(lines) - most + 1
    return [
        *lines[: most - 1],
        line(Span(clipped(f"… {hidden} more lines: press {key}", columns), Tone.WARN)),
    ]
