"""Prometheus' list of target groups, which files and servers of its discovery hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from agent.measure.reading import Reason, SourceError
from agent.wire.address import carries_login, require_http
from agent.wire.text import words

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 4 * 1024 * 1024
MOST_ENDPOINTS = 4096
SCHEME, METRICS_PATH = "__scheme__", "__metrics_path__"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One target of a group."""

    address: str
    """With the scheme that the target or its group names, else http."""
    path: str = ""
    """As the group names it."""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address with the path, if there is one."""
        return f"{self.address}/{self.path.lstrip('/')}" if self.path else self.address


def endpoints_of(body: bytes, where: str, *, yaml_too: bool) -> tuple[Endpoint, ...]:
    """Return the targets of all groups, each once. Raises SourceError, which begins with `where`."""
    found: dict[str, Endpoint] = {}
    groups = _parsed(body, where, yaml_too=yaml_too)
    try:
        for group in [] if groups is None else _listed(groups):
            labels = {str(name): str(value) for name, value in dict(group.get("labels") or {}).items()}
            for target in _listed(group.get("targets")):
                endpoint = Endpoint(_address(target, labels), labels.get(METRICS_PATH, ""), labels)
                found[endpoint.url] = endpoint
    except (AttributeError, TypeError, ValueError) as error:
        text = f"{where} is not a list of target groups ({words(str(error))}); what was known before stays"
        raise SourceError(Reason.MALFORMED, text) from error
    if len(found) > MOST_ENDPOINTS:
        text = f"{where} names {len(found)} targets, more than {MOST_ENDPOINTS}; what was known before stays"
        raise SourceError(Reason.TOO_LARGE, text)
    return tuple(found.values())


def _address(target: str, labels: Mapping[str, str]) -> str:
    address = (target if "://" in target else f"{labels.get(SCHEME, 'http')}://{target}").rstrip("/")
    require_http(address, "targets")
    if carries_login(address):
        raise ValueError("a target with a name and password in it")
    return address


def _parsed(body: bytes, where: str, *, yaml_too: bool) -> Any:
    try:
        return yaml.safe_load(body) if yaml_too else orjson.loads(body)
    except (orjson.JSONDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        form = "YAML" if yaml_too else "JSON"
        text = f"{where} is not {form} ({words(str(error))}); what was known before stays"
        raise SourceError(Reason.MALFORMED, text) from error


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value
