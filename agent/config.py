"""The settings of the daemon: what keys there are, their defaults, and what no type forbids."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import plugins
from agent.binding import ConfigError, compose, entries_of, fill, read_text, where_of
from agent.measure.gpu_sources import PREFERENCE
from agent.measure.recorder_settings import RecorderSettings
from agent.measure.records import BY_NAME as RECORDS
from agent.measure.settings import Seconds, setting
from agent.measure.site import NO_SITE, Site
from agent.measure.slo import Slo
from agent.wire.member_settings import Member, MembersFrom  # noqa: TC001  (settings are read by their types)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import yaml

DEFAULT_PATH = Path("/etc/rackwatt/rackwatt.yaml")
_LISTEN_REMEDIES = {
    errno.EADDRINUSE: "is rackwatt running already? else stop who has it (ss -ltnp tells), or set listen",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address (ip address lists them): set listen",
    errno.EACCES: "ports below 1024 are not for this user: set listen to a higher one",
}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`node`: who this machine is."""

    name: str = setting("", "Name of this node; default is the host name.")
    gpu_sources: tuple[str, ...] = setting(
        PREFERENCE,
        "Whom to believe of a GPU that several collectors tell of, the first before the others: its power "
        "and counters are of one collector, what that one lacks is filled from the next.",
    )
    gpus: int | None = setting(
        None,
        "GPUs that this node should have. Without it a GPU is missed only after it was once seen here: one "
        "that fell off the bus before is not.",
    )

    def __post_init__(self) -> None:
        """Refuse a node of less than no GPUs."""
        if self.gpus is not None and self.gpus < 0:
            raise ValueError("gpus: must be at least 0")


