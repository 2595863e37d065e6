"""What it means that a receiver took nothing: told alike by every exporter that sends."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from agent.measure.push import PushError
from agent.measure.reading import Reason
from agent.wire.address import public

if TYPE_CHECKING:
    from collections.abc import Container

    from agent.wire.http import Posted

LATER = frozenset({408, 425, 429, *range(500, 600)})
"""The receiver is busy or away: the same is sent again …"""
WRONG_DOOR = dict.fromkeys((401, 403, 407), Reason.DENIED) | dict.fromkeys(
    (301, 302, 303, 307, 308, 404, 405), Reason.UNSUPPORTED
)
"""… and with these it was not even looked at: it waits until somebody has mended the settings."""
TOO_LARGE = 413


def is_taken(posted: Posted) -> bool:
    """Whether the receiver took it."""
    return 200 <= posted.status < 300  # noqa: PLR2004  (HTTP's range for it)


def refusal_of(url: str, posted: Posted, check: str, later: Container[int] = LATER) -> PushError:
    """Say what an answer means; `check` are the settings that decide where and how it is sent."""
    said = f"{public(url)} answered {posted.said}"
    if posted.status in later:
        after = _retry_after_seconds(posted.headers.get("retry-after", ""))
        return PushError(Reason.UNREACHABLE, f"{said}; it is sent again", after_seconds=after)
    if posted.status in WRONG_DOOR:
        return PushError(WRONG_DOOR[posted.status], f"{said}; check {check}")
    if posted.status == TOO_LARGE:
        remedy = "raise the receiver's limit of a request"
        return PushError(Reason.TOO_LARGE, f"{said}; {remedy}", again=False)
    return PushError(Reason.MALFORMED, f"{said}; it would not take the same request later", again=False)


def _retry_after_seconds(text: str) -> float | None:
    """Read Retry-After: seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
