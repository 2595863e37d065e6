"""A scenario: the rack, the work offered to it, and what goes wrong; read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from agent import binding
from agent.measure.settings import setting
from agent.twin.events import Event, Kind
from agent.twin.load import Load

SHIPPED = Path(__file__).parent / "scenarios"
MOST_TRAYS = 1024
MOST_GPUS = 64
EVENT_KINDS_OF_LINKS = (Kind.NVLINK,)


class Parallel(StrEnum):
    """How an engine uses its GPUs."""

    DATA = "data"  # a copy of the model on each: a slow or lost GPU costs its own share
    TENSOR = "tensor"  # one model over all: the slowest sets the pace, a lost one ends the engine


@dataclass(frozen=True, slots=True)
class RackShape:
    """`rack`: what it is made of."""

    name: str = setting("twin", "Its name: the chassis serial is made of it.")
    trays: int = setting(18, "Compute trays.")
    gpus_per_tray: int = setting(4, "GPUs of a tray; two make a superchip.")
    engines_per_tray: int = setting(1, "Engines of a tray; they share its GPUs evenly.")
    parallel: Parallel = setting(
        Parallel.DATA, "How an engine uses its GPUs: data (a copy on each) or tensor (one over all)."
    )
    models: tuple[str, ...] = setting(
        ("meta-llama/Llama-2-70b-chat-hf",), "Served models: the first tray serves the first, and so round."
    )
    tokens_per_second: float = setting(60_000.0, "Output tokens of a healthy tray under full load.")
    tray_tokens_per_second: tuple[float, ...] = setting(
        (), "The same for each tray, where they differ; as many as there are trays."
    )
    busy_watts: float = setting(1_250.0, "What a GPU draws under full load at full clocks (assumed).")
    running: int = setting(1_024, "Requests that a tray can serve at once.")
    queue: int = setting(4_096, "Requests that wait at most, per tray; clients give up beyond.")
    output_tokens: int = setting(273, "Output tokens of a request.")
    prompt_tokens: int = setting(256, "Prompt tokens of a request.")
    meters: bool = setting(default=False, doc="Whether trays and rack have power meters of their own.")
    cached_share: float = setting(0.0, "Share of the prompt tokens that come from the prefix cache.")

    def __post_init__(self) -> None:
        """Refuse a rack that cannot be built."""
        for key, most in (
            ("trays", MOST_TRAYS),
            ("gpus_per_tray", MOST_GPUS),
            ("engines_per_tray", MOST_GPUS),
        ):
            if not 1 <= getattr(self, key) <= most:
                raise ValueError(f"{key}: must be from 1 to {most}")
        if self.gpus_per_tray % self.engines_per_tray:
            raise ValueError("engines_per_tray: must divide gpus_per_tray")
        for key in ("tokens_per_second", "busy_watts", "running", "output_tokens"):
            if getattr(self, key) <= 0:
                raise ValueError(f"{key}: must be more than 0")
        if min(self.queue, self.prompt_tokens) < 0:
            raise ValueError("queue, prompt_tokens: must not be negative")
        if not 0 <= self.cached_share <= 1:
            raise ValueError("cached_share: must be from 0 to 1")
        self._check_lists()

    def _check_lists(self) -> None:
        rates = self.tray_tokens_per_second
        if rates and len(rates) != self.trays:
            raise ValueError(f"tray_tokens_per_second: has {len(rates)} items for {self.trays} trays")
        if min(rates, default=1.0) <= 0:
            raise ValueError("tray_tokens_per_second: must be more than 0")
        if not self.models or not all(model and model.isprintable() for model in self.models):
            raise ValueError("models: must be at least one printable name")

    def rate(self, tray: int) -> float:
        """Return the output tokens per second of one healthy tray under full load."""
        return self.tray_tokens_per_second[tray] if self.tray_tokens_per_second else self.tokens_per_second

    def model(self, tray: int) -> str:
        """Return what one tray serves."""
        return self.models[tray % len(self.models)]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario file."""

    name: str = setting("", "Its name; default is the file's.")
    about: str = setting("", "One sentence on what there is to see.")
    seed: int = setting(1, "Everything that looks random depends on this number alone.")
    record: str = setting("", "A published record that the demo's rack daemon compares with.")
    rack: RackShape = setting(RackShape(), "What the rack is made of.")
    load: Load = setting(Load(), "The work that is offered.")
    events: tuple[Event, ...] = setting((), "What happens.")

    def __post_init__(self) -> None:
        """Refuse events whose target does not exist, or that nothing would feel."""
        for place, event in enumerate(self.events):
            for key, count in (
                ("trays", self.rack.trays),
                ("gpus", self.rack.gpus_per_tray),
                ("engines", self.rack.engines_per_tray),
            ):
                wrong = [number for number in getattr(event, key) if not 0 <= number < count]
                if wrong:
                    raise ValueError(f"events[{place}].{key}: no {wrong[0]}; there are 0 to {count - 1}")
            if event.kind in EVENT_KINDS_OF_LINKS and self.rack.parallel is not Parallel.TENSOR:
                raise ValueError(
                    f"events[{place}].kind: {event.kind.value} is felt only with rack.parallel: tensor"
                )


def first_trays(scenario: Scenario, count: int) -> Scenario:
    """Return a rack of the first trays alone, and what happens to them. Raises ConfigError."""
    shape = scenario.rack
    if not 1 <= count <= shape.trays:
        raise binding.ConfigError(f"must be from 1 to {shape.trays}, the trays of scenario {scenario.name}")
    events = [_kept(event, count) for event in scenario.events]
    rates = shape.tray_tokens_per_second[:count]
    return replace(
        scenario,
        rack=replace(shape, trays=count, tray_tokens_per_second=rates),
        events=tuple(event for event in events if event is not None),
    )


def _kept(event: Event, count: int) -> Event | None:
    """Return an event as far as it is about the first trays."""
    trays = tuple(tray for tray in event.trays if tray < count)
    return None if event.trays and not trays else replace(event, trays=trays)


def names() -> tuple[str, ...]:
    """Names of the shipped scenarios."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load(name: str) -> Scenario:
    """Read a shipped scenario or a file. Raises ConfigError."""
    if name in names():
        path = SHIPPED / f"{name}.yaml"
    else:
        path = Path(name)
        if not path.exists():
            raise binding.ConfigError(f"scenario {name!r}: no such file; shipped are: {', '.join(names())}")
    return parse(binding.read_text(path), str(path), path.stem)


def parse(text: str, where: str, name: str = "") -> Scenario:
    """Read a scenario from text; `where` is what errors call it. Raises ConfigError."""
    scenario: Scenario = binding.settings_of(Scenario, text, where)
    return scenario if scenario.name else replace(scenario, name=name)
