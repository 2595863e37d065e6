"""TLS of our own pages: a context made of a tls_server_config, and whose certificate is let in."""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, Any, NoReturn

from agent.measure.settings import WrongSettingError
from agent.small_file import SmallFileError, read_small
from agent.web.web_config import ClientAuthType, Curve, TlsServerConfig, TlsVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_PEM_BYTES = 1024 * 1024
"""A bundle of every public authority is a quarter of it."""
SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Go's names of the suites for TLS 1.2, and OpenSSL's."""
TLS13_SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
"""All of them are on, always, as in Go."""
_CURVES = {Curve.P256: "prime256v1", Curve.P384: "secp384r1", Curve.P521: "secp521r1", Curve.X25519: "X25519"}
_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    ClientAuthType.NO_CLIENT_CERT: ssl.CERT_NONE,
    ClientAuthType.VERIFY_IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuthType.REQUIRE_AND_VERIFY: ssl.CERT_REQUIRED,
}


def server_context(tls: TlsServerConfig, folder: Path) -> ssl.SSLContext:
    """Make the context of a server; files are relative to `folder`. Raises WrongSettingError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _take_certificate(context, tls, folder)
    if tls.client_ca_file:
        _take_authorities(context, folder / tls.client_ca_file)
    context.verify_mode = _VERIFY[tls.client_auth_type]
    if tls.cipher_suites:
        _take_suites(context, tls.cipher_suites)
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(_CURVES[curve])
    return context


def is_allowed(certificate: Any, allowed_sans: tuple[str, ...]) -> bool:
    """Tell whether a verified client's certificate carries one of the names; any does when none is set."""
    if not allowed_sans:
        return True
    return not {_plain_name(name) for name in allowed_sans}.isdisjoint(_names_of(certificate))


def _names_of(certificate: Any) -> Iterator[str]:
    """Yield the alternative names of a certificate, as ssl's getpeercert tells them."""
    for kind, name in (certificate or {}).get("subjectAltName", ()):
        if kind in {"DNS", "IP Address", "email", "URI"}:
            yield _plain_name(str(name).strip())


def _plain_name(name: str) -> str:
    """Return a name, an address in its short form."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _take_certificate(context: ssl.SSLContext, tls: TlsServerConfig, folder: Path) -> None:
    cert, key = folder / tls.cert_file, folder / tls.key_file
    _require_pem(cert, "cert_file")
    _require_pem(key, "key_file")
    try:
        context.load_cert_chain(cert, key, password=_no_pass_phrase)
    except (OSError, ValueError) as error:
        text = f"{cert} and the key in {key} cannot be used together: {_why(error)}"
        raise WrongSettingError(("tls_server_config", "cert_file"), text) from error


def _no_pass_phrase() -> NoReturn:
    """Keep OpenSSL from asking the terminal."""
    raise ValueError("the key is encrypted; nobody is there to type a pass phrase")


def _take_authorities(context: ssl.SSLContext, path: Path) -> None:
    _require_pem(path, "client_ca_file")
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        text = f"{path} holds no certificate: {_why(error)}"
        raise WrongSettingError(("tls_server_config", "client_ca_file"), text) from error


def _take_suites(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    where = ("tls_server_config", "cipher_suites")
    unknown = [name for name in names if name not in SUITES and name not in TLS13_SUITES]
    if unknown:
        raise WrongSettingError(where, f"no suite {unknown[0]!r}; there are: {', '.join(sorted(SUITES))}")
    if not TLS13_SUITES.isdisjoint(names) and not TLS13_SUITES.issubset(names):
        raise WrongSettingError(where, "the suites of TLS 1.3 cannot be chosen: name all three or none")
    wanted = [SUITES[name] for name in names if name in SUITES]
    if not wanted:
        raise WrongSettingError(where, "names none for TLS 1.2; set min_version: TLS13 if that is meant")
    try:
        context.set_ciphers(":".join(wanted))
    except ssl.SSLError as error:
        raise WrongSettingError(where, f"OpenSSL has none of them: {_why(error)}") from error
    missing = set(wanted) - {str(suite["name"]) for suite in context.get_ciphers()}
    if missing:
        raise WrongSettingError(where, f"OpenSSL does not have {', '.join(sorted(missing))}")


def _require_pem(path: Path, key: str) -> None:
    """Refuse a file that cannot be read, or that is no certificate by its size. Raises WrongSettingError."""
    where = ("tls_server_config", key)
    try:
        read_small(path, MOST_PEM_BYTES)
    except SmallFileError as error:
        remedy = "is it a certificate?" if error.too_large else "rackwatt's user must be able to read it"
        raise WrongSettingError(where, f"{error}; {remedy}") from error


def _why(error: Exception) -> str:
    """Return OpenSSL's words without the place in its source."""
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
