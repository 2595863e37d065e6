"""What a Redfish document says, read without trust: any JSON may come, and nonsense is None."""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import unquote

from agent.wire.text import printable

Document = dict[str, Any]
PATH_CHARACTERS = 512
_PATH = re.compile(r"/redfish/[A-Za-z0-9._~%:@!$&'()*+,;=/-]*")
NAME_CHARACTERS = 64
LARGEST = 1e12
"""Beyond any watt, joule or pascal: what is larger is no reading."""


def path_of(link: object) -> str | None:
    """Return a link as a path of the same server; None for what leads elsewhere, or nowhere.

    Whatever a controller writes, it is only ever asked itself.
    """
    if not isinstance(link, str) or len(link) > PATH_CHARACTERS:
        return None
    path = link.partition("#")[0]
    steps = unquote(path).split("/")
    if not _PATH.fullmatch(path) or ".." in steps or "." in steps or "\\" in unquote(path):
        return None
    return path.rstrip("/")


def at(document: object, *keys: str) -> Any:
    """Return what lies under the keys; None where the way ends."""
    for key in keys:
        if not isinstance(document, dict):
            return None
        document = document.get(key)
    return document


def link(document: object, *keys: str) -> str | None:
    """Return the path of the resource that is linked under the keys."""
    return path_of(at(document, *keys, "@odata.id"))


def links(document: object, *keys: str) -> list[str]:
    """Return the paths of all resources that are linked in a list."""
    listed = at(document, *keys)
    found = (link(each) for each in listed) if isinstance(listed, list) else ()
    return [path for path in found if path is not None]


def items(document: object, *keys: str) -> list[Document]:
    """Return the objects in a list."""
    listed = at(document, *keys)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def number(value: object) -> float | None:
    """Return a finite number of a plausible size, also of a sensor's excerpt ({"Reading": 12.5})."""
    if isinstance(value, dict):
        value = value.get("Reading")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= LARGEST else None


def amount(value: object) -> float | None:
    """Return a number that cannot be negative: watts, joules, a flow."""
    found = number(value)
    return None if found is None or found < 0.0 else found


def name_of(document: object, fallback: str) -> str:
    """Return what a resource is called: its id, else the end of its path."""
    told = at(document, "Id") or at(document, "MemberId")
    return _short(told) or last_step(fallback)


def excerpt_name(document: object, fallback: str) -> str:
    """Return what the sensor of an excerpt is called: by its own resource, else by its device."""
    source = path_of(at(document, "DataSourceUri"))
    return (last_step(source) if source else "") or _short(at(document, "DeviceName")) or fallback


def last_step(path: str) -> str:
    """Return the last part of a path."""
    return printable(unquote(path.rstrip("/").rpartition("/")[2]), NAME_CHARACTERS)


def is_absent(document: object) -> bool:
    """Whether a part is listed and not there."""
    return at(document, "Status", "State") in {"Absent", "Disabled", "UnavailableOffline", "StandbyOffline"}


def _short(text: object) -> str:
    return printable(text.strip(), NAME_CHARACTERS) if isinstance(text, str) else ""
