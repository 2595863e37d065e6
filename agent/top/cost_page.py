"""What a server says that it costs and emits: the `site` of a rack's page, checked and bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.measure.engine import TokenKind
from agent.measure.site_book import CAPACITY, ENERGY
from agent.top import told

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ROWS = 64
MAX_FORMULAS = 16


@dataclass(frozen=True, slots=True)
class CostPage:
    """Prices, and what an hour and a million output tokens cost and emit; energy and capacity apart."""

    currency: str = ""
    terms: tuple[str, ...] = ()
    """Prices and whose they are, in words."""
    energy_per_hour: Mapping[str, float] = field(default_factory=dict)
    """By boundary."""
    energy_per_million: Mapping[str, float] = field(default_factory=dict)
    grams_per_hour: Mapping[str, float] = field(default_factory=dict)
    grams_per_million: Mapping[str, float] = field(default_factory=dict)
    capacity_per_hour: float | None = None
    capacity_per_million: float | None = None
    unknown_because: Mapping[str, str] = field(default_factory=dict)
    """Why there is nothing of energy, capacity or co2e."""
    unbooked: tuple[tuple[str, str, float], ...] = ()
    """Total, boundary and share of the energy that is not in it."""
    formulas: Mapping[str, str] = field(default_factory=dict)


def cost_page(value: Any) -> CostPage | None:
    """Return what is told of the site; None where nothing is."""
    plain = told.mapping(value)
    if not plain:
        return None
    hours = told.mappings(plain.get("cost_per_hour"))[:MAX_ROWS]
    tokens = [
        row
        for row in told.mappings(plain.get("cost_per_million_tokens"))[:MAX_ROWS]
        if row.get("kind") == TokenKind.OUTPUT
    ]
    inputs = told.mapping(plain.get("inputs"))
    currency = told.name(inputs.get("currency"))
    return CostPage(
        currency=currency,
        terms=tuple(_terms(inputs, currency)),
        energy_per_hour=_of(hours, ENERGY),
        energy_per_million=_of(tokens, ENERGY),
        grams_per_hour=told.by_name(plain.get("co2e_grams_per_hour")),
        grams_per_million=_grams(plain),
        capacity_per_hour=_of(hours, CAPACITY).get(""),
        capacity_per_million=_of(tokens, CAPACITY).get(""),
        unknown_because=_sentences(plain.get("unknown_because")),
        unbooked=tuple(_unbooked(plain)),
        formulas=_sentences(plain.get("formulas")),
    )


def _of(rows: list[dict[str, Any]], component: str) -> dict[str, float]:
    found = (
        (told.name(row.get("boundary")), told.number(row.get("amount")))
        for row in rows
        if row.get("component") == component
    )
    return {boundary: amount for boundary, amount in found if amount is not None}


def _grams(plain: dict[str, Any]) -> dict[str, float]:
    rows = told.mappings(plain.get("co2e_grams_per_million_tokens"))[:MAX_ROWS]
    found = (
        (told.name(row.get("boundary")), told.number(row.get("grams")))
        for row in rows
        if row.get("kind") == TokenKind.OUTPUT
    )
    return {boundary: grams for boundary, grams in found if grams is not None}


def _unbooked(plain: dict[str, Any]) -> list[tuple[str, str, float]]:
    rows = told.mappings(plain.get("unbooked_energy"))[:MAX_ROWS]
    return [
        (told.name(row.get("total")), told.name(row.get("boundary")), share)
        for row in rows
        if (share := told.number(row.get("share"))) is not None and share > 0.0
    ]


def _sentences(value: Any) -> dict[str, str]:
    rows = list(told.mapping(value).items())[:MAX_FORMULAS]
    return {told.name(key): told.sentence(text) for key, text in rows}


def _terms(inputs: dict[str, Any], currency: str) -> list[str]:
    """Return every price that is told, and whose it is."""
    pue = told.mapping(inputs.get("pue"))
    of_pue = ", ".join(filter(None, (told.sentence(pue.get("source")), told.name(pue.get("date")))))
    figures = (
        (inputs.get("price_per_kwh"), f"{currency}/kWh", told.name(inputs.get("tariff_timezone")), "{} {}"),
        (pue.get("value"), "PUE", of_pue, "{1} {0}"),
        (inputs.get("price_per_gpu_hour"), f"{currency}/GPU-hour", "", "{} {}"),
        (inputs.get("grams_co2e_per_kwh"), "g CO2e/kWh", told.sentence(inputs.get("grams_source")), "{} {}"),
    )
    return [
        form.format(f"{value:g}", unit) + (f" ({source})" if source else "")
        for raw, unit, source, form in figures
        if (value := told.number(raw)) is not None
    ]
