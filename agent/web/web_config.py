"""How our own pages are closed: the records of a web-config.yml, as Prometheus' exporter-toolkit has it."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003  (the settings' types are read when they are bound)
from dataclasses import dataclass, field
from enum import StrEnum

from agent.measure.settings import Seconds, WrongSettingError, setting

MOST_USERS = 64
HIGHEST_COST = 16
"""Of a bcrypt hash: about four seconds for a first log-in; each step more doubles it."""
PASSWORD_HASH = re.compile(r"\$2[aby]\$([0-3][0-9])\$[./A-Za-z0-9]{53}")
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""Headers that may be set; where values are listed, only to one of them."""


class ClientAuthType(StrEnum):
    """Whether clients show a certificate."""

    NO_CLIENT_CERT = "NoClientCert"
    VERIFY_IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRE_AND_VERIFY = "RequireAndVerifyClientCert"
    REQUEST = "RequestClientCert"
    REQUIRE_ANY = "RequireAnyClientCert"


class TlsVersion(StrEnum):
    """Versions of TLS."""

    TLS10 = "TLS10"
    TLS11 = "TLS11"
    TLS12 = "TLS12"
    TLS13 = "TLS13"


class Curve(StrEnum):
    """Elliptic curves of a handshake."""

    P256 = "CurveP256"
    P384 = "CurveP384"
    P521 = "CurveP521"
    X25519 = "X25519"


@dataclass(frozen=True, slots=True)
class TlsServerConfig:
    """`tls_server_config`: who we are, and which clients we take."""

    cert_file: str = setting("", "Certificate that we show, with its chain.")
    key_file: str = setting("", "Its key, not encrypted.")
    client_auth_type: ClientAuthType = setting(
        ClientAuthType.NO_CLIENT_CERT, "Whether clients must show a certificate, and whether it is verified."
    )
    client_ca_file: str = setting("", "Authorities that clients' certificates must lead to.")
    client_allowed_sans: tuple[str, ...] = setting(
        (), "Names (DNS, address, e-mail, URI), one of which a client's certificate must carry."
    )
    min_version: TlsVersion = setting(TlsVersion.TLS12, "Oldest version of TLS that is spoken.")
    max_version: TlsVersion = setting(TlsVersion.TLS13, "Newest version of TLS that is spoken.")
    cipher_suites: tuple[str, ...] = setting((), "Suites for TLS 1.2, named as Go names them.")
    prefer_server_cipher_suites: bool = setting(default=True, doc="Our order of suites counts, not theirs.")
    curve_preferences: tuple[Curve, ...] = setting((), "The one curve that handshakes use.")
    cert: str = setting("", "Refused: use cert_file.")
    key: str = field(default="", repr=False, metadata={"doc": "Refused: use key_file."})
    client_ca: str = setting("", "Refused: use client_ca_file.")


