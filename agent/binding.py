"""YAML into frozen dataclasses. Whatever is wrong is told with file, line, key and choices."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from agent.measure.settings import Bytes, Seconds, WrongSettingError
from agent.small_file import SmallFileError, read_small

if typing.TYPE_CHECKING:
    from pathlib import Path

MAX_CONFIG_BYTES = 4 * 1024 * 1024
SHORTEST_SECONDS = 0.01
"""Nothing here can be read or waited for more often."""
LONGEST_SECONDS = 86400.0
LARGEST_BYTES = 2**30
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_UNIT_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
Record = typing.TypeVar("Record")


class ConfigError(Exception):
    """A configuration that cannot be honoured: file, line, key, and what would be right."""


def load_records(path: Path, kind: type[Record], check: Callable[[Record], None]) -> Record:
    """Read a file that holds one record and nothing else; quotes none of it. Raises ConfigError."""
    root = compose(read_text(path), str(path), quoted=False)
    entries = entries_of(root, str(path), "", {field.name for field in dataclasses.fields(kind)})  # type: ignore[arg-type]  # a dataclass
    record: Record = fill(kind, entries, str(path), "")
    try:
        check(record)
    except WrongSettingError as error:
        where = where_of(str(path), _node_of(root, error.key))
        raise ConfigError(f"{where}: {'.'.join(error.key)}: {error}") from error
    return record


def _node_of(node: yaml.Node | None, key: tuple[str, ...]) -> yaml.Node | None:
    """Return the key's node that is nearest to a place in the file."""
    found = None
    for part in key:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found, node = next(((k, v) for k, v in pairs if k.value == part), (found, None))
    return found


def read_text(path: Path) -> str:
    """Read a file of settings. Raises ConfigError."""
    try:
        return read_small(path, MAX_CONFIG_BYTES).decode()
    except SmallFileError as error:
        denied = isinstance(error.__cause__, PermissionError)
        remedy = "; let the user that runs rackwatt read it" if denied else ""
        raise ConfigError(f"{error}{remedy}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error


def settings_of(kind: type, text: str, name: str) -> Any:
    """Read another file of settings, declared like ours by a dataclass. Raises ConfigError."""
    known = {field.name for field in dataclasses.fields(kind)}
    return fill(kind, entries_of(compose(text, name), name, "", known), name, "")


def compose(text: str, name: str, *, quoted: bool = True) -> yaml.Node | None:
    """Read YAML. Raises ConfigError, which shows the place unless it may hold a secret."""
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1 if mark else 1}"
        if quoted:
            said = getattr(error, "problem", None) or " ".join(str(error).split())
            context = getattr(error, "context", None)
            raise ConfigError(f"{where}: not YAML: {said}{f' ({context})' if context else ''}") from error
        raise ConfigError(f"{where}: not YAML") from None
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply") from error
    return root


def entries_of(
    node: yaml.Node | None, name: str, prefix: str, known: set[str] | None
) -> dict[str, yaml.Node]:
    """Return the keys of a mapping, any if none are known. Raises ConfigError for a wrong or doubled one."""
    if node is None or _is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where_of(name, node)}: {prefix or 'the file'}: must be a mapping of keys")
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = str(key_node.value)
        dotted = f"{prefix}.{key}" if prefix else key
        if known is not None and key not in known:
            choices = ", ".join(sorted(known))
            raise ConfigError(f"{where_of(name, key_node)}: {dotted}: unknown key; there are: {choices}")
        if key in found:
            raise ConfigError(f"{where_of(name, key_node)}: {dotted}: is given twice")
        found[key] = value
    return found


def _is_null(node: yaml.Node) -> bool:
    """Whether a key has no value: it keeps its default."""
    return isinstance(node, yaml.ScalarNode) and str(node.tag).endswith(":null")


