"""What a colour and a unit mean, the same on every board."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

GOOD, WARN, BAD, QUIET = "green", "orange", "red", "text"
"""Verdicts. Nothing else is drawn in green or red."""

TOKENS = {"output": "blue", "prompt": "light-blue", "prompt_cached": "super-light-blue"}
"""By kind of token."""
POWER = {
    "gpu": "#E5B70C",
    "module": "#B9861F",
    "node": "#96682A",
    "rack": "#74502F",
    "facility": "#5C4033",
}
"""By boundary, darker the more it contains."""
PERCENTILES = {"p50": "light-blue", "p99": "semi-dark-blue"}
EFFICIENCY = "purple"
REQUESTS = {"running": "blue", "waiting": "orange"}

TOKENS_PER_SECOND = "si:tok/s"
TOKENS_PER_JOULE = "suffix: tok/J"
JOULES_PER_TOKEN = "suffix: J/tok"  # noqa: S105 - a unit
COUNT = "none"
RATIO = "percentunit"
WATTS, JOULES, KILOWATT_HOURS = "watt", "joule", "kwatth"
SECONDS, CELSIUS, HERTZ, BYTES = "s", "celsius", "hertz", "bytes"
SINCE = "dateTimeFromNow"


def at_boundary() -> dict[str, str]:
    """Return the colours of series that are named after where their power is measured."""
    return {f"at {name}": colour for name, colour in POWER.items()}


def steps(first: str, *more: tuple[float, str]) -> build.ThresholdsConfig:
    """Return thresholds: a colour, and others from some values on."""
    lines = [model.Threshold(value=None, color=first)]
    lines += [model.Threshold(value=value, color=colour) for value, colour in more]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(lines)


def fixed(colour: str) -> build.FieldColor:
    """Return one colour for everything."""
    return build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(colour)


def shades(colour: str) -> build.FieldColor:
    """Return a shade of one colour for each of many equals, so that none stands out by its colour."""
    return build.FieldColor().mode(model.FieldColorModeId.SHADES).fixed_color(colour)


def by_threshold() -> build.FieldColor:
    """Return the colour of the threshold that a value has passed."""
    return build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def words(**meanings: tuple[str, str]) -> model.ValueMap:
    """Return what values are called, and their colours; `is_1` stands for the value 1."""
    options = {
        value.removeprefix("is_"): model.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    return model.ValueMap(options=options)
