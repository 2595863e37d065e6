"""One management controller as it is configured."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from agent.collectors._redfish.documents import path_of
from agent.measure.settings import setting
from agent.wire.address import carries_login, require_http
from agent.wire.http_config import HttpConfig
from agent.wire.text import printable

NAME_CHARACTERS = 64


class Boundary(StrEnum):
    """What the power of a target is the power of."""

    NODE = "node"
    RACK = "rack"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(HttpConfig):
    """One management controller (BMC, power shelf, PDU, CDU); keys of `http_config` stand beside these."""

    url: str = setting(
        MISSING, "Address of its Redfish service, e.g. https://bmc-07; may stand alone.", plain=True
    )
    boundary: Boundary = setting(
        Boundary.NODE,
        "What its power is the power of: node (this machine's BMC), rack (on the rack's daemon: power "
        "shelves or PDUs; all targets of the rack are added), none (only its sensors are shown: a CDU).",
    )
    node: str = setting(
        "",
        "On the rack's daemon, with boundary: node: the member whose BMC it is, by its node's name. It is "
        "read here for a node that tells no power of its own.",
    )
    name: str = setting("", "What labels call it; default: host of the url, with the port if one is written.")
    username: str = setting("", "User name; a session is made with it, or each request carries it (basic).")
    password_file: str = setting("", "File that holds the password; read again when it changes.")
    sessions: bool = setting(
        default=True,
        doc="Log in once for a session, which is ended on exit; off: name and password with each request.",
    )
    meter: str = setting(
        "",
        "Path of the resource that measures the boundary, where the choice is wrong: a chassis, its "
        "EnvironmentMetrics, a sensor, a power distribution's Metrics.",
    )

    def __post_init__(self) -> None:
        """Refuse what can never work, or would give secrets away."""
        HttpConfig.__post_init__(self)
        require_http(self.url, "url")
        parts = urlsplit(self.url)
        if carries_login(self.url) or parts.query or parts.fragment or parts.path.strip("/") not in _ROOTS:
            raise ValueError(
                "url: scheme, host and port alone; name and password under username and password_file"
            )
        if self.follow_redirects:
            raise ValueError("follow_redirects: a management controller is asked for nothing elsewhere")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file: set both or none")
        if self.username and (self.basic_auth or self.authorization):
            raise ValueError("username: set it, or basic_auth, or authorization, not several")
        logs_in = self.username or self.basic_auth or self.authorization
        if logs_in and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            raise ValueError("url: over http:// the password would be readable on the way; use https://")
        if self.node and self.boundary is not Boundary.NODE:
            raise ValueError("node: is for boundary: node, the BMC of a member")
        if self.meter and path_of(self.meter) is None:
            raise ValueError(f"meter: {self.meter!a} is no path under /redfish/")

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or printable(urlsplit(self.url).netloc, NAME_CHARACTERS)


_ROOTS = ("", "redfish", "redfish/v1")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
