"""Lines of a recording: what a diagnosis was given at one moment, as one line of JSON, and back.

A record of `signs.py`, `host_signs.py` or `rack_signs.py` of `agent/diagnose` becomes a row: its fields in
their order, which the head of a recording names. So a field that is added there is recorded without a word
here, and a row of an older or a newer rackwatt is read by the names of its fields. What comes back is
believed in nothing: types and sizes are checked.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

from agent.diagnose import host_signs, rack_signs, signs
from agent.diagnose.rack_signs import RackSigns
from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns
from agent.measure.reading import Moment
from agent.measure.series import Point
from agent.measure.snapshot import Activity
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[Any], Any]
    Columns = Mapping[str, list[str]]

RECORDS: dict[str, Any] = {
    name: kind
    for name, kind in {**vars(host_signs), **vars(signs), **vars(rack_signs), "Moment": Moment}.items()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
"""Every record that a line is made of, by its name."""
FIELDS = {name: [field.name for field in dataclasses.fields(kind)] for name, kind in RECORDS.items()}
OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
MOST_ITEMS = 4096
"""In one list or mapping of a line: more GPUs, engines or Xids than any node has."""
MOST_CHARACTERS = 400
MOST = 2.0**63
"""Larger numbers are no moments, tokens, joules or hertz."""
_GETTERS = {kind: attrgetter(*FIELDS[name]) for name, kind in RECORDS.items()}


class LineError(ValueError):
    """A line is not what a recording has; says what is wrong with it."""


def line_of_signs(signs: NodeSigns | RackSigns) -> bytes:
    """Write one moment of a node or a rack down."""
    kind = "rack" if isinstance(signs, RackSigns) else "signs"
    return orjson.dumps({kind: signs}, default=_plain, option=OPTIONS)


def _plain(value: Any) -> Any:
    if value.__class__ is UnitSigns:  # its GPUs are among those of the node
        return [value.deployment, value.model, value.engines, [gpu.gpu for gpu in value.gpus]]
    getter = _GETTERS.get(value.__class__)
    if getter is not None:
        return getter(value)
    return sorted(value) if isinstance(value, frozenset) else tuple(value)


def signs_of_line(plain: Any, columns: Columns) -> NodeSigns:
    """Read one moment of a node; `columns` are those that the head names. Raises LineError."""
    try:
        row = dict(zip(columns["NodeSigns"], _list(plain), strict=True))
        gpus = tuple(_record(GpuSigns, each, columns) for each in _list(row.pop("gpus")))
        by_number = {gpu.gpu: gpu for gpu in gpus}
        units = tuple(_unit(each, by_number, columns) for each in _list(row.pop("units")))
        return _filled(NodeSigns, row | {"gpus": gpus, "units": units}, columns)  # type: ignore[no-any-return]  # made by its class
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise LineError(f"{error.__class__.__name__}: {printable(str(error))}") from error


def rack_signs_of_line(plain: Any, columns: Columns) -> RackSigns:
    """Read one moment of a rack. Raises LineError."""
    try:
        return _record(RackSigns, plain, columns)  # type: ignore[no-any-return]  # made by its class
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise LineError(f"{error.__class__.__name__}: {printable(str(error))}") from error


def _unit(plain: Any, gpus: Mapping[int, GpuSigns], columns: Columns) -> UnitSigns:
    row = dict(zip(columns["UnitSigns"], _list(plain), strict=True))
    own = tuple(gpus[_whole(number)] for number in _list(row.pop("gpus")))
    engines = tuple(_record(EngineSigns, each, columns) for each in _list(row.pop("engines")))
    return _filled(UnitSigns, row | {"gpus": own, "engines": engines}, columns)  # type: ignore[no-any-return]  # made by its class


def _record(kind: Any, plain: Any, columns: Columns) -> Any:
    return _filled(kind, dict(zip(columns[kind.__name__], _list(plain), strict=True)), columns)


def _filled(kind: Any, row: Mapping[str, Any], columns: Columns) -> Any:
    """Make a record of the values that it knows; those that only a newer rackwatt knows are left out."""
    known = {}
    for name, reader in _readers(kind).items():
        if name in row:
            value = row[name]
            made = isinstance(value, tuple)  # by us: JSON has lists
            known[name] = value if made else reader(value, columns)
    return kind(**known)


@cache
def _readers(kind: Any) -> Mapping[str, Callable[[Any, Columns], Any]]:
    return {field.name: _reader(str(field.type)) for field in dataclasses.fields(kind)}


@cache
def _reader(type_: str) -> Callable[[Any, Columns], Any]:
    """Return what reads a value, by how its field is annotated."""
    if type_.endswith(" | None"):
        some = _reader(type_.removesuffix(" | None"))
        return lambda value, columns: None if value is None else some(value, columns)
    if type_.startswith("tuple[") and type_.endswith(", ...]"):
        each = _reader(type_.removeprefix("tuple[").removesuffix(", ...]"))
        return lambda value, columns: tuple(each(one, columns) for one in _list(value))
    if type_ in RECORDS:
        return lambda value, columns: _record(RECORDS[type_], value, columns)
    reader = READERS[type_]
    return lambda value, _columns: reader(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MOST_ITEMS:
        raise TypeError(f"{str(value)[:40]!a} is no list, or too long")
    return value


def _number(value: Any) -> float:
    if value.__class__ not in {int, float} or not abs(value) <= MOST:
        raise TypeError(f"{str(value)[:40]!a} is no number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not 0.0 <= number <= MOST_ITEMS or number != int(number):
        raise TypeError(f"{value!r} is no number of a GPU")
    return int(number)


def _truth(value: Any) -> bool:
    if value is not True and value is not False:
        raise TypeError(f"{str(value)[:40]!a} is neither true nor false")
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!a} is no text")
    return printable(value, MOST_CHARACTERS)


def _activity(value: Any) -> Activity:
    try:
        return Activity(value)
    except ValueError:
        return Activity.UNKNOWN


def _point(value: Any) -> Point:
    return Point(*(_number(each) for each in _list(value)))


def _mapping(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or len(value) > MOST_ITEMS:
        raise TypeError(f"{str(value)[:40]!a} is no mapping, or too large")
    return {_text(key): _number(each) for key, each in value.items()}


READERS: dict[str, Reader] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "bool": _truth,
    "Activity": _activity,
    "Point": _point,
    "frozenset[str]": lambda value: frozenset(map(_text, _list(value))),
    "Mapping[str, float]": _mapping,
    "Mapping[int, float]": lambda value: {int(key): each for key, each in _mapping(value).items()},
}
"""How a value is read, by how its field is annotated."""
