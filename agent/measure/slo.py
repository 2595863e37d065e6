"""What clients were promised: limits of latency, for all models and for some."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (settings are read by their types)
from dataclasses import dataclass, field

from agent.measure.engine import Latency
from agent.measure.settings import Seconds, setting

AS_ABOVE = Seconds(-1.0)
"""A model's limit that is not given: that of every model holds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`slo.models.<model>`: limits of one model; None is none, whatever holds for the others."""

    first_token: Seconds | None = setting(AS_ABOVE, "From a request's arrival to its first output token.")
    inter_token: Seconds | None = setting(AS_ABOVE, "Between two output tokens of a request.")
    end_to_end: Seconds | None = setting(AS_ABOVE, "From a request's arrival to its last output token.")
    queue: Seconds | None = setting(AS_ABOVE, "From a request's arrival to the first work on it.")


@dataclass(frozen=True, slots=True)
class Slo:
    """`slo`: limits of every model, and exceptions."""

    first_token: Seconds | None = setting(
        None, "Longest time from a request's arrival to its first output token that is as promised."
    )
    inter_token: Seconds | None = setting(
        None, "Longest time between two output tokens of a request: of each gap, not of the request's mean."
    )
    end_to_end: Seconds | None = setting(None, "Longest time from a request's arrival to its last token.")
    queue: Seconds | None = setting(None, "Longest time from a request's arrival to the first work on it.")
    models: Mapping[str, Limits] = field(
        default_factory=dict,
        metadata={
            "doc": "Other limits, by the model's served name; `0` is none, what is not named as above."
        },
    )

    def limits_of(self, model: str) -> dict[Latency, float]:
        """Return the limits in seconds that hold for one model."""
        own = self.models.get(model, AS_OTHERS)
        told = {latency: (getattr(own, latency), getattr(self, latency)) for latency in Latency}
        holds = {latency: every if one == AS_ABOVE else one for latency, (one, every) in told.items()}
        return {latency: limit for latency, limit in holds.items() if limit is not None}


AS_OTHERS = Limits()
NO_PROMISES = Slo()
"""What holds where nothing is configured."""
