"""One rate of asking one GPU: a batch of field values, some functions, and a pace."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.features import settle
from agent.collectors._nvml.library import DRIVER_WIDE, FIELD_VALUES, GPU_WIDE, Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.collectors._nvml.features import Feature
    from agent.collectors._nvml.fields import Field
    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer, Ask
    from agent.collectors._nvml.pace import Pace

FATAL = GPU_WIDE | DRIVER_WIDE
Values = dict[str, Any]
"""By attribute of GpuReading; mappings inside where it has mappings."""


class Group:
    """What one GPU is asked together; only what a probe found to work here."""

    def __init__(self, nvml: Library, handle: Any, pace: Pace) -> None:
        self.pace = pace
        self.batch: Batch | None = None
        self.features: list[tuple[Feature, Ask]] = []
        self.refused: dict[str, int] = {}
        """What will not be asked again, with the code."""
        self.values: Values = {}
        self._nvml = nvml
        self._handle = handle

    def probe_fields(self, fields: Sequence[Field]) -> None:
        """Keep those fields of which the driver knows something. Raises Refusal when the GPU is gone."""
        if not fields:
            return
        try:
            batch = Batch(self._nvml, self._handle, fields)
            kept, refused = batch.probe()
        except Refusal as refusal:
            if refusal.code != Code.FUNCTION_NOT_FOUND:
                raise
            kept, refused = (), dict.fromkeys(fields, refusal.code)
        self.refused |= {field.label: code for field, code in refused.items()}
        self.batch = Batch(self._nvml, self._handle, kept) if kept else None

    def probe_features(self, features: Iterable[Feature]) -> None:
        """Keep those features that have a way that works."""
        for feature in features:
            ask, code = settle(self._nvml, self._handle, feature)
            if ask is None:
                self.refused[feature.name] = code
            else:
                self.features.append((feature, ask))

    def has(self, attribute: str, key: Any = None) -> bool:
        """Whether a field for this attribute is asked."""
        fields = self.batch.fields if self.batch else ()
        return any(field.attribute == attribute and key in {None, field.key} for field in fields)

    def due(self, now_seconds: float) -> bool:
        """Whether it is time to ask again."""
        return self.pace.due(now_seconds)

    def read(self, *, mig: bool = False) -> None:
        """Ask everything once into `values`. Raises Refusal only for what ends the GPU or the session."""
        started = time.monotonic()
        values: Values = {}
        self._read_fields(values)
        for feature, ask in self.features:
            if mig and feature.without_mig:
                continue
            try:
                place(values, ask())
            except Refusal as refusal:
                if refusal.code in FATAL:
                    raise
        self.values = values
        self.pace.spent(started, time.monotonic() - started)

    def _read_fields(self, values: Values) -> None:
        if self.batch is None:
            return
        try:
            answers, codes = self.batch.ask()
        except Refusal as refusal:
            if refusal.code in FATAL:
                raise
            return
        check(codes)
        pairs = zip(self.batch.fields, answers, strict=True)
        place(values, ((field.attribute, field.key, value) for field, value in pairs))


def check(codes: tuple[int, ...]) -> None:
    """Raise what one entry says of the whole GPU or driver."""
    for code in FATAL.intersection(codes):
        raise Refusal(code, FIELD_VALUES)


def place(values: Values, answers: Iterable[Answer]) -> None:
    """Place what was answered; None is left out."""
    for attribute, key, value in answers:
        if value is None:
            continue
        if key is None:
            values[attribute] = value
        elif attribute in values:
            values[attribute][key] = value
        else:
            values[attribute] = {key: value}
