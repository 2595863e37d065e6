"""Targets from a server in the form of Prometheus' `http_sd_configs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.discovery.target_groups import MAX_BYTES, endpoints_of
from agent.wire.address import public
from agent.wire.http import Limits

if TYPE_CHECKING:
    from agent.discovery.target_groups import Endpoint
    from agent.wire.discovery_settings import HttpSd
    from agent.wire.http import HttpClient

TIMEOUT_SECONDS = 10.0


async def endpoints(client: HttpClient, settings: HttpSd, refresh_seconds: float) -> tuple[Endpoint, ...]:
    """Ask the server for its targets. Raises SourceError."""
    headers = {
        "Accept": "application/json",
        "X-Prometheus-Refresh-Interval-Seconds": f"{refresh_seconds:g}",
    }
    limits = Limits(TIMEOUT_SECONDS, MAX_BYTES)
    fetched = await client.get(settings.url, limits, headers=headers, config=settings)
    return endpoints_of(fetched.body, public(settings.url), yaml_too=False)
