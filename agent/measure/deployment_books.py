"""What the GPUs of each deployment have used, while it served and while it did not (T1)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from agent.measure.attribution import Attribution, Group, attribution_of
from agent.measure.engine import UNKNOWN_MODEL
from agent.measure.node_boundaries import GPU, MODULE
from agent.measure.snapshot import Activity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent.measure.counting import Counting
    from agent.measure.ledger import Ledger
    from agent.measure.node_counting import NodeCounting
    from agent.measure.node_gpus import Added
    from agent.measure.reading import Moment

DEPLOYMENTS, MODELS = "deployment/", "model_energy/"
MAX_GROUPS = 256
"""Deployments named for one node; the joules of further ones are counted under OTHER."""
OTHER = "other"
SERVING, IDLE, UNKNOWN = "serving", "idle", "unknown"
STATES = (SERVING, IDLE, UNKNOWN)


class DeploymentBooks:
    """Books every joule of a GPU to the one deployment that holds it, or to none."""

    def __init__(self, ledger: Ledger) -> None:
        self.attribution = Attribution()
        self.energy: dict[Group, dict[tuple[str, str], float]] = {}
        """Totals of every deployment that ever was, by boundary and state."""
        self.model_energy: dict[tuple[str, str], float] = {}
        """The same by model and boundary, of GPUs that worked for nothing else."""
        self.since: dict[Group, float] = {}
        """Since when each group has had the GPUs and instances that it has."""
        self._ledger = ledger
        self._holders: dict[str, dict[str, Group | None]] = {GPU: {}, MODULE: {}}
        """Whose each GPU and module was when its energy was last read: it must be the same at both ends."""
        self._known: Counting | None = None

    def recall(self) -> None:
        """Take what the ledger keeps."""
        for key in self._ledger.keys(DEPLOYMENTS):
            _, deployment, model, boundary, state = key.split("/", 4)
            of_group = self.energy.setdefault(Group(unquote(deployment), unquote(model)), {})
            of_group[boundary, state] = self._ledger.total(key) or 0.0
        for key in self._ledger.keys(MODELS):
            _, boundary, model = key.split("/", 2)
            self.model_energy[unquote(model), boundary] = self._ledger.total(key) or 0.0

    def learn(self, counting: NodeCounting, seconds: float) -> None:
        """See whose the GPUs are now, if anything was decided anew."""
        if counting.now is self._known:
            return
        self._known = counting.now
        before = self.attribution
        after = attribution_of(counting.instances, counting.computing, counting.now.kinds)
        self.attribution = after
        self.since = {
            group: self.since.get(group, seconds)
            if before.instances.get(group) == names and before.gpus(group) == after.gpus(group)
            else seconds
            for group, names in after.instances.items()
        }

    def book(self, added: Added, activities: Mapping[Group, str], at: Moment) -> None:
        """Book what one reading added."""
        holders = self.attribution.holders
        of_gpus = self._by_group(GPU, added.gpus, holders)
        for group, joules in of_gpus.items():
            self._add(group, GPU, activities.get(group, UNKNOWN), joules, at)
        if added.modules:
            boards = board_holders(added.boards, holders)
            whole = whole_groups(added.boards, holders, boards)
            for group, joules in self._by_group(MODULE, added.modules, boards).items():
                if group in whole:
                    self._add(group, MODULE, activities.get(group, UNKNOWN), joules, at)

    def _by_group(
        self, boundary: str, told: Mapping[str, float], holders: Mapping[str, Group]
    ) -> dict[Group, float]:
        """Add up the joules of those whose holder was the same when they were last read."""
        found: dict[Group, float] = {}
        before = self._holders[boundary]
        for who, joules in told.items():
            group = holders.get(who)
            if group is not None and before.get(who) == group:
                found[group] = found.get(group, 0.0) + joules
            before[who] = group
        return found

    def _add(self, group: Group, boundary: str, state: str, joules: float, at: Moment) -> None:
        if group.model != UNKNOWN_MODEL and group not in self.attribution.several_models:
            model = group.model if self._has_room(group) else OTHER
            key = f"{MODELS}{boundary}/{quote(model, safe='')}"
            self.model_energy[model, boundary] = self._ledger.add(key, joules, at)
        group = group if self._has_room(group) else Group(OTHER, OTHER)
        totals = self.energy.setdefault(group, {})
        prefix = f"{DEPLOYMENTS}{quote(group.deployment, safe='')}/{quote(group.model, safe='')}/{boundary}"
        for each in STATES:
            if each == state or (boundary, each) not in totals:
                more = joules if each == state else 0.0
                totals[boundary, each] = self._ledger.add(f"{prefix}/{each}", more, at)

    def _has_room(self, group: Group) -> bool:
        return group in self.energy or len(self.energy) < MAX_GROUPS


def state_of(activities: Iterable[Activity]) -> str:
    """Tell what the instances of a deployment do together: one that serves makes it serve (T4)."""
    told = set(activities)
    if Activity.SERVING in told:
        return SERVING
    return UNKNOWN if Activity.UNKNOWN in told or not told else IDLE


def board_holders(boards: Mapping[str, str], holders: Mapping[str, Group]) -> dict[str, Group]:
    """Return, by serial, the group that holds every GPU of a board; `boards` names those of each GPU."""
    found: dict[str, set[Group | None]] = {}
    for uuid, serial in boards.items():
        found.setdefault(serial, set()).add(holders.get(uuid))
    return {
        serial: group
        for serial, groups in found.items()
        if len(groups) == 1 and (group := next(iter(groups))) is not None
    }


def whole_groups(
    boards: Mapping[str, str], holders: Mapping[str, Group], of_boards: Mapping[str, Group]
) -> set[Group]:
    """Return the groups of which every GPU sits on a board that is theirs alone."""
    part = {group for uuid, group in holders.items() if of_boards.get(boards.get(uuid, "")) != group}
    return set(of_boards.values()) - part
