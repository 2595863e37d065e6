"""What the rack costs and emits, in a line and in a table; energy and capacity are never added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.measure.rack_snapshot import EFFICIENCY
from agent.measure.site_book import CAPACITY, CO2E, ENERGY
from agent.top.cells import UNKNOWN, Line, Span, Tone, aligned, clipped_line, fitting, line, wrapped
from agent.top.head import BOUNDARIES, in_order

if TYPE_CHECKING:
    from agent.top.cost_page import CostPage
    from agent.top.page import RackPage

HEAD = ("COST AT", "/HOUR", "/1M TOKENS", "CO2E/HOUR", "CO2E/1M", "WHY NOT")
NAMES = {ENERGY: "energy", CAPACITY: "GPUs", CO2E: "CO2e"}
KILO, PLAIN_FROM, GROUPED_FROM = 1000.0, 9.995, 999.5
NEARLY_ONE = 0.9995


def cost_line(page: RackPage, columns: int) -> list[Line]:
    """Return the cost at the outermost boundary that has one; nothing where nobody set a price."""
    costs = page.site
    if costs is None:
        return []
    at = _outermost(costs)
    energy = money(costs.energy_per_hour.get(at), costs.currency)
    gpus = money(costs.capacity_per_hour, costs.currency)
    of_tokens = (
        f"  1M tokens: energy {money(costs.energy_per_million.get(at), costs.currency)},"
        f" GPUs {money(costs.capacity_per_million, costs.currency)}"
    )
    emitted = f"  CO2e {grams(costs.grams_per_hour.get(at))}/h, {grams(costs.grams_per_million.get(at))}/1M"
    must = line(
        Span("COST ", Tone.DIM),
        Span(f"energy {energy}/h", Tone.STRONG),
        f" at {at or UNKNOWN}, GPUs {gpus}/h",
    )
    return [fitting(columns, must, line(of_tokens), line(emitted))]


def cost_lines(page: RackPage, columns: int, *, formulas: bool = False) -> list[Line]:
    """Return all that is known of cost and emissions, their prices, and what is missing and why."""
    costs = page.site
    if costs is None:
        return [line(Span("COST not told: no price is set (site)", Tone.DIM))]
    rows = [_at(boundary, costs, page) for boundary in _boundaries(costs)]
    if CAPACITY not in costs.unknown_because:
        rows.append(_capacity(costs, page))
    told = (
        [clipped_line(each, columns) for each in aligned(HEAD, rows, frozenset({1, 2, 3, 4}))] if rows else []
    )
    said = [f"PRICES {', '.join(costs.terms)}"] if costs.terms else []
    missing = [f"no figure for {NAMES.get(what, what)}: {why}" for what, why in costs.unknown_because.items()]
    lines = [line(Span(text, Tone.DIM)) for each in said for text in wrapped(each, columns, "  ")]
    lines += [
        line(Span(text, Tone.WARN))
        for each in (*missing, *_gaps(costs))
        for text in wrapped(each, columns, "  ")
    ]
    if formulas:
        lines += [
            line(Span(text, Tone.DIM))
            for name, formula in costs.formulas.items()
            for text in wrapped(f"{name.replace('_', ' ')} = {formula}", columns, "  ")
        ]
    return [*told, *lines]


def money(amount: float | None, currency: str) -> str:
    """Return an amount as people write it: 0.00227 USD, 237.60 USD, 12,345 USD."""
    if amount is None:
        return UNKNOWN
    if amount >= GROUPED_FROM:
        return f"{amount:,.0f} {currency}"
    return (
        f"{amount:.2f} {currency}"
        if amount >= PLAIN_FROM or amount == 0.0
        else f"{_three(amount)} {currency}"
    )


def grams(amount: float | None) -> str:
    """Return a mass in grams, kilograms or tonnes."""
    if amount is None:
        return UNKNOWN
    for size, unit in ((KILO * KILO, "t"), (KILO, "kg")):
        if amount >= size * NEARLY_ONE:
            return f"{_three(amount / size)} {unit}"
    return f"{_three(amount)} g"


def _three(amount: float) -> str:
    """Return three digits that count, trailing zeros included."""
    return f"{amount:#.3g}".rstrip(".")


def _boundaries(costs: CostPage) -> list[str]:
    told = {
        *costs.energy_per_hour,
        *costs.energy_per_million,
        *costs.grams_per_hour,
        *costs.grams_per_million,
    }
    return in_order(boundary for boundary in told if boundary)


def _outermost(costs: CostPage) -> str:
    return next(iter(reversed([at for at in _boundaries(costs) if at in BOUNDARIES])), "")


def _at(boundary: str, costs: CostPage, page: RackPage) -> tuple[Line, ...]:
    why = ""
    if boundary not in costs.energy_per_million and boundary not in costs.grams_per_million:
        standing = page.standings.get(f"{EFFICIENCY}_{boundary}")
        why = ", ".join(standing.reasons) if standing is not None else ""
    return (
        line(Span(boundary, Tone.STRONG)),
        line(money(costs.energy_per_hour.get(boundary), costs.currency)),
        line(Span(money(costs.energy_per_million.get(boundary), costs.currency), Tone.STRONG)),
        line(grams(costs.grams_per_hour.get(boundary))),
        line(grams(costs.grams_per_million.get(boundary))),
        line(Span(why.replace("_", " "), Tone.WARN)),
    )


def _capacity(costs: CostPage, page: RackPage) -> tuple[Line, ...]:
    why = "" if costs.capacity_per_million is not None else ", ".join(page.standing.reasons) or "no tokens"
    return (
        line(Span(f"{page.gpus_expected} GPUs", Tone.STRONG)),
        line(money(costs.capacity_per_hour, costs.currency)),
        line(Span(money(costs.capacity_per_million, costs.currency), Tone.STRONG)),
        line(""),
        line(""),
        line(Span(why.replace("_", " "), Tone.WARN)),
    )


def _gaps(costs: CostPage) -> list[str]:
    """Name the energy that is in no total, at the outermost boundary."""
    said = []
    for total, what in (("cost", "the total of cost"), ("co2e", "the total of CO2e")):
        shares = {at: share for each, at, share in costs.unbooked if each == total}
        at = next(iter(reversed(in_order(shares))), None)
        if at is not None:
            said.append(
                f"{what} lacks {shares[at]:.1%} of the energy at {at}: nobody knew its price or emissions"
            )
    return said
