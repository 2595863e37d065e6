"""Whose a GPU is: GPU, process, engine instance, deployment, model (T13, T24)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from agent.measure.engine import UNKNOWN_MODEL, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.measure.counting import Instance, Kinds


class Claim(StrEnum):
    """Whether a GPU belongs to a deployment."""

    ATTRIBUTED = "attributed"  # the instances of one deployment hold it
    SHARED = "shared"  # those of several do: nobody knows whose its joules are
    UNATTRIBUTED = "unattributed"  # something computes on it that no known instance claims
    FREE = "free"  # nothing computes on it
    UNKNOWN = "unknown"  # it is not known what computes on it


class Group(NamedTuple):
    """A deployment, and the model that it serves."""

    deployment: str
    model: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose every GPU of a node is, as its instances last told while they are offered."""

    claims: Mapping[str, Claim] = field(default_factory=dict)
    """By UUID."""
    holders: Mapping[str, Group] = field(default_factory=dict)
    """By UUID, of GPUs that are one group's."""
    instances: Mapping[Group, tuple[str, ...]] = field(default_factory=dict)
    """Every group and its instances; of gateways only those that count."""
    several_models: frozenset[Group] = frozenset()
    """Groups whose instances serve more than one model: no joule is one model's own."""
    unattributed: frozenset[Group] = frozenset()
    """Groups of which some GPUs are not known, or are shared."""

    def gpus(self, group: Group) -> frozenset[str]:
        """Return the UUIDs of a group's GPUs."""
        return frozenset(uuid for uuid, holder in self.holders.items() if holder == group)


def attribution_of(
    instances: Mapping[str, Instance], computing: Mapping[str, bool | None], kinds: Mapping[str, Kinds]
) -> Attribution:
    """Tell whose each GPU is; `kinds` is what counts of each instance."""
    by_group: dict[Group, list[str]] = {}
    claimants: dict[str, set[Group]] = {uuid: set() for uuid in computing}
    unattributed, several = set(), set()
    for name, instance in instances.items():
        group = group_of(instance)
        nameless = group.deployment == UNKNOWN_MODEL and instance.gpus is None
        if nameless or (instance.role is Role.GATEWAY and not kinds[name]):
            continue
        by_group.setdefault(group, []).append(name)
        if len(instance.models) > 1:
            several.add(group)
        known = [uuid for uuid in instance.gpus or () if uuid in claimants]
        if instance.gpus is None or len(known) < len(instance.gpus):
            unattributed.add(group)
        for uuid in known:
            claimants[uuid].add(group)
    for groups in claimants.values():
        unattributed |= groups if len(groups) > 1 else set()
    return Attribution(
        claims={uuid: _claim(groups, computing[uuid]) for uuid, groups in claimants.items()},
        holders={uuid: next(iter(groups)) for uuid, groups in claimants.items() if len(groups) == 1},
        instances={group: tuple(names) for group, names in by_group.items()},
        several_models=frozenset(several),
        unattributed=frozenset(unattributed),
    )


def group_of(instance: Instance) -> Group:
    """Return the deployment of an instance: as configured, else it is named after its model."""
    return Group(instance.deployment or instance.model or UNKNOWN_MODEL, instance.model or UNKNOWN_MODEL)


def _claim(groups: set[Group], computes: bool | None) -> Claim:  # noqa: FBT001 - three values, not a switch
    if groups:
        return Claim.ATTRIBUTED if len(groups) == 1 else Claim.SHARED
    if computes is None:
        return Claim.UNKNOWN
    return Claim.UNATTRIBUTED if computes else Claim.FREE
