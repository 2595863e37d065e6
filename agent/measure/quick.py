"""Records that are made hundreds of times a second, frozen all the same."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")
_NOT_GIVEN: Any = object()


def quick(record: type[T]) -> type[T]:
    """Make instances of a frozen, slotted dataclass quicker to make: for those of five fields and more.

    A frozen dataclass fills its fields by `object.__setattr__`, looked up and called for each: a reading of a
    GPU took six microseconds for that, eight times a second and cold. Here an instance is of a twin class
    without the lock while it is filled, which plain assignments do, and then of its own for ever. What the
    class is, holds, compares and refuses stays as dataclass has made it.
    """
    head, body = [], []
    names: dict[str, Any] = {
        "given": _NOT_GIVEN,
        "record": record,
        "twin": type(record.__name__, (), {"__slots__": record.__slots__}),  # type: ignore[attr-defined]  # slotted
        "set_": object.__setattr__,
        "blank": object.__new__,
    }
    for each in fields(record):  # type: ignore[arg-type]  # a dataclass
        default, value = "", each.name
        if each.default is not MISSING:
            default = f"=default_{each.name}"
            names[default[1:]] = each.default
        elif each.default_factory is not MISSING:
            default, value = "=given", f"new_{each.name}() if {each.name} is given else {each.name}"
            names[f"new_{each.name}"] = each.default_factory
        head.append(each.name + default)
        body.append(f" self.{each.name} = {value}\n")
    source = f"def __init__(self, {', '.join(head)}):\n set_(self, '__class__', twin)\n"
    exec(f"{source}{''.join(body)} self.__class__ = record\n", names)  # noqa: S102  (as dataclass does it)
    copied = "".join([f" new.{each.name} = old.{each.name}\n" for each in fields(record)])  # type: ignore[arg-type]  # a dataclass
    change = " for name, value in changes.items():\n  setattr(new, name, value)\n"
    head_of_copy = "def changed(old, changes):\n new = blank(twin)\n"
    exec(f"{head_of_copy}{copied}{change} new.__class__ = record\n return new\n", names)  # noqa: S102  (as above)
    record._changed = names["changed"]  # type: ignore[attr-defined]  # noqa: SLF001  (see `changed`)
    record.__init__ = names["__init__"]  # type: ignore[method-assign]  # the same signature
    return record


def changed(record: T, **changes: Any) -> T:
    """Return a copy of a quick record with other values in some fields: `dataclasses.replace`, in a tenth."""
    return record._changed(changes)  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  (made above)