@dataclass(frozen=True, slots=True)
class HttpServerConfig:
    """`http_server_config`: how HTTP is spoken."""

    http2: bool = setting(default=False, doc="Only false can be honoured: HTTP/1.1 is spoken.")
    headers: Mapping[str, str] = field(
        default_factory=dict, metadata={"doc": f"Headers of every answer; of {', '.join(HEADERS)}."}
    )


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`rate_limit`: a bucket of requests that fills by one each interval."""

    interval: Seconds | None = setting(None, "Time that one request takes to be allowed again; 0 is off.")
    burst: int = setting(0, "Requests that may come at once.")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """A whole web-config.yml."""

    tls_server_config: TlsServerConfig | None = setting(None, "TLS; without it plain HTTP is spoken.")
    http_server_config: HttpServerConfig = setting(HttpServerConfig(), "How HTTP is spoken.")
    basic_auth_users: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata={"doc": "Names, and bcrypt hashes of their passwords."}
    )
    rate_limit: RateLimit = setting(RateLimit(), "How often requests may come, of all clients together.")


def require_honourable(config: WebConfig) -> None:
    """Refuse what could not be done as it is written. Raises WrongSettingError; never tells a secret."""
    if config.tls_server_config is not None:
        _require_tls(config.tls_server_config)
    _require_http(config.http_server_config)
    _require_users(config.basic_auth_users)
    limit = config.rate_limit
    if limit.interval is not None and limit.burst < 1:
        raise WrongSettingError(("rate_limit", "burst"), "must be at least 1, or no request is ever answered")


def _require_tls(tls: TlsServerConfig) -> None:
    for inline in ("cert", "key", "client_ca"):
        if getattr(tls, inline):
            raise _wrong_tls(inline, f"a PEM text cannot be given here; name a file in {inline}_file")
    for needed in ("cert_file", "key_file"):
        if not getattr(tls, needed):
            raise _wrong_tls(needed, "is needed: TLS takes a certificate and its key")
    _require_client_auth(tls)
    _require_versions(tls)
    if len(tls.curve_preferences) > 1:
        raise _wrong_tls("curve_preferences", "only one curve can be set; name one, or leave the key out")


def _require_versions(tls: TlsServerConfig) -> None:
    for bound in ("min_version", "max_version"):
        if getattr(tls, bound) in (TlsVersion.TLS10, TlsVersion.TLS11):
            raise _wrong_tls(bound, f"{getattr(tls, bound)} is not spoken any more; there are: TLS12, TLS13")
    if tls.min_version > tls.max_version:
        raise _wrong_tls("min_version", f"{tls.min_version} is newer than max_version {tls.max_version}")


def _require_client_auth(tls: TlsServerConfig) -> None:
    kind, key = tls.client_auth_type, "client_auth_type"
    if kind in (ClientAuthType.REQUEST, ClientAuthType.REQUIRE_ANY):
        choices = "NoClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert"
        raise _wrong_tls(key, f"{kind} takes any certificate unverified; there are: {choices}")
    if kind is ClientAuthType.NO_CLIENT_CERT and tls.client_ca_file:
        raise _wrong_tls("client_ca_file", f"is not used with {key} NoClientCert; set {key} as well")
    if kind is not ClientAuthType.NO_CLIENT_CERT and not tls.client_ca_file:
        raise _wrong_tls(key, f"{kind} needs client_ca_file: any public authority would do otherwise")
    if tls.client_allowed_sans and kind is not ClientAuthType.REQUIRE_AND_VERIFY:
        raise _wrong_tls("client_allowed_sans", f"needs {key} RequireAndVerifyClientCert")


def _wrong_tls(key: str, text: str) -> WrongSettingError:
    return WrongSettingError(("tls_server_config", key), text)


def _require_http(http: HttpServerConfig) -> None:
    if http.http2:
        raise WrongSettingError(("http_server_config", "http2"), "is not spoken; set false or leave it out")
    for name, value in http.headers.items():
        where = ("http_server_config", "headers", name)
        if name not in HEADERS:
            raise WrongSettingError(where, f"cannot be set; there are: {', '.join(HEADERS)}")
        if HEADERS[name] and value and value not in HEADERS[name]:
            raise WrongSettingError(where, f"{value!r} is not one of: {', '.join(HEADERS[name])}")
        if not value.isprintable() or not value.isascii():
            raise WrongSettingError(where, "must be one line of ASCII")


def _require_users(users: Mapping[str, str]) -> None:
    if len(users) > MOST_USERS:
        text = f"has more than {MOST_USERS} users; use client certificates instead"
        raise WrongSettingError(("basic_auth_users",), text)
    for name, secret in users.items():
        match = PASSWORD_HASH.fullmatch(secret)
        where = ("basic_auth_users", name)
        if ":" in name or not name:
            raise WrongSettingError(where, "a user's name must not be empty or contain a colon")
        if match is None:
            raise WrongSettingError(where, "is not a bcrypt hash such as $2b$12$ and 53 characters")
        if not 4 <= int(match[1]) <= HIGHEST_COST:  # noqa: PLR2004  (bcrypt's own lowest cost)
            raise WrongSettingError(where, f"cost {int(match[1])} is not between 4 and {HIGHEST_COST}")
