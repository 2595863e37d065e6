"""Webhook: posts incidents in the form of Alertmanager's own webhook, where there is no Alertmanager."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from agent.measure.alerts import Alert, AlertFeed, Choice, Scope, moment_text
from agent.measure.finding import Finding, Level
from agent.measure.incident import Severity
from agent.measure.settings import Seconds, setting
from agent.wire.address import carries_login, public, require_http
from agent.wire.http import HttpClient, Limits
from agent.wire.http_config import HttpConfig
from agent.wire.refusal import is_taken, refusal_of

if TYPE_CHECKING:
    from agent.measure.push import Batch
    from agent.measure.snapshot import Snapshot

VERSION = "4"
"""Of the form, as Alertmanager numbers it."""
RECEIVER = "rackwatt"
LOOK_SECONDS = 2.0
ANSWER_BYTES = 64 * 1024
BUFFER_BYTES = 1024 * 1024
NEVER = "0001-01-01T00:00:00Z"
"""How Alertmanager writes the end of what stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(HttpConfig):
    """Settings of the webhook; the keys of `http_config` stand beside these."""

    url: str = setting("http://127.0.0.1:8080/", "Where notifications are posted.")
    severity: Severity = setting(
        Severity.WARNING, "Incidents below it are not sent: info, warning, critical."
    )
    scope: Scope = setting(Scope.AUTO, "Whose incidents: auto, rack or node, as in `exporters.alertmanager`.")
    external_url: str = setting("", "Where people reach this daemon's live page; notifications link to it.")
    repeat: Seconds = setting(
        Seconds(4 * 3600.0),
        "How often what stands is told again; what begins, changes or ends is told at once.",
    )
    timeout: Seconds = setting(Seconds(10.0), "Deadline of one request.")

    def __post_init__(self) -> None:
        """Refuse what can never be sent."""
        HttpConfig.__post_init__(self)
        require_http(self.url, "url")
        if carries_login(self.url):
            raise ValueError("url: write name and password under basic_auth, not into the url")
        if self.external_url:
            require_http(self.external_url, "external_url")
        if self.follow_redirects:
            raise ValueError("follow_redirects: what is sent is not sent elsewhere; set the url itself")


def build(settings: Settings) -> WebhookPusher:
    """Make the exporter."""
    return WebhookPusher(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Say where notifications go; nothing harmless can be sent to see whether they are taken."""
    return (
        Finding(
            Level.NOTE, "webhook", f"incidents are posted to {public(settings.url)}, which was not tried"
        ),
    )


class WebhookPusher:
    """Posts what stands and what has ended, when that changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._client = settings, HttpClient()
        choice = Choice(settings.severity, settings.scope, settings.external_url)
        self._feed = AlertFeed(choice, settings.repeat, threading.Lock())
        self.interval_seconds = LOOK_SECONDS
        self.timeout_seconds = settings.timeout
        self.buffer_bytes = BUFFER_BYTES

    def encode(self, snapshot: Snapshot) -> Batch | None:
        """Write a notification, if there is news or it is time to repeat it."""
        return self._feed.batch(snapshot, self._body)

    def _body(self, alerts: tuple[Alert, ...], now: float) -> bytes:  # noqa: ARG002 - tells no expiry
        return orjson.dumps(_notification(alerts, self._settings.external_url))

    async def send(self, batch: Batch) -> int:
        """Post one notification. Raises PushError, SourceError."""
        url = self._settings.url
        headers = {"Content-Type": "application/json"}
        limits = Limits(self._settings.timeout, ANSWER_BYTES)
        posted = await self._client.post(url, batch.body, limits, headers=headers, config=self._settings)
        if not is_taken(posted):
            raise refusal_of(url, posted, "url and authorization")
        self._feed.delivered(batch)
        return 0

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()


def _notification(alerts: tuple[Alert, ...], page: str) -> dict[str, Any]:
    """Return all alerts as one group, as if they were grouped by rack."""
    group = {"alertname": alerts[0].labels["alertname"]}
    rack = alerts[0].labels.get("rack")
    group |= {"rack": rack} if rack else {}
    key = ",".join(f'{name}="{value}"' for name, value in sorted(group.items()))
    return {
        "version": VERSION,
        "groupKey": f"{{}}:{{{key}}}",
        "truncatedAlerts": 0,
        "status": "firing" if any(alert.ended is None for alert in alerts) else "resolved",
        "receiver": RECEIVER,
        "groupLabels": group,
        "commonLabels": _common([alert.labels for alert in alerts]),
        "commonAnnotations": _common([alert.annotations for alert in alerts]),
        "externalURL": page,
        "alerts": [_plain(alert) for alert in alerts],
    }


def _common(mappings: list[Any]) -> dict[str, str]:
    first, *rest = mappings
    return {name: value for name, value in first.items() if all(each.get(name) == value for each in rest)}


def _plain(alert: Alert) -> dict[str, Any]:
    text = "\xff".join(f"{name}\xff{value}" for name, value in alert.key)
    return {
        "status": "firing" if alert.ended is None else "resolved",
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": moment_text(alert.started),
        "endsAt": NEVER if alert.ended is None else moment_text(alert.ended),
        "generatorURL": alert.link,
        "fingerprint": hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16],
    }