def fill(kind: type, entries: dict[str, yaml.Node], name: str, prefix: str) -> Any:
    """Make one settings object from its keys."""
    hints = get_type_hints(kind)
    values = {
        key: _value(hints[key], node, name, f"{prefix}.{key}" if prefix else key)
        for key, node in entries.items()
        if not _is_null(node)
    }
    try:
        return kind(**values)
    except TypeError as error:
        missing = ", ".join(re.findall(r"'(\w+)'", str(error))) or str(error)
        where = where_of(name, next(iter(entries.values()), None))
        raise ConfigError(f"{where}: {prefix}: needs {missing}") from error
    except ValueError as error:
        where = where_of(name, next(iter(entries.values()), None))
        raise ConfigError(f"{where}: {prefix}: {error}" if prefix else f"{where}: {error}") from error


def _value(hint: Any, node: yaml.Node, name: str, key: str) -> Any:
    """Convert one node to the type its setting declares."""
    if get_origin(hint) in {typing.Union, types.UnionType}:
        hint = next(option for option in get_args(hint) if option is not type(None))
        if hint in (Seconds, Bytes) and node.value in {"0", "0s", "0B"}:
            return None  # a duration or size that may be absent is so at 0
    if get_origin(hint) is tuple:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(f"{where_of(name, node)}: {key}: must be a list")
        item = get_args(hint)[0]
        return tuple(_value(item, child, name, f"{key}[{i}]") for i, child in enumerate(node.value))
    if get_origin(hint) is Mapping:
        item = get_args(hint)[1]
        nodes = entries_of(node, name, key, None)
        return {each: _value(item, child, name, f"{key}.{each}") for each, child in nodes.items()}
    if dataclasses.is_dataclass(hint):
        plain = next((f.name for f in dataclasses.fields(hint) if f.metadata.get("plain")), None)
        if plain is not None and isinstance(node, yaml.ScalarNode):
            return fill(hint, {plain: node}, name, key)  # type: ignore[arg-type]  # a class here
        known = {field.name for field in dataclasses.fields(hint)}
        return fill(hint, entries_of(node, name, key, known), name, key)  # type: ignore[arg-type]  # a class here
    return _scalar(hint, node, name, key)


def _scalar(hint: Any, node: yaml.Node, name: str, key: str) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{where_of(name, node)}: {key}: must be a single value")
    text = node.value
    try:
        return _convert(hint, node, text)
    except ValueError as error:
        raise ConfigError(f"{where_of(name, node)}: {key}: {text!r} {error}") from error


def _convert(hint: Any, node: yaml.ScalarNode, text: str) -> Any:
    """Convert a scalar. Raises ValueError with a phrase that follows the value."""
    if hint is Seconds:
        return duration_seconds(text)
    if hint is Bytes:
        return size_bytes(text)
    if hint is bool:
        if not node.tag.endswith(":bool"):
            raise ValueError("is not true or false")
        return text.lower() in {"true", "yes", "on"}
    if isinstance(hint, type) and issubclass(hint, Enum):
        choices = [str(choice.value) for choice in hint]
        if text not in choices:
            raise ValueError(f"is not one of: {', '.join(choices)}")
        return hint(text)
    if hint in {int, float}:
        return _number(hint, text)
    return text


def _number(hint: type[int | float], text: str) -> float:
    try:
        number = hint(text)
    except ValueError:
        raise ValueError(f"is not a{'n integer' if hint is int else ' number'}") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite number")
    return number


def duration_seconds(text: str) -> Seconds:
    """Read a duration as Prometheus writes them: 500ms, 10s, 1m30s. Raises ValueError."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("is not a duration such as 500ms, 10s or 1m30s")
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ValueError("is not between 10ms and 1d")
    return Seconds(seconds)


def size_bytes(text: str) -> Bytes:
    """Read a size such as 512KiB, 8MiB or 4096. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("is not a size such as 512KiB, 8MiB or 4096")
    size = float(match[1]) * _UNIT_BYTES[match[2] or "B"]
    if not 1 <= size <= LARGEST_BYTES:
        raise ValueError("is not between 1 B and 1 GiB")
    return Bytes(int(size))


def where_of(name: str, node: yaml.Node | None) -> str:
    """Return file and line of a node."""
    return name if node is None else f"{name}:{node.start_mark.line + 1}"
