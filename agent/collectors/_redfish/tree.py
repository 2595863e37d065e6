"""What one service has that may matter: chassis, power and cooling equipment. Looked at once, then rarely."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.collectors._redfish.documents import at, link, links, name_of, path_of
from agent.collectors._redfish.service import ROOT, NotThereError, expansion, is_root
from agent.measure.reading import Reason, SourceError
from agent.wire.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.collectors._redfish.documents import Document
    from agent.collectors._redfish.service import Service

MOST_REQUESTS = 400
"""A service that needs more to be looked at is a maze; a GB300 tray has about forty chassis."""
MOST_MEMBERS = 256
"""Members of one collection that are looked at."""
MOST_PAGES = 16
ONLY_A_LINK = 1
"""An object with so many keys is a link to a resource, and not the resource."""


@dataclass(frozen=True, slots=True)
class Chassis:
    """One chassis, and what it says of its place."""

    path: str
    name: str
    kind: str
    """ChassisType: RackMount, Sled, Module, Component, Shelf …"""
    inside: str | None
    """Path of the chassis that contains it."""
    contains: tuple[str, ...]
    document: Document


@dataclass(frozen=True, slots=True)
class Equipment:
    """A power shelf, a PDU or a cooling unit."""

    path: str
    name: str
    document: Document


@dataclass(slots=True)
class Tree:
    """Everything that was found."""

    who: str = ""
    """Vendor, product and version, for people."""
    chassis: tuple[Chassis, ...] = ()
    of_systems: frozenset[str] = frozenset()
    """Paths of chassis that a computer system says it is in."""
    shelves: tuple[Equipment, ...] = ()
    pdus: tuple[Equipment, ...] = ()
    cdus: tuple[Equipment, ...] = ()
    reports: tuple[str, ...] = ()
    """Paths of the reports of its telemetry service."""
    trouble: list[SourceError] = field(default_factory=list)
    """What could not be looked at now, though it should be there."""

    def outermost(self, paths: frozenset[str]) -> tuple[Chassis, ...]:
        """Return those that none of the others contains, near or far."""
        held = {path: each.inside for each in self.chassis for path in (each.path,)}
        for each in self.chassis:
            for path in each.contains:
                held[path] = held.get(path) or each.path
        return tuple(
            each for each in self.chassis if each.path in paths and not paths & set(_above(each.path, held))
        )


class Explorer:
    """Asks for each resource once, however it is linked."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tree = Tree()
        self.expand = ""
        self._known: dict[str, Document | None] = {}

    async def get(self, path: str | None) -> Document | None:
        """Return a resource; None where there is none, or where it cannot be had now."""
        if path is None:
            return None
        if path not in self._known:
            self._known[path] = None  # a loop ends here
            self._known[path] = await self._asked(path)
        return self._known[path]

    async def must(self, path: str) -> Document:
        """Return a resource without which nothing is known. Raises SourceError."""
        document = self._known.get(path)
        if document is None:
            document = self._known[path] = await self.service.get(path)
        return document

    async def members(self, path: str | None) -> list[tuple[str, Document]]:
        """Return all members of a collection, each with its path."""
        found: dict[str, Document] = {}
        for _ in range(MOST_PAGES):
            page = await self._page(path)
            for member in _listed(page):
                place = link(member)
                if place is None or place in found or len(found) >= MOST_MEMBERS:
                    continue
                document = member if len(member) > ONLY_A_LINK else await self.get(place)
                if document is not None:
                    found[place] = document
                    self._known[place] = document
            path = path_of(at(page, "Members@odata.nextLink"))
            if path is None:
                break
        return list(found.items())

    async def _page(self, path: str | None) -> Document | None:
        """Return a collection, with its members in it where the service can do that."""
        if path is None or not self.expand or path in self._known:
            return await self.get(path)
        self._known[path] = None
        try:
            self._known[path] = await self._bounded(path, self.expand)
        except SourceError:
            self.expand = ""  # it promises what it cannot do
            self._known[path] = await self._asked(path)
        return self._known[path]

    async def _asked(self, path: str) -> Document | None:
        try:
            return await self._bounded(path)
        except NotThereError:
            return None
        except SourceError as error:
            if error.reason is Reason.DENIED and not isinstance(error, NotThereError):
                raise
            self.tree.trouble.append(error)
            return None

    async def _bounded(self, path: str, query: str = "") -> Document:
        if len(self._known) > MOST_REQUESTS:
            text = f"{self.service.where} has more than {MOST_REQUESTS} resources to look at; set meter"
            raise SourceError(Reason.TOO_LARGE, text)
        return await self.service.get(path, query=query)


async def explore(explorer: Explorer) -> Tree:
    """Look at a service. Raises SourceError when it is none, or does not answer."""
    tree, service = explorer.tree, explorer.service
    root = await explorer.must(ROOT)
    if not is_root(root):
        raise SourceError(
            Reason.MALFORMED, f"{service.where}{ROOT} is no root of a Redfish service; check url"
        )
    tree.who = who(root)
    explorer.expand = expansion(root)
    chassis = await explorer.members(link(root, "Chassis"))
    tree.chassis = tuple(_chassis(*each) for each in chassis)
    if not chassis and tree.trouble:
        raise tree.trouble[0]
    systems = await explorer.members(link(root, "Systems"))
    tree.of_systems = frozenset(path for _, each in systems for path in links(each, "Links", "Chassis"))
    power = await explorer.get(link(root, "PowerEquipment"))
    tree.shelves = await _equipment(explorer, link(power, "PowerShelves"))
    tree.pdus = await _equipment(explorer, link(power, "RackPDUs"))
    cooling = await explorer.get(link(root, "ThermalEquipment"))
    tree.cdus = await _equipment(explorer, link(cooling, "CDUs"))
    telemetry = await explorer.get(link(root, "TelemetryService"))
    reports = await explorer.get(link(telemetry, "MetricReports"))
    tree.reports = tuple(links(reports, "Members"))
    return tree


async def _equipment(explorer: Explorer, path: str | None) -> tuple[Equipment, ...]:
    listed = await explorer.members(path)
    return tuple(Equipment(place, name_of(each, place), each) for place, each in listed)


def _chassis(path: str, document: Document) -> Chassis:
    kind = at(document, "ChassisType")
    return Chassis(
        path=path,
        name=name_of(document, path),
        kind=kind if isinstance(kind, str) else "",
        inside=link(document, "Links", "ContainedBy"),
        contains=tuple(links(document, "Links", "Contains")),
        document=document,
    )


def who(root: Document) -> str:
    """Return how a service introduces itself, for people."""
    told = [at(root, "Vendor"), at(root, "Product"), at(root, "RedfishVersion")]
    said = " ".join(printable(each, 40) for each in told if isinstance(each, str) and each)
    return said or "a service without a name"


def _listed(page: Document | None) -> list[Any]:
    listed = at(page, "Members")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _above(path: str, held: dict[str, str | None]) -> Iterator[str]:
    """Yield what contains a chassis, from the inside out; a ring of them ends where it began."""
    seen = {path}
    above = held.get(path)
    while above is not None and above not in seen:
        yield above
        seen.add(above)
        above = held.get(above)
