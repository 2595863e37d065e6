"""A time-of-use tariff: what a kilowatt hour costs at a moment, by the wall clock of a named time zone."""

from __future__ import annotations

import math
import re
from dataclasses import MISSING, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.measure.settings import setting

if TYPE_CHECKING:
    from datetime import tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MINUTES = 24 * 60
SAME_PRICE_SECONDS = 60.0
"""Within a whole minute no price changes: hours and the offsets of time zones are whole minutes."""
MOST_PIECES = 3000
"""Two days in minutes; what was missed for longer is priced in longer pieces."""


@dataclass(frozen=True, slots=True)
class Period:
    """`site.tariff.periods[]`: hours in which a kilowatt hour has a price of its own."""

    price_per_kwh: float = setting(MISSING, "What a kilowatt hour costs then.")
    hours: str = setting(
        "00:00-24:00", "By the local clock, the end not included; 22:00-06:00 goes over midnight."
    )
    days: tuple[str, ...] = setting(DAYS, f"On which days these hours begin: {', '.join(DAYS)}.")
    months: tuple[int, ...] = setting((), "In which months, 1 to 12; default all.")

    def __post_init__(self) -> None:
        """Refuse hours that no clock shows and days that no week has."""
        if _minutes(self.hours) is None:
            raise ValueError(f"hours: {self.hours!a} is not two times of a day such as 08:00-20:00")
        for day in self.days:
            if day not in DAYS:
                raise ValueError(f"days: no day {day!a}; there are: {', '.join(DAYS)}")
        if not self.days:
            raise ValueError(f"days: names none; there are: {', '.join(DAYS)}")
        for month in self.months:
            if not 1 <= month <= 12:  # noqa: PLR2004  (months of a year)
                raise ValueError(f"months: no month {month}; there are 1 to 12")
        if self.price_per_kwh < 0.0:
            raise ValueError("price_per_kwh: must not be negative")

    def holds(self, local: datetime) -> bool:
        """Tell whether a moment of the local clock is within these hours."""
        begins, ends = _minutes(self.hours) or (0, _DAY_MINUTES)
        minute = local.hour * 60 + local.minute
        if begins < ends:
            inside, day = begins <= minute < ends, local
        else:  # over midnight: what lies before its end began on the day before
            inside = minute >= begins or minute < ends
            day = local if minute >= begins else local - timedelta(days=1)
        if not inside:
            return False
        return DAYS[day.weekday()] in self.days and (not self.months or day.month in self.months)


@dataclass(frozen=True, slots=True)
class Tariff:
    """`site.tariff`: prices that depend on the hour."""

    timezone: str = setting(
        "", "Whose clock the hours are of, e.g. Europe/Berlin; summer time is followed as that zone has it."
    )
    periods: tuple[Period, ...] = setting(
        (), "The first that holds gives the price; where none does, it is `site.price_per_kwh`."
    )

    def __post_init__(self) -> None:
        """Refuse hours of no clock."""
        if self.periods and not self.timezone:
            raise ValueError("timezone: is needed beside periods, e.g. Europe/Berlin or UTC")


@dataclass(frozen=True, slots=True)
class Prices:
    """What a kilowatt hour costs, now and then."""

    otherwise: float
    """Where no period holds."""
    periods: tuple[Period, ...] = ()
    zone: tzinfo | None = None
    """Of the periods' hours."""

    def at(self, unix_seconds: float) -> float:
        """Return the price of a kilowatt hour at a moment."""
        if not self.periods:
            return self.otherwise
        local = datetime.fromtimestamp(unix_seconds, self.zone)
        return next((each.price_per_kwh for each in self.periods if each.holds(local)), self.otherwise)

    def mean(self, start: float, end: float) -> float:
        """Return the mean price over an interval of Unix seconds, in which energy flowed evenly."""
        if not self.periods or end <= start:
            return self.at(end)
        step = SAME_PRICE_SECONDS * math.ceil((end - start) / (SAME_PRICE_SECONDS * MOST_PIECES))
        total, at = 0.0, start
        while at < end:
            until = min(end, (at // step + 1.0) * step)
            total += self.at((at + until) / 2.0) * (until - at)
            at = until
        return total / (end - start)


def _minutes(hours: str) -> tuple[int, int] | None:
    """Return begin and end in minutes of the day; None when it is not two times."""
    found = _HOURS.fullmatch(hours)
    if found is None:
        return None
    begin_hour, begin_minute, end_hour, end_minute = map(int, found.groups())
    begins, ends = begin_hour * 60 + begin_minute, end_hour * 60 + end_minute
    sixty = begin_minute < 60 and end_minute < 60  # noqa: PLR2004  (minutes of an hour)
    if not sixty or begins >= _DAY_MINUTES or ends > _DAY_MINUTES or begins == ends:
        return None
    return begins, ends
