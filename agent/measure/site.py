"""What energy and GPUs cost at this site, and what its electricity emits: settings and formulas."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING

from agent.measure.settings import setting
from agent.measure.tariff import Prices, Tariff

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import tzinfo

JOULES_PER_KWH = 3.6e6
SECONDS_PER_HOUR = 3600.0
MILLION = 1e6
LEAST_PUE, MOST_PUE = 1.0, 5.0
_CURRENCY = re.compile(r"[A-Z]{3}")
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@dataclass(frozen=True, slots=True)
class Stated:
    """`site.pue`, `site.grams_co2e_per_kwh`: a figure that somebody stated, and who and when."""

    value: float = setting(MISSING, "The figure; may stand alone.", plain=True)
    source: str = setting("", "Who says so: a report, a contract, a meter.")
    date: str = setting("", "Of when it is: 2026, 2026-06 or 2026-06-30.")

    def __post_init__(self) -> None:
        """Refuse what is no date."""
        if self.date and not _DATE.fullmatch(self.date):
            raise ValueError(f"date: {self.date!a} is not a date such as 2026-06-30")


@dataclass(frozen=True, slots=True)
class Site:
    """`site`: prices and emissions; what is not given is unknown, and nothing is reckoned with it."""

    pue: Stated | None = setting(
        None,
        "Energy of the facility over that of its IT equipment, a mean over a period: models the boundary "
        "`facility`, and is a factor of cost and emissions.",
    )
    currency: str = setting("", "Of all prices, in three letters, e.g. USD.")
    price_per_kwh: float | None = setting(None, "What a kilowatt hour costs at the meter of the facility.")
    tariff: Tariff = setting(Tariff(), "Hours in which it costs something else.")
    price_per_gpu_hour: float | None = setting(
        None, "What it costs to have one GPU for an hour, busy or not, without its energy."
    )
    grams_co2e_per_kwh: Stated | None = setting(
        None, "Grams of CO2 equivalent that a kilowatt hour of this electricity emits."
    )

    def __post_init__(self) -> None:
        """Refuse figures that cannot be, and prices without what they need."""
        if self.pue is not None and not LEAST_PUE <= self.pue.value <= MOST_PUE:
            raise ValueError(f"pue: {self.pue.value:g} is not between {LEAST_PUE:g} and {MOST_PUE:g}")
        if self.currency and not _CURRENCY.fullmatch(self.currency):
            raise ValueError(f"currency: {self.currency!a} is not three capital letters such as USD")
        grams = None if self.grams_co2e_per_kwh is None else self.grams_co2e_per_kwh.value
        given = {
            "price_per_kwh": self.price_per_kwh,
            "price_per_gpu_hour": self.price_per_gpu_hour,
            "grams_co2e_per_kwh": grams,
        }
        told = {key: value for key, value in given.items() if value is not None}
        for key, value in told.items():
            if value < 0.0:
                raise ValueError(f"{key}: must not be negative")
        self._refuse_halves(told)

    def _refuse_halves(self, told: Collection[str]) -> None:
        """Refuse what means nothing without another setting."""
        if not self.currency and any(key.startswith("price") for key in told):
            raise ValueError("currency: is needed beside a price, e.g. USD")
        if self.tariff.periods and "price_per_kwh" not in told:
            raise ValueError("tariff: needs price_per_kwh, which holds where no period does")
        for key in told:
            if key.endswith("per_kwh") and self.pue is None:
                raise ValueError(f"{key}: needs pue; 1 where it is meant of the IT equipment's own energy")

    def prices(self, zone: tzinfo | None) -> Prices | None:
        """Return what a kilowatt hour costs by the clock of a zone; None where nobody said."""
        if self.price_per_kwh is None:
            return None
        return Prices(self.price_per_kwh, self.tariff.periods, zone)


NO_SITE = Site()
"""What holds where nothing is configured."""


def energy_cost(joules: float, price_per_kwh: float, pue: float) -> float:
    """Return what energy costs that was measured inside the meter which the PUE multiplies.

    Never of the boundary `facility`: its joules have the PUE in them.
    """
    return joules / JOULES_PER_KWH * pue * price_per_kwh


def capacity_cost(gpus: float, seconds: float, price_per_gpu_hour: float) -> float:
    """Return what it costs to have GPUs for a while, whatever they do."""
    return gpus * seconds / SECONDS_PER_HOUR * price_per_gpu_hour


def co2e_grams(joules: float, grams_per_kwh: float, pue: float) -> float:
    """Return what energy emits that was measured inside the meter which the PUE multiplies."""
    return joules / JOULES_PER_KWH * pue * grams_per_kwh
