"""Settings of the `engines` collector: which engines there are, and where more are found."""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (settings are read by their types)
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING

from agent import plugins
from agent.collectors._engines import targets
from agent.collectors._engines.mapping import EngineMapping  # noqa: TC001  (the same)
from agent.discovery.kubernetes import KubernetesSd  # noqa: TC001  (settings are read by their types)
from agent.measure.engine import Role  # noqa: TC001  (the same)
from agent.measure.settings import Bytes, Seconds, setting
from agent.wire import address
from agent.wire.discovery_settings import FileSd, HttpSd  # noqa: TC001  (the same)
from agent.wire.http_config import HttpConfig
from agent.wire.text import LABEL_CHARACTERS, printable

if TYPE_CHECKING:
    from agent.measure.engine_table import EngineTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(HttpConfig):
    """One endpoint of a serving engine; the keys of `http_config` stand beside these."""

    url: str = setting(
        MISSING,
        "Where the engine answers; without a path, the engine's usual one is added. The engine is named "
        "host:port; where several targets share those, the one on the usual path is (without one, the "
        "first), and the others' names have the path as well.",
    )
    engine: str = setting("", "Kind of engine; default: found out from its page.")
    model: str = setting("", "Name of the served model; default: as the engine tells it.")
    deployment: str = setting(
        "", "GPUs and instances that serve one model together; default: those of the same model."
    )
    role: Role | None = setting(
        None,
        "What it does for its deployment: prefill, decode, gateway or unified; default: as its page tells, "
        "else unified.",
    )
    counted: bool | None = setting(
        None, "Whether its tokens are the node's; default: a gateway's are not beside those of its engines."
    )
    gpus: tuple[int, ...] = setting(
        (),
        "Numbers of the GPUs that it runs on; default: those that its processes hold, if that can be seen.",
    )

    def __post_init__(self) -> None:
        """Refuse a target that can never be read."""
        HttpConfig.__post_init__(self)
        address.require_http(self.url, "url")
        if address.carries_login(self.url):
            raise ValueError("url: write name and password under basic_auth, not into the url")
        if self.model != printable(self.model):
            raise ValueError(f"model: must be printable and at most {LABEL_CHARACTERS} characters long")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetsFrom(HttpConfig):
    """Where engines are found; the keys of `http_config` are for asking every engine that is found."""

    file_sd: FileSd | None = setting(
        None, "Read them from files; the labels `engine`, `model` and `deployment` are those of a target."
    )
    http_sd: HttpSd | None = setting(None, "Ask a server for them, with the same labels.")
    kubernetes: KubernetesSd | None = setting(
        None, "Ask the cluster for the pods of this node that are to be scraped; names the owners of GPUs."
    )
    refresh: Seconds = setting(Seconds(30.0), "How often files, server and cluster are read again.")

    def __post_init__(self) -> None:
        """Refuse a discovery that can find nothing."""
        HttpConfig.__post_init__(self)
        if self.file_sd is None and self.http_sd is None and self.kubernetes is None:
            raise ValueError("needs file_sd, http_sd or kubernetes")
        if self.file_sd is not None and not self.file_sd.files:
            raise ValueError("file_sd.files: names no file")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the `engines` collector."""

    discover: bool | None = setting(
        None,
        "Find engines by the processes that hold GPUs and what these listen on (docs/discovery.md); default: "
        "where neither `targets` nor `targets_from` is given. Unless it is false, processes also tell which "
        "GPUs are whose.",
    )
    targets: tuple[Target, ...] = setting((), "Endpoints of serving engines.")
    targets_from: TargetsFrom | None = setting(None, "Find them, instead of or beside naming them.")
    mappings: Mapping[str, EngineMapping] = field(
        default_factory=dict,
        metadata={"doc": "Engines that are not known here, by a name of your own (docs/mapping.md)."},
    )
    interval: Seconds = setting(
        Seconds(1.0),
        "How often each engine is read; slower by itself when that costs it more than 1 % of a core.",
    )
    timeout: Seconds = setting(
        Seconds(3.0), "Deadline for everything that one reading of one engine asks for."
    )
    max_bytes: Bytes = setting(Bytes(8 * 1024 * 1024), "Largest page; a larger one is not read to its end.")
    max_lines: int = setting(200_000, "Most lines on a page.")
    max_line_bytes: Bytes = setting(Bytes(64 * 1024), "Longest line on a page.")
    max_series: int = setting(10_000, "Most series of one engine that are of use here.")

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through, and one page counted twice (T13)."""
        for key in ("interval", "timeout", "max_bytes", "max_lines", "max_line_bytes", "max_series"):
            if not 0 < getattr(self, key) < math.inf:
                raise ValueError(f"{key}: must be more than 0")
        instances(self.targets, tables_of(self))

    @property
    def discovers(self) -> bool:
        """Whether the sockets of GPU processes are asked."""
        return not (self.targets or self.targets_from) if self.discover is None else self.discover


def tables_of(settings: Settings) -> tuple[EngineTable, ...]:
    """Return the tables of all engines, those of the user's own first. Raises ValueError."""
    return targets.tables(plugins.engine_tables(), settings.mappings)


def instances(wanted: tuple[Target, ...], tables: tuple[EngineTable, ...]) -> tuple[str, ...]:
    """Name each target. Raises ValueError for one that can never be read, and for a page given twice."""
    found = [targets.checked(number, one.url, one.engine, tables) for number, one in enumerate(wanted)]
    pages = [targets.page_url(one.url, table) for one, table in zip(wanted, found, strict=True)]
    return address.instances(pages, [targets.usual_path(table) for table in found])
