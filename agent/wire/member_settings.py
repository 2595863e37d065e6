"""The members of a rack as they are configured: by address, or found in Prometheus' discovery forms."""

from __future__ import annotations

from dataclasses import MISSING, dataclass

from agent.measure.settings import Seconds, setting
from agent.wire import address
from agent.wire.discovery_settings import FileSd, HttpSd  # noqa: TC001  (settings are read by their types)
from agent.wire.http_config import HttpConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(HttpConfig):
    """One node of the rack; the keys of `http_config` stand beside its address."""

    url: str = setting(
        MISSING, "Address of the node's rackwatt, e.g. http://tray-01:9744; may stand alone.", plain=True
    )

    def __post_init__(self) -> None:
        """Refuse an address that can never be asked for."""
        HttpConfig.__post_init__(self)
        address.require_http(self.url, "url")
        if address.carries_login(self.url):
            raise ValueError("url: write name and password under basic_auth, not into the url")


@dataclass(frozen=True, slots=True)
class MembersFrom(HttpConfig):
    """Where members are found; the keys of `http_config` are for asking every member that is found."""

    file_sd: FileSd | None = setting(None, "Read them from files.")
    http_sd: HttpSd | None = setting(None, "Ask a server for them.")
    refresh: Seconds = setting(Seconds(30.0), "How often files and server are read again.")

    def __post_init__(self) -> None:
        """Refuse a discovery that can find nothing."""
        HttpConfig.__post_init__(self)
        if self.file_sd is None and self.http_sd is None:
            raise ValueError("needs file_sd or http_sd")
        if self.file_sd is not None and not self.file_sd.files:
            raise ValueError("file_sd.files: names no file")
