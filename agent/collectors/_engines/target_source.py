"""Finds engines in files, at servers and in the cluster; what cannot be read changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.collectors._engines.settings import Target
from agent.discovery import http_sd, kubernetes
from agent.discovery.file_sd import FileReader
from agent.measure.reading import Moment, Reading
from agent.wire.http_config import http_config_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from agent.collectors._engines.settings import TargetsFrom
    from agent.discovery.kubernetes import Pod
    from agent.discovery.target_groups import Endpoint
    from agent.measure.snapshot import Snapshot
    from agent.wire.http import HttpClient

OWN_LABELS = ("engine", "model", "deployment")
"""Labels that say what a target's settings would."""
TIMEOUT_SECONDS = 12.0


class TargetSource:
    """Reads one list of targets."""

    timeout_seconds = TIMEOUT_SECONDS

    def __init__(
        self, how: str, interval_seconds: float, find: Callable[[], Awaitable[tuple[Target, ...]]]
    ) -> None:
        self.name = f"discovery/{how}"
        self.interval_seconds = interval_seconds
        self.targets: tuple[Target, ...] = ()
        """As last read."""
        self.changed: Callable[[], None] = lambda: None
        self._find = find

    async def close(self) -> None:
        """Do nothing: the connections are the collector's."""

    async def collect(self, now: Moment, seen: Snapshot | None) -> Reading:  # noqa: ARG002 - stands alone
        """Read the list; tell when it has changed."""
        targets = await self._find()
        if targets != self.targets:
            self.targets = targets
            self.changed()
        return Reading(self.name, now, notes=() if targets else (f"{self.name}: no engines were found",))


def sources_of(
    settings: TargetsFrom | None,
    client: HttpClient,
    tell_pods: Callable[[Sequence[Pod]], None],
    engines: frozenset[str],
) -> tuple[TargetSource, ...]:
    """Make a source for each list that is configured; labels may name one of the engines."""
    if settings is None:
        return ()
    files, how = FileReader(), http_config_of(settings)

    def targets(endpoints: Iterable[Endpoint | Pod]) -> tuple[Target, ...]:
        return tuple(_target(each.url, each.labels, how, engines) for each in endpoints if each.url)

    async def of_files() -> tuple[Target, ...]:
        return targets(await files.endpoints(settings.file_sd.files if settings.file_sd else ()))

    async def of_server() -> tuple[Target, ...]:
        if settings.http_sd is None:
            return ()
        return targets(await http_sd.endpoints(client, settings.http_sd, settings.refresh))

    async def of_cluster() -> tuple[Target, ...]:
        if settings.kubernetes is None:
            return ()
        pods = await kubernetes.pods(client, settings.kubernetes)
        tell_pods(pods)
        return targets(pods)

    finders = {"file_sd": of_files, "http_sd": of_server, "kubernetes": of_cluster}
    wanted = {name: find for name, find in finders.items() if getattr(settings, name) is not None}
    return tuple(TargetSource(name, settings.refresh, find) for name, find in wanted.items())


def _target(
    url: str, labels: Mapping[str, str], how: Mapping[str, object], engines: frozenset[str]
) -> Target:
    """Make a target; labels that say something impossible of it are not for us."""
    own = {name: labels[name] for name in OWN_LABELS if labels.get(name)}
    if own.get("engine") not in engines:
        own.pop("engine", None)
    try:
        return Target(url=url, **own, **how)  # type: ignore[arg-type]  # the fields of HttpConfig
    except ValueError:
        return Target(url=url, **how)  # type: ignore[arg-type]  # the same
