"""Alertmanager: sends incidents as alerts, again while they stand, and once more when they are over."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from agent.measure.alerts import Alert, AlertBatch, AlertFeed, Choice, Scope, moment_text
from agent.measure.finding import Finding, Level, problem_of
from agent.measure.incident import Severity
from agent.measure.reading import SourceError
from agent.measure.settings import Seconds, setting
from agent.wire.address import carries_login, public, require_http
from agent.wire.http import HttpClient, Limits
from agent.wire.http_config import HttpConfig
from agent.wire.refusal import is_taken, refusal_of

if TYPE_CHECKING:
    from agent.measure.push import Batch
    from agent.measure.snapshot import Snapshot

PATH = "/api/v2/alerts"
LOOK_SECONDS = 2.0
"""So often it is looked whether there is news; that costs nothing while there is none."""
LEAST_EXPIRY_SECONDS = 300.0
EXPIRY_REPEATS = 5.0
"""An alert that is not repeated for so many repeats, and at least five minutes, is over for the receiver."""
ANSWER_BYTES = 64 * 1024
BUFFER_BYTES = 1024 * 1024
"""One batch waits at most, of a few hundred alerts: each tells everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(HttpConfig):
    """Settings of the Alertmanager exporter; the keys of `http_config` stand beside these."""

    urls: tuple[str, ...] = setting(
        ("http://127.0.0.1:9093",),
        f"Alertmanagers, `{PATH}` is added unless they end so. Name every one of a cluster: each is told.",
    )
    severity: Severity = setting(
        Severity.WARNING, "Incidents below it are not sent: info, warning, critical."
    )
    scope: Scope = setting(
        Scope.AUTO,
        "Whose incidents: `rack` those of the rack that this daemon reckons, `node` its own, `auto` the "
        "rack's where it has members, else its own. Where a node and its rack both send there are two pages.",
    )
    external_url: str = setting("", "Where people reach this daemon's live page; alerts link to it.")
    repeat: Seconds = setting(
        Seconds(60.0),
        "How often an alert that stands is sent again; unless it is, it is over for Alertmanager after five "
        "times as long, at least five minutes.",
    )
    timeout: Seconds = setting(Seconds(10.0), "Deadline of one request.")

    def __post_init__(self) -> None:
        """Refuse what can never be sent."""
        HttpConfig.__post_init__(self)
        if not self.urls:
            raise ValueError("urls: name at least one Alertmanager")
        for url in self.urls:
            require_http(url, "urls")
            if carries_login(url):
                raise ValueError("urls: write name and password under basic_auth, not into the url")
        if self.external_url:
            require_http(self.external_url, "external_url")
        if self.follow_redirects:
            raise ValueError("follow_redirects: what is sent is not sent elsewhere; set the url itself")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where requests go."""
        bases = (url.rstrip("/") for url in self.urls)
        return tuple(base if base.endswith(PATH) else base + PATH for base in bases)


def build(settings: Settings) -> AlertmanagerPusher:
    """Make the exporter."""
    return AlertmanagerPusher(settings)


async def examine(settings: Settings) -> tuple[Finding, ...]:
    """Send no alert, and see whether that is taken."""
    pusher = build(settings)
    try:
        await pusher.send(AlertBatch(b"[]", 0))
    except SourceError as error:
        return (problem_of("alertmanager", error),)
    finally:
        await pusher.close()
    names = ", ".join(map(public, settings.addresses))
    return (Finding(Level.OK, "alertmanager", f"{names} takes alerts"),)


class AlertmanagerPusher:
    """Sends what stands, and what has ended since."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._client = settings, HttpClient()
        choice = Choice(settings.severity, settings.scope, settings.external_url)
        self._feed = AlertFeed(choice, settings.repeat, threading.Lock())
        self.interval_seconds = LOOK_SECONDS
        self.timeout_seconds = settings.timeout
        self.buffer_bytes = BUFFER_BYTES

    def encode(self, snapshot: Snapshot) -> Batch | None:
        """Write down every alert, if there is news or it is time to repeat them."""
        return self._feed.batch(snapshot, self._body)

    def _body(self, alerts: tuple[Alert, ...], now: float) -> bytes:
        expires = now + max(LEAST_EXPIRY_SECONDS, EXPIRY_REPEATS * self._settings.repeat)
        return orjson.dumps([_plain(alert, expires) for alert in alerts])

    async def send(self, batch: Batch) -> int:
        """Tell every Alertmanager; raises PushError or SourceError when none took it."""
        told = await asyncio.gather(
            *(self._post(url, batch.body) for url in self._settings.addresses), return_exceptions=True
        )
        errors = [each for each in told if isinstance(each, BaseException)]
        if len(errors) == len(told):
            raise errors[0]
        self._feed.delivered(batch)
        return 0

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def _post(self, url: str, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        limits = Limits(self._settings.timeout, ANSWER_BYTES)
        posted = await self._client.post(url, body, limits, headers=headers, config=self._settings)
        if not is_taken(posted):
            raise refusal_of(url, posted, "urls and authorization")


def _plain(alert: Alert, expires: float) -> dict[str, object]:
    plain: dict[str, object] = {
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": moment_text(alert.started),
        "endsAt": moment_text(expires if alert.ended is None else alert.ended),
    }
    return plain | ({"generatorURL": alert.link} if alert.link else {})
