"""Where targets are found, in Prometheus' forms: settings that racks and collectors share."""

from __future__ import annotations

from dataclasses import MISSING, dataclass

from agent.measure.settings import setting
from agent.wire import address
from agent.wire.http_config import HttpConfig


@dataclass(frozen=True, slots=True)
class FileSd:
    """Files in the form of Prometheus' `file_sd_configs`."""

    files: tuple[str, ...] = setting((), "JSON or YAML files of target groups; `*` in the last part.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSd(HttpConfig):
    """A server in the form of Prometheus' `http_sd_configs`."""

    url: str = setting(MISSING, "Address that answers with target groups as JSON.")

    def __post_init__(self) -> None:
        """Refuse an address that can never be asked for."""
        HttpConfig.__post_init__(self)
        address.require_http(self.url, "url")
