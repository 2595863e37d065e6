"""Settings: YAML into frozen dataclasses. Whatever is wrong is told with file, line, key and choices."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import socket
import types
import typing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from agent import plugins
from agent.measure.records import BY_NAME as RECORDS
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire.member_settings import Member, MembersFrom  # noqa: TC001  (settings are read by their types)

DEFAULT_PATH = Path("/etc/rackwatt/rackwatt.yaml")
MAX_CONFIG_BYTES = 4 * 1024 * 1024
SHORTEST_SECONDS = 0.01
"""Nothing here can be read or waited for more often."""
LONGEST_SECONDS = 86400.0
LARGEST_BYTES = 2**30
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_UNIT_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


class ConfigError(Exception):
    """A configuration that cannot be honoured: file, line, key, and what would be right."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`node`: who this machine is."""

    name: str = setting("", "Name of this node; default is the host name.")


@dataclass(frozen=True, slots=True)
class ExpectedSettings:
    """`rack.expected`: how large the rack should be."""

    nodes: int | None = setting(None, "Nodes that there should be; default: as many as members.")
    gpus: int | None = setting(
        None, "GPUs that there should be; default: the most that each member has shown."
    )

    def __post_init__(self) -> None:
        """Refuse a rack of less than nothing."""
        for key in ("nodes", "gpus"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ValueError(f"{key}: must be at least 1")


@dataclass(frozen=True, slots=True)
class RackSettings:
    """`rack`: which rack this node belongs to, and, on the daemon that reckons it, who its members are."""

    name: str = setting(
        "",
        "Name of the rack; default is the chassis serial, else the NVLink domain, else the node's name. With "
        "members: as most of them call it.",
    )
    members: tuple[Member, ...] = setting(
        (), "Nodes of the rack: with this, or `members_from`, this daemon reckons the rack as well."
    )
    members_from: MembersFrom | None = setting(None, "Find the members, instead of or beside naming them.")
    expected: ExpectedSettings = setting(
        ExpectedSettings(), "How large the rack should be; drained members leave the expectation."
    )
    record: str = setting(
        "",
        "Published record that the rack is compared with, shown only while its model is served; there is: "
        f"{', '.join(RECORDS)}.",
    )

    def __post_init__(self) -> None:
        """Refuse a member that is named twice, and a record that nobody published."""
        if self.record and self.record not in RECORDS:
            raise ValueError(f"record: no {self.record!a}; there is: {', '.join(RECORDS)}")
        seen: dict[str, int] = {}
        for number, member in enumerate(self.members):
            first = seen.setdefault(member.url.rstrip("/"), number)
            if first != number:
                raise ValueError(f"members[{number}]: {member.url!a} is members[{first}] again")

    @property
    def has_members(self) -> bool:
        """Whether this daemon reckons a rack."""
        return bool(self.members) or self.members_from is not None


@dataclass(frozen=True, slots=True)
class General:
    """Top level of the configuration, without its plug-ins."""

    listen: str = setting("127.0.0.1:9744", "Address and port of the HTTP server.")
    interval: Seconds = setting(Seconds(1.0), "How often collectors read, unless they say otherwise.")
    window: Seconds = setting(
        Seconds(10.0), "Interval that live figures speak of; at least three readings of the slowest source."
    )
    state_dir: str = setting(
        "", "Where totals are kept; default $STATE_DIRECTORY, else $XDG_STATE_HOME/rackwatt."
    )
    node: NodeSettings = setting(NodeSettings(), "Who this machine is.")
    rack: RackSettings = setting(RackSettings(), "Which rack it belongs to.")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that was configured; plug-in settings by module name."""

    path: Path | None
    general: General
    collectors: dict[str, Any]
    exporters: dict[str, Any]

    @property
    def node_name(self) -> str:
        """Name of this node."""
        return self.general.node.name or socket.gethostname()

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.general.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def state_dir(self) -> Path:
        """Directory where totals are kept."""
        if self.general.state_dir:
            return Path(self.general.state_dir)
        if os.environ.get("STATE_DIRECTORY"):
            return Path(os.environ["STATE_DIRECTORY"].partition(":")[0])
        try:
            base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        except RuntimeError:  # neither $HOME nor an entry in passwd
            base = Path("/var/lib")
        return base / "rackwatt"


DEFAULT_COLLECTORS = ("nvml",)
"""What runs without any configuration: each costs nothing where there is nothing to read."""
DEFAULT_EXPORTERS = ("prometheus",)
PEERS = "peers"
"""The collector that `rack.members` switches on."""


def load(path: Path | None) -> Config:
    """Read a configuration; None gives the defaults. Raises ConfigError."""
    if path is None:
        return _bind(None, "defaults", None)
    return parse(read_text(path), str(path), path)


def read_text(path: Path) -> str:
    """Read a file of settings. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            body = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(body) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    return text


def parse(text: str, name: str, path: Path | None = None) -> Config:
    """Read a configuration from text; `name` is what errors call it. Raises ConfigError."""
    return _bind(_composed(text, name), name, path)


def settings_of(kind: type, text: str, name: str) -> Any:
    """Read another file of settings, declared like ours by a dataclass. Raises ConfigError."""
    known = {field.name for field in dataclasses.fields(kind)}
    return _fill(kind, _entries(_composed(text, name), name, "", known), name, "")


def _composed(text: str, name: str) -> yaml.Node | None:
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply") from error
    return root


def _bind(root: yaml.Node | None, name: str, path: Path | None) -> Config:
    sections = {field.name for field in dataclasses.fields(General)} | {"collectors", "exporters"}
    entries = _entries(root, name, "", sections)
    plain = {key: node for key, node in entries.items() if key not in {"collectors", "exporters"}}
    general = _fill(General, plain, name, "")
    _check(general, name, entries)
    collectors = _plugins(entries.get("collectors"), plugins.COLLECTORS, DEFAULT_COLLECTORS, name, general)
    exporters = _plugins(entries.get("exporters"), plugins.EXPORTERS, DEFAULT_EXPORTERS, name, general)
    _give_members(collectors, general, name, entries.get("collectors"))
    return Config(path, general, collectors, exporters)


def _give_members(collectors: dict[str, Any], general: General, name: str, node: yaml.Node | None) -> None:
    """Switch the collector `peers` on, with the members of the rack; without members it has no work."""
    if not general.rack.has_members:
        if PEERS in collectors:
            where = _where(name, node)
            raise ConfigError(f"{where}: collectors.{PEERS}: there are no members; name them in rack.members")
        return
    settings = collectors.get(PEERS)
    if settings is None:
        settings = plugins.load(plugins.COLLECTORS, PEERS).Settings(interval=general.interval)
    rack = general.rack
    collectors[PEERS] = dataclasses.replace(settings, members=rack.members, members_from=rack.members_from)


def _check(general: General, name: str, entries: dict[str, yaml.Node]) -> None:
    """Refuse values that no type forbids."""
    address_of(general.listen, f"{_where(name, entries.get('listen'))}: listen")


def address_of(listen: str, what: str) -> tuple[str, int]:
    """Return host and port of an address to listen on. Raises ConfigError, which begins with `what`."""
    host, colon, port = listen.rpartition(":")
    digits = port.isascii() and port.isdigit()
    if not colon or not host or not digits or int(port) > 65535:  # noqa: PLR2004  (ports are 16 bits)
        raise ConfigError(f"{what}: {listen!r} is not ADDRESS:PORT, e.g. 127.0.0.1:9744")
    return host.strip("[]"), int(port)


def _plugins(
    node: yaml.Node | None, room: str, default: tuple[str, ...], name: str, general: General
) -> dict[str, Any]:
    """Bind the settings of each plug-in that is named; only those are imported."""
    key = room.rpartition(".")[2]
    if node is None:
        entries: dict[str, yaml.Node | None] = dict.fromkeys(default)
    else:
        entries = dict(_entries(node, name, key, set(plugins.names(room))))
    found = {}
    for plugin, settings_node in entries.items():
        kind = plugins.load(room, plugin).Settings
        known = {f.name for f in dataclasses.fields(kind) if "inherited" not in f.metadata}
        inner = _entries(settings_node, name, f"{key}.{plugin}", known)
        settings = _fill(kind, inner, name, f"{key}.{plugin}")
        if "interval" not in inner and any(f.name == "interval" for f in dataclasses.fields(kind)):
            settings = dataclasses.replace(settings, interval=general.interval)
        found[plugin] = settings
    return found


def _entries(node: yaml.Node | None, name: str, prefix: str, known: set[str]) -> dict[str, yaml.Node]:
    """Return the keys of a mapping. Raises ConfigError for an unknown or doubled one."""
    if node is None or _is_null(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{_where(name, node)}: {prefix or 'the file'}: must be a mapping of keys")
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = str(key_node.value)
        dotted = f"{prefix}.{key}" if prefix else key
        if key not in known:
            choices = ", ".join(sorted(known))
            raise ConfigError(f"{_where(name, key_node)}: {dotted}: unknown key; there are: {choices}")
        if key in found:
            raise ConfigError(f"{_where(name, key_node)}: {dotted}: is given twice")
        found[key] = value
    return found


def _is_null(node: yaml.Node) -> bool:
    """Whether a key has no value: it keeps its default."""
    return isinstance(node, yaml.ScalarNode) and str(node.tag).endswith(":null")


def _fill(kind: type, entries: dict[str, yaml.Node], name: str, prefix: str) -> Any:
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
        where = _where(name, next(iter(entries.values()), None))
        raise ConfigError(f"{where}: {prefix}: needs {missing}") from error
    except ValueError as error:
        where = _where(name, next(iter(entries.values()), None))
        raise ConfigError(f"{where}: {prefix}: {error}" if prefix else f"{where}: {error}") from error


def _value(hint: Any, node: yaml.Node, name: str, key: str) -> Any:
    """Convert one node to the type its setting declares."""
    if get_origin(hint) in {typing.Union, types.UnionType}:
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(f"{_where(name, node)}: {key}: must be a list")
        item = get_args(hint)[0]
        return tuple(_value(item, child, name, f"{key}[{i}]") for i, child in enumerate(node.value))
    if dataclasses.is_dataclass(hint):
        plain = next((f.name for f in dataclasses.fields(hint) if f.metadata.get("plain")), None)
        if plain is not None and isinstance(node, yaml.ScalarNode):
            return _fill(hint, {plain: node}, name, key)  # type: ignore[arg-type]  # a class here
        known = {field.name for field in dataclasses.fields(hint)}
        return _fill(hint, _entries(node, name, key, known), name, key)  # type: ignore[arg-type]  # a class here
    return _scalar(hint, node, name, key)


def _scalar(hint: Any, node: yaml.Node, name: str, key: str) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{_where(name, node)}: {key}: must be a single value")
    text = node.value
    try:
        return _convert(hint, node, text)
    except ValueError as error:
        raise ConfigError(f"{_where(name, node)}: {key}: {text!r} {error}") from error


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


def _where(name: str, node: yaml.Node | None) -> str:
    """Return file and line of a node."""
    return name if node is None else f"{name}:{node.start_mark.line + 1}"


def with_window(settings: Config, seconds: float) -> Config:
    """Return the same settings with a shorter window, for a command that looks only briefly."""
    window = Seconds(min(settings.general.window, seconds))
    return dataclasses.replace(settings, general=dataclasses.replace(settings.general, window=window))
