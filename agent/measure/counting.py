"""Which tokens count: each one once, on however many pages it shows (T13, T24)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.measure.engine import Role, TokenKind
from agent.measure.quick import quick

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kinds = frozenset[TokenKind]
ALL: Kinds = frozenset(TokenKind)
NONE: Kinds = frozenset()
BY_ROLE: Mapping[Role, Kinds] = {
    Role.UNIFIED: ALL,
    Role.PREFILL: frozenset({TokenKind.PROMPT, TokenKind.PROMPT_CACHED}),
    Role.DECODE: frozenset({TokenKind.OUTPUT}),
    Role.GATEWAY: ALL,  # of one that counts
}
PARTNERS = {Role.PREFILL: Role.DECODE, Role.DECODE: Role.PREFILL}


@quick
@dataclass(frozen=True, slots=True)
class Instance:
    """What decides how much of one instance counts; as it last told."""

    role: Role = Role.UNIFIED
    models: frozenset[str] = frozenset()
    """In lower case; empty while it has told none."""
    counted: bool | None = None
    """As configured; None: by rule."""
    gpus: tuple[str, ...] | None = None
    """UUIDs; None is unknown."""
    spans_nodes: bool | None = None
    deployment: str = ""
    """As configured."""
    model: str = ""
    """The first that it serves, as it writes it; empty while it has told none."""
    tokenless: bool = False
    """It shows no counter of output tokens: a gateway before it tells of them."""

    @property
    def kinds(self) -> Kinds:
        """What counts of it if it counts at all."""
        return NONE if self.counted is False else BY_ROLE[self.role]

    def serves_with(self, other: Instance) -> bool:
        """Whether both are of one deployment, or serve a model in common."""
        configured = bool(self.deployment) and self.deployment == other.deployment
        return configured or not self.models.isdisjoint(other.models)


@dataclass(frozen=True, slots=True)
class Around:
    """What else decides: the GPUs here."""

    computing: Mapping[str, bool | None] = field(default_factory=dict)
    """By UUID: whether processes compute on it; None is unknown."""
    elsewhere: bool = False
    """Processes here work for an engine whose tokens another node shows."""


@dataclass(frozen=True, slots=True)
class Counting:
    """What counts on a node, and what that means for its figures."""

    kinds: Mapping[str, Kinds] = field(default_factory=dict)
    """By instance."""
    zeros: Kinds = NONE
    """Kinds of which this node makes none for certain: zero, not unknown (T4)."""
    spans_nodes: bool = False
    """Tokens that count here are made with GPUs of other nodes too, or GPUs here make tokens that count
    there: only over all of these nodes do tokens and joules belong together (T24)."""
    notes: tuple[str, ...] = ()


def counting_of(
    instances: Mapping[str, Instance], around: Around, before: Mapping[str, Kinds] | None = None
) -> Counting:
    """Decide; where it cannot be decided yet, what was decided `before` stands."""
    kinds, notes = {}, []
    for name, instance in instances.items():
        if instance.role is not Role.GATEWAY:
            kinds[name] = instance.kinds
            continue
        others = [other for key, other in instances.items() if key != name]
        kinds[name], why_not = _gateway(instance, others, around, (before or {}).get(name, NONE))
        if why_not:
            notes.append(f"{name} passes requests on and its tokens are not counted: {why_not}")
    told = [each for name, each in instances.items() if each.role is Role.GATEWAY and kinds[name]]
    for name, instance in instances.items():
        if instance.tokenless and any(gateway.serves_with(instance) for gateway in told):
            kinds[name] = NONE
    counts = [instance for name, instance in instances.items() if kinds[name]]
    return Counting(
        kinds=kinds,
        zeros=_zeros(instances.values(), kinds.values(), around),
        spans_nodes=around.elsewhere or spans(counts),
        notes=tuple(notes),
    )


def _gateway(
    gateway: Instance, others: Iterable[Instance], around: Around, before: Kinds
) -> tuple[Kinds, str]:
    """Tell what counts of a gateway, and why it does not, where a person can do something about it."""
    if gateway.counted is False:
        return NONE, ""
    engines = [other for other in others if other.role is not Role.GATEWAY]
    here = [engine for engine in engines if engine.serves_with(gateway)]
    beside = [engine for engine in here if not engine.tokenless]
    if gateway.counted:
        twice = any(engine.counted is not False for engine in beside)
        return (NONE, "its engines are counted; set `counted: false` for them") if twice else (ALL, "")
    if beside:
        return NONE, ""  # as it should be: the engines are read
    if any(other.role is Role.GATEWAY and other.serves_with(gateway) for other in others):
        return NONE, "another gateway serves the same model; set `counted: true` for one of them"
    if here:
        return ALL, ""  # its engines are here and show no tokens
    unclaimed = _computes_unclaimed(engines, around)
    told = not engines or all((gateway.models, *(engine.models for engine in engines)))
    if unclaimed is None or not told:
        undecided = "it is not known what computes on the GPUs here; read its engines or set `counted: true`"
        return before, "" if before else undecided
    if unclaimed:
        return ALL, ""
    return NONE, "no engine of it computes here; read its engines on their nodes or set `counted: true`"


def _computes_unclaimed(engines: Iterable[Instance], around: Around) -> bool | None:
    """Tell whether processes compute here that are no known engine's; None is unknown."""
    claims = [engine.gpus for engine in engines]
    claimed = {uuid for gpus in claims if gpus is not None for uuid in gpus}
    others = {computes for uuid, computes in around.computing.items() if uuid not in claimed}
    if True in others:
        return None if None in claims else True
    return None if None in others else False


def spans(counts: Iterable[Instance]) -> bool:
    """Tell whether what these count is made with GPUs of other nodes too (T24)."""
    counts = list(counts)
    return any(each.spans_nodes for each in counts) or _is_split(counts)


def _is_split(counts: Iterable[Instance]) -> bool:
    """Tell whether a prefill instance has no decoder here, or a decoder no prefill instance."""
    told = [each for each in counts if each.role in PARTNERS]
    return not all(
        any(other.role is PARTNERS[each.role] and other.serves_with(each) for other in told) for each in told
    )


def _zeros(instances: Iterable[Instance], kinds: Iterable[Kinds], around: Around) -> Kinds:
    """Return the kinds that nothing counts here, if that means that none are made (T4).

    It does where their counting is elsewhere by design, and where nothing computes. A process that nobody
    reads may make any number of tokens.
    """
    uncounted = ALL.difference(*kinds)
    designed = around.elsewhere or any(
        each.role in PARTNERS or each.counted is False or not around.computing for each in instances
    )
    rests = bool(around.computing) and set(around.computing.values()) == {False}
    return uncounted if designed or rests else NONE
