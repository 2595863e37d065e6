"""What can go wrong with one request, in our closed list of reasons, each with its remedy."""

from __future__ import annotations

import ssl

from agent.measure.reading import Reason, SourceError
from agent.wire.http_connection import BrokeOffError, HungUpError
from agent.wire.http_dial import NoAddressError, NoConnectionError, ProxyRefusedError
from agent.wire.http_response import BodyTooLargeError, HttpError
from agent.wire.text import words


class RedirectsWithoutEndError(HttpError):
    """One redirect too many."""


_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Reason, str], ...] = (
    (TimeoutError, Reason.TIMED_OUT, "{where} did not answer within {seconds:.3g} s ({phase})"),
    (
        ssl.SSLCertVerificationError,
        Reason.DENIED,
        "{where}: its certificate is not trusted ({why}); set tls_config.ca_file or tls_config.server_name",
    ),
    (
        ssl.SSLError,
        Reason.UNREACHABLE,
        "{where}: TLS failed ({why}); is it https, and does it ask for tls_config.cert_file?",
    ),
    (NoAddressError, Reason.UNREACHABLE, "{where}: no address for its host ({why}); check the url"),
    (
        NoConnectionError,
        Reason.UNREACHABLE,
        "{where}: cannot connect ({why}); is it running, and is the port right?",
    ),
    (ProxyRefusedError, Reason.UNREACHABLE, "{where}: {why}; check proxy_url"),
    (BrokeOffError, Reason.MALFORMED, "{where} broke off ({phase})"),
    ((HungUpError, OSError), Reason.UNREACHABLE, "{where} hung up ({phase}): {why}"),
    (RedirectsWithoutEndError, Reason.UNSUPPORTED, "{where} redirects without end; set the url to the page"),
    (ValueError, Reason.UNSUPPORTED, "{where} cannot be asked for ({why}); check the url"),
    (HttpError, Reason.MALFORMED, "{where} does not speak HTTP as it should: {why}"),
)
"""What connections and the system raise, in our closed list: the first that fits."""


def failure_of(where: str, error: Exception, phase: str, seconds: float, limit_bytes: int) -> SourceError:
    """Return an error of connections or of the system as ours; `phase` is how far the request had come."""
    if isinstance(error, BodyTooLargeError):
        return too_large(where, str(error), limit_bytes)
    if isinstance(error, NoAddressError | NoConnectionError):
        where = "/".join(where.split("/", 3)[:3])  # whatever was asked for: nobody got as far as the path
    reason, text = next((reason, text) for kinds, reason, text in _FAILURES if isinstance(error, kinds))
    return SourceError(reason, text.format(where=where, why=_why(error), phase=phase, seconds=seconds))


def too_large(where: str, what: str, limit_bytes: int) -> SourceError:
    """Return the error for an answer that is more than its limit."""
    text = f"{where} {what}, the limit is {limit_bytes}: hung up; if the page is right, raise max_bytes"
    return SourceError(Reason.TOO_LARGE, text)


def _why(error: Exception) -> str:
    """Return the system's words for an error, on one short line."""
    if isinstance(error, NoAddressError | NoConnectionError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    said = error.strerror if isinstance(error, OSError) else None
    return words(said or str(error) or type(error).__name__)
