"""Finds members in Prometheus' discovery forms; what cannot be read changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.discovery import http_sd
from agent.discovery.file_sd import FileReader
from agent.discovery.target_groups import MOST_ENDPOINTS
from agent.measure.reading import Moment, Reading, Reason, SourceError
from agent.wire.http_config import http_config_of
from agent.wire.member_settings import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.measure.snapshot import Snapshot
    from agent.wire.http import HttpClient
    from agent.wire.member_settings import MembersFrom


class Discovery:
    """One source beside those of the members: it reads who they are."""

    name = "peers/members_from"
    timeout_seconds = http_sd.TIMEOUT_SECONDS

    def __init__(
        self, settings: MembersFrom, client: HttpClient, found: Callable[[Sequence[Member]], None]
    ) -> None:
        self.interval_seconds: float = settings.refresh
        self._settings = settings
        self._client = client
        self._found = found
        self._how = http_config_of(settings)
        self._addresses: tuple[str, ...] | None = None
        self._files = FileReader()

    async def close(self) -> None:
        """Do nothing: the connections are the collector's."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - stands alone
        """Read files and server; tell of the members only when all could be read."""
        settings, addresses = self._settings, dict[str, None]()
        if settings.file_sd is not None:
            found = await self._files.endpoints(settings.file_sd.files)
            addresses |= dict.fromkeys(endpoint.address for endpoint in found)
        if settings.http_sd is not None:
            found = await http_sd.endpoints(self._client, settings.http_sd, settings.refresh)
            addresses |= dict.fromkeys(endpoint.address for endpoint in found)
        if len(addresses) > MOST_ENDPOINTS:
            text = f"{len(addresses)} members were found, more than {MOST_ENDPOINTS}; those before stay"
            raise SourceError(Reason.TOO_LARGE, text)
        if tuple(addresses) != self._addresses:
            self._addresses = tuple(addresses)
            self._found([Member(url=address, **self._how) for address in addresses])
        return Reading(self.name, now, notes=() if addresses else ("no members were found",))
