"""Many field values of one GPU in one driver call: a prebuilt array and one compiled decode."""

from __future__ import annotations

import ctypes
import math
import struct
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.library import FIELD_VALUES, NEVER, Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.collectors._nvml.fields import Field
    from agent.collectors._nvml.library import Library

ENTRY_BYTES = 40
LATENCY_OFFSET = 16
VALUE_CODES = ("d", "I4x", "Q", "Q", "q", "i4x", "H6x")
"""How to unpack nvmlFieldValue_t.value, by its valueType; a newer type is taken as 8 bytes."""

BLANKS = (math.nan, 2**32 - 1, 2**64 - 1, 2**64 - 1, 2**63 - 1, 2**31 - 1, 2**16 - 1)
"""The value of each type that means "no value"."""

BLANK_FROM = 9.2e18
"""DCGM's and some drivers' 64-bit blanks begin here; no counter of ours gets that far."""


class Batch:
    """Some fields of one GPU, asked together."""

    def __init__(self, nvml: Library, handle: Any, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._nvml = nvml
        self._handle = handle
        entry = nvml.pynvml.c_nvmlFieldValue_t
        if ctypes.sizeof(entry) != ENTRY_BYTES:
            message = f"nvmlFieldValue_t has {ctypes.sizeof(entry)} bytes, not {ENTRY_BYTES}"
            raise TypeError(message)
        array = (entry * len(self.fields))()
        for place, field in zip(array, self.fields, strict=True):
            place.fieldId, place.scopeId = field.number, field.scope
            place.nvmlReturn = Code.UNKNOWN  # an entry that the driver leaves alone is a failure
        self._array = array
        self._blank = bytes(array)
        self._view = memoryview(array).cast("B")
        self._call = nvml.bare(FIELD_VALUES, handle, ctypes.c_int(len(self.fields)), ctypes.byref(array))
        self._divisors = tuple(field.divisor for field in self.fields)
        self._success = (0,) * len(self.fields)
        self._learn((1,) * len(self.fields))

    def _learn(self, types: tuple[int, ...]) -> None:
        """Take it that values have these types, as they mostly have from now on."""
        known = [kind if 0 <= kind < len(VALUE_CODES) else 2 for kind in types]
        self._scales = tuple((BLANKS[kind], div) for kind, div in zip(known, self._divisors, strict=True))
        self._marks = struct.Struct("<" + "24xii8x" * len(types)).unpack_from
        self._fine = tuple(mark for kind in types for mark in (kind, 0))
        """Type and code of each entry when all is as usual."""
        self._values = struct.Struct("<" + "".join(f"32x{VALUE_CODES[kind]}" for kind in known)).unpack_from

    def ask(self) -> tuple[list[float | None], tuple[int, ...]]:
        """Return every value in our units (None is no value) and every entry's code, in order of `fields`."""
        self._view[:] = self._blank
        self._call()
        marks, codes = self._marks(self._view), self._success
        if marks != self._fine:
            codes = marks[1::2]
            if marks[0::2] != self._fine[0::2]:
                self._learn(marks[0::2])
        values: list[float | None] = [
            None if raw == blank or raw >= BLANK_FROM or raw != raw else raw / divisor  # noqa: PLR0124  (NaN)
            for raw, (blank, divisor) in zip(self._values(self._view), self._scales, strict=True)
        ]
        if any(codes):
            values = [None if code else value for value, code in zip(values, codes, strict=True)]
        return values, codes

    def latencies_seconds(self) -> dict[Field, float]:
        """Return how long the driver says that each field of the last call took."""
        return {
            field: struct.unpack_from("<q", self._view, place * ENTRY_BYTES + LATENCY_OFFSET)[0] / 1e6
            for place, field in enumerate(self.fields)
        }

    def probe(self) -> tuple[Sequence[Field], Mapping[Field, int]]:
        """Ask once; return the fields worth asking again, and the code of each that is not."""
        try:
            values, codes = self.ask()
        except Refusal as refusal:
            if refusal.code not in NEVER:
                raise
            if len(self.fields) > 1 and refusal.code == Code.INVALID_ARGUMENT:
                return self._probe_singly()
            return (), dict.fromkeys(self.fields, refusal.code)
        refused = {
            field: _verdict(field, value, code)
            for field, value, code in zip(self.fields, values, codes, strict=True)
        }
        kept = [field for field in self.fields if refused[field] not in NEVER]
        return kept, {field: code for field, code in refused.items() if code in NEVER}

    def _probe_singly(self) -> tuple[Sequence[Field], Mapping[Field, int]]:
        kept: list[Field] = []
        refused: dict[Field, int] = {}
        for field in self.fields:
            good, bad = Batch(self._nvml, self._handle, (field,)).probe()
            kept.extend(good)
            refused.update(bad)
        return kept, refused


def _verdict(field: Field, value: float | None, code: int) -> int:
    """Return the code of a probed entry; drivers without memory power say success and 0."""
    memory_power = field.attribute in {"average_watts", "instant_watts"} and field.key == "memory"
    return Code.NOT_SUPPORTED if memory_power and value == 0 and not code else code