@dataclass(frozen=True, slots=True)
class ExpectedSettings:
    """`rack.expected`: how large the rack should be."""

    nodes: int | None = setting(
        None, "Nodes that there should be; default, and at least: as many as members."
    )
    gpus: int | None = setting(
        None, "GPUs that there should be; default, and at least: the most that each member has shown."
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
    drained: tuple[str, ...] = setting(
        (),
        "Members that are out on purpose, by name or address; beside them `/api/v1/drain` takes nodes out.",
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
class WebSettings:
    """`web`: who may see our pages."""

    config_file: str = setting(
        "",
        "TLS, client certificates and passwords of the HTTP server, in the form of Prometheus' "
        "exporter-toolkit (docs/security.md); relative to this file.",
    )


@dataclass(frozen=True, slots=True)
class General:
    """Top level of the configuration, without its plug-ins."""

    listen: str = setting("127.0.0.1:9744", "Address and port of the HTTP server.")
    web: WebSettings = setting(WebSettings(), "Who may see its pages.")
    interval: Seconds = setting(Seconds(1.0), "How often collectors read, unless they say otherwise.")
    window: Seconds = setting(
        Seconds(10.0), "Interval that live figures speak of; at least three readings of the slowest source."
    )
    state_dir: str = setting(
        "", "Where totals are kept; default $STATE_DIRECTORY, else $XDG_STATE_HOME/rackwatt."
    )
    node: NodeSettings = setting(NodeSettings(), "Who this machine is.")
    rack: RackSettings = setting(RackSettings(), "Which rack it belongs to.")
    recorder: RecorderSettings = setting(RecorderSettings(), "What is kept of the time around an incident.")
    slo: Slo = setting(
        Slo(), "Limits of latency that clients were promised: how much is kept of it becomes metrics."
    )
    site: Site = setting(NO_SITE, "What energy and GPUs cost here, and what electricity emits.")


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
    def web_config_file(self) -> Path | None:
        """The file that closes our pages; None leaves them open."""
        if not self.general.web.config_file:
            return None
        return (self.path.parent if self.path else Path()) / self.general.web.config_file

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


DEFAULT_COLLECTORS = ("nvml", "host", "engines")
"""What runs without any configuration: each costs next to nothing where there is nothing to read."""
DEFAULT_EXPORTERS = ("prometheus",)
CARBON = "carbon"
"""The collector that tells what electricity emits."""
PEERS = "peers"
"""The collector that `rack.members` switches on."""


def load(path: Path | None) -> Config:
    """Read a configuration; None gives the defaults. Raises ConfigError."""
    if path is None:
        return _bind(None, "defaults", None)
    return parse(read_text(path), str(path), path)


def parse(text: str, name: str, path: Path | None = None) -> Config:
    """Read a configuration from text; `name` is what errors call it. Raises ConfigError."""
    return _bind(compose(text, name), name, path)


def _bind(root: yaml.Node | None, name: str, path: Path | None) -> Config:
    sections = {field.name for field in dataclasses.fields(General)} | {"collectors", "exporters"}
    entries = entries_of(root, name, "", sections)
    plain = {key: node for key, node in entries.items() if key not in {"collectors", "exporters"}}
    general = fill(General, plain, name, "")
    _check(general, name, entries)
    collectors = _plugins(entries.get("collectors"), plugins.COLLECTORS, DEFAULT_COLLECTORS, name, general)
    exporters = _plugins(entries.get("exporters"), plugins.EXPORTERS, DEFAULT_EXPORTERS, name, general)
    _refuse_same_path(exporters, f"{where_of(name, entries.get('exporters'))}: exporters")
    _give_members(collectors, general, name, entries.get("collectors"))
    if CARBON in collectors and general.site.grams_co2e_per_kwh is not None:
        where = where_of(name, entries.get("site"))
        raise ConfigError(
            f"{where}: site.grams_co2e_per_kwh: collectors.{CARBON} tells it; leave one of them out"
        )
    return Config(path, general, collectors, exporters)


def _refuse_same_path(exporters: dict[str, Any], what: str) -> None:
    """Refuse two pages at one place: only one of them would ever be seen."""
    first: dict[str, str] = {}
    for exporter, settings in exporters.items():
        path = getattr(settings, "path", None)
        if path is not None and first.setdefault(path, exporter) != exporter:
            raise ConfigError(f"{what}.{exporter}.path: {path!r} is that of exporters.{first[path]} already")


def _give_members(collectors: dict[str, Any], general: General, name: str, node: yaml.Node | None) -> None:
    """Switch the collector `peers` on, with the members of the rack; without members it has no work."""
    if not general.rack.has_members:
        of_members = [key for key, each in collectors.items() if getattr(each, "of_members", key == PEERS)]
        for key in of_members:
            where = where_of(name, node)
            raise ConfigError(f"{where}: collectors.{key}: there are no members; name them in rack.members")
        return
    settings = collectors.get(PEERS)
    if settings is None:
        settings = plugins.load(plugins.COLLECTORS, PEERS).Settings(interval=general.interval)
    rack = general.rack
    collectors[PEERS] = dataclasses.replace(settings, members=rack.members, members_from=rack.members_from)


def _check(general: General, name: str, entries: dict[str, yaml.Node]) -> None:
    """Refuse values that no type forbids."""
    address_of(general.listen, f"{where_of(name, entries.get('listen'))}: listen")
    zone_of(general.site, f"{where_of(name, entries.get('site'))}: site")
    known = plugins.names(plugins.COLLECTORS)
    for source in general.node.gpu_sources:
        if source not in known:
            where = where_of(name, entries.get("node"))
            raise ConfigError(
                f"{where}: node.gpu_sources: no collector {source!a}; there are: {', '.join(known)}"
            )


def address_of(listen: str, what: str) -> tuple[str, int]:
    """Return host and port of an address to listen on. Raises ConfigError, which begins with `what`."""
    host, colon, port = listen.rpartition(":")
    digits = port.isascii() and port.isdigit()
    if not colon or not host or not digits or int(port) > 65535:  # noqa: PLR2004  (ports are 16 bits)
        raise ConfigError(f"{what}: {listen!r} is not ADDRESS:PORT, e.g. 127.0.0.1:9744")
    return host.strip("[]"), int(port)


def why_not_listening(error: OSError) -> str:
    """Say why an address cannot be listened on; after a semicolon what to do, where that is known."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return f"{error.strerror or error}; write the address in digits"
    remedy = _LISTEN_REMEDIES.get(error.errno)
    return f"{os.strerror(error.errno)}; {remedy}" if remedy else os.strerror(error.errno)


def zone_of(site: Site, what: str = "site") -> ZoneInfo | None:
    """Return whose clock the hours of the tariff are of. Raises ConfigError, which begins with `what`."""
    name = site.tariff.timezone
    if not name:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - only a tariff pays for it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"{what}.tariff.timezone: this machine has no time zone {name!a}; names are such as "
            "Europe/Berlin, and come with the package tzdata"
        ) from None


def _plugins(
    node: yaml.Node | None, room: str, default: tuple[str, ...], name: str, general: General
) -> dict[str, Any]:
    """Bind the settings of each plug-in that is named; only those are imported."""
    key = room.rpartition(".")[2]
    if node is None:
        entries: dict[str, yaml.Node | None] = dict.fromkeys(default)
    else:
        entries = dict(entries_of(node, name, key, set(plugins.names(room))))
    found = {}
    for plugin, settings_node in entries.items():
        kind = plugins.load(room, plugin).Settings
        known = {f.name for f in dataclasses.fields(kind) if "inherited" not in f.metadata}
        inner = entries_of(settings_node, name, f"{key}.{plugin}", known)
        settings = fill(kind, inner, name, f"{key}.{plugin}")
        reads = room == plugins.COLLECTORS and any(map(_follows, dataclasses.fields(kind)))
        if reads and "interval" not in inner:
            settings = dataclasses.replace(settings, interval=general.interval)
        found[plugin] = settings
    return found


def _follows(field: dataclasses.Field[Any]) -> bool:
    """Whether this is an interval that is the daemon's unless it is set."""
    return field.name == "interval" and "own" not in field.metadata


def with_window(settings: Config, seconds: float) -> Config:
    """Return the same settings with a shorter window, for a command that looks only briefly."""
    window = Seconds(min(settings.general.window, seconds))
    return dataclasses.replace(settings, general=dataclasses.replace(settings.general, window=window))
