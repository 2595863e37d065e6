"""How to speak to one HTTP source: settings in the form of Prometheus' `http_config`, secrets from files."""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from agent.measure.reading import Reason, SourceError
from agent.measure.settings import setting
from agent.small_file import SmallFileError, read_small, unreadable
from agent.wire.address import require_http

HTTP_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # schemes of authentication, names of headers
MAX_SECRET_BYTES = 64 * 1024  # a token or a password; anything larger is the wrong file


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """Name and password."""

    username: str = setting("", "User name sent with every request.")
    password_file: str = setting("", "File that holds the password; read again when it changes.")


@dataclass(frozen=True, slots=True)
class Authorization:
    """A token in the Authorization header."""

    type: str = setting("Bearer", "Authentication scheme written before the credentials.")
    credentials_file: str = setting("", "File that holds the token or API key; read again when it changes.")


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Whom to trust, and who we are."""

    ca_file: str = setting("", "CA bundle that the server's certificate must lead to; default: the system's.")
    cert_file: str = setting("", "Client certificate, for servers that ask for one.")
    key_file: str = setting("", "Key of the client certificate.")
    server_name: str = setting("", "Name expected in the server's certificate; default: the URL's host.")
    insecure_skip_verify: bool = setting(default=False, doc="Accept any certificate: for trials only.")


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The settings of an HTTP client, named as in Prometheus' `http_config`."""

    basic_auth: BasicAuth | None = setting(None, "Log in with a name and a password.")
    authorization: Authorization | None = setting(None, "Log in with a token (an engine's --api-key).")
    tls_config: TlsConfig | None = setting(None, "Certificates, for https URLs.")
    follow_redirects: bool = setting(
        default=False, doc="Follow redirects; off, because a moved page is usually a wrong page."
    )
    proxy_url: str = setting("", "HTTP proxy to go through; proxies of the environment are not used.")

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.basic_auth and self.authorization:
            raise ValueError("set basic_auth or authorization, not both")
        if self.tls_config and bool(self.tls_config.cert_file) != bool(self.tls_config.key_file):
            raise ValueError("tls_config needs cert_file and key_file together")
        if self.proxy_url:
            require_http(self.proxy_url, "proxy_url")
        if self.basic_auth and ":" in self.basic_auth.username:
            raise ValueError("basic_auth.username: a colon would end it")
        if self.authorization and not HTTP_TOKEN.fullmatch(self.authorization.type):
            raise ValueError(f"authorization.type: {self.authorization.type!a} is not a word such as Bearer")


def http_config_of(settings: HttpConfig) -> dict[str, Any]:
    """Return the settings of the client among others: for what is found, and asked in the same way."""
    return {field.name: getattr(settings, field.name) for field in fields(HttpConfig)}


Stamp = tuple[int, int, int]
"""Time of change, size and inode of a file: when one differs, it is read again."""


class Credentials:
    """Reads secrets and certificates for an HttpConfig, again whenever their files change."""

    def __init__(self) -> None:
        self._secrets: dict[str, tuple[Stamp, str]] = {}
        self._contexts: dict[TlsConfig, tuple[tuple[Stamp, ...], ssl.SSLContext]] = {}

    def header(self, config: HttpConfig) -> str | None:
        """Return the value of the Authorization header, if the settings ask for one."""
        if config.basic_auth is not None:
            auth = config.basic_auth
            password = self.secret(auth.password_file, "basic_auth.password_file")
            pair = f"{auth.username}:{password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        if config.authorization is not None:
            token = self.secret(config.authorization.credentials_file, "authorization.credentials_file")
            return f"{config.authorization.type} {token}"
        return None

    def context(self, tls: TlsConfig) -> ssl.SSLContext:
        """Return the TLS context for these settings, a new one when a file has changed."""
        files = [path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path]
        stamps = tuple(_stamp(path, "tls_config") for path in files)
        known = self._contexts.get(tls)
        if known is not None and known[0] == stamps:
            return known[1]
        context = _tls_context(tls)
        self._contexts[tls] = (stamps, context)
        return context

    def secret(self, path: str, key: str) -> str:
        """Return the line that a file holds; empty without a path. `key` is what errors call it."""
        if not path:
            return ""
        stamp = _stamp(path, key)
        known = self._secrets.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        secret = _read_secret(path, key)
        self._secrets[path] = (stamp, secret)
        return secret


def _stamp(path: str, key: str) -> Stamp:
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        raise _denied(unreadable(path, error), key) from error
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_secret(path: str, key: str) -> str:
    try:
        secret = read_small(path, MAX_SECRET_BYTES).decode().strip()
    except SmallFileError as error:
        raise _denied(error, key) from error
    except UnicodeDecodeError as error:
        raise _no_secret(path, key) from error
    if not secret.isprintable():
        raise _no_secret(path, key)
    return secret


def _no_secret(path: str, key: str) -> SourceError:
    return SourceError(Reason.DENIED, f"{key}: {path} does not hold one printable line, and nothing else")


def _denied(error: SmallFileError, key: str) -> SourceError:
    remedy = "it holds one line" if error.too_large else "rackwatt's user must be able to read it"
    return SourceError(Reason.DENIED, f"{key}: {error}; {remedy}")


def _no_pass_phrase() -> NoReturn:
    """Keep OpenSSL from asking the terminal, for which every other source would wait."""
    raise ValueError("the key is encrypted; nobody is there to type a pass phrase")


def _tls_context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_pass_phrase)
    except (OSError, ValueError) as error:
        files = ", ".join(path for path in (tls.ca_file, tls.cert_file, tls.key_file) if path)
        raise SourceError(Reason.DENIED, f"tls_config: cannot use {files}: {error}") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
