"""Targets from files in the form of Prometheus' `file_sd_configs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.aside import Aside
from agent.discovery.target_groups import MAX_BYTES, endpoints_of
from agent.measure.reading import Reason, SourceError
from agent.small_file import SmallFileError, read_small

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.discovery.target_groups import Endpoint

MOST_FILES = 64


class FileReader:
    """Reads files beside the event loop, for a file system can hang."""

    def __init__(self) -> None:
        self._aside: Aside[tuple[Endpoint, ...]] = Aside("file-sd")

    async def endpoints(self, patterns: Sequence[str]) -> tuple[Endpoint, ...]:
        """Return the targets in all files. Raises SourceError unless all could be read."""
        return await self._aside.run(lambda: read(patterns))


def read(patterns: Sequence[str]) -> tuple[Endpoint, ...]:
    """Read all files, now. Raises SourceError."""
    found: dict[str, Endpoint] = {}
    for path in _paths(patterns):
        try:
            body = read_small(path, MAX_BYTES)
        except SmallFileError as error:
            reason = Reason.TOO_LARGE if error.too_large else Reason.UNREACHABLE
            raise SourceError(reason, f"{error}; what was known before stays") from error
        endpoints = endpoints_of(body, str(path), yaml_too=path.suffix != ".json")
        found |= {endpoint.url: endpoint for endpoint in endpoints}
    return tuple(found.values())


def _paths(patterns: Sequence[str]) -> list[Path]:
    """Return the files that there are; one without a `*` must exist."""
    paths: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        paths += sorted(path.parent.glob(path.name))[:MOST_FILES] if "*" in path.name else [path]
    return paths
