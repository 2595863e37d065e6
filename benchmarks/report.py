"""What a benchmark says, and how it is printed: a plain table with the method of each figure, or JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADINGS = ("what", "rackwatt", "peer", "peer's", "ratio", "budget", "")
NOTES = (
    "The driver is a no-op double that answers in microseconds: a real one adds its own time.",
    "Times are upper bounds from a machine that does other things as well; compare rows of one run only.",
)


@dataclass(frozen=True, slots=True)
class Budget:
    """What was promised, and whether it was kept."""

    text: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside its peer's."""

    what: str
    value: float
    unit: str
    method: str
    peer: str = ""
    peer_value: float | None = None
    budget: Budget | None = None

    @property
    def ratio(self) -> float | None:
        """Ours as a share of the peer's."""
        return self.value / self.peer_value if self.peer_value else None


def at_most(value: float, limit: float, text: str) -> Budget:
    """Return a budget that a value must not exceed."""
    return Budget(text, value <= limit)


def at_least(value: float, limit: float, text: str) -> Budget:
    """Return a budget that a value must reach."""
    return Budget(text, value >= limit)


def machine() -> dict[str, str]:
    """Say what it was measured on."""
    names = ("nvitop-exporter", "prometheus-client", "aiohttp")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f} before the first benchmark",
        "python": platform.python_version(),
        "kernel": platform.release(),
        **{name: version(name) for name in names},
    }


def as_text(benchmark: str, figures: Sequence[Figure]) -> str:
    """Lay one benchmark's figures out as a table, its methods below."""
    rows = [HEADINGS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in (0, 2, 5) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * len(max(lines, key=len)))
    methods = [f"  {figure.what}: {figure.method}" for figure in figures]
    return "\n".join([f"== {benchmark}", *lines, "method", *methods, ""])


def as_json(facts: dict[str, str], benchmarks: dict[str, Sequence[Figure]]) -> str:
    """Give the same for programs."""
    figures = {
        name: [asdict(figure) | {"ratio": figure.ratio} for figure in of] for name, of in benchmarks.items()
    }
    return json.dumps({"machine": facts, "notes": NOTES, "benchmarks": figures}, indent=2)


def closing(facts: dict[str, str], benchmarks: dict[str, Sequence[Figure]]) -> str:
    """Say on what it was measured, and which budgets were missed."""
    missed = [
        f"{name}: {figure.what}"
        for name, figures in benchmarks.items()
        for figure in figures
        if figure.budget is not None and not figure.budget.kept
    ]
    told = f"missed: {'; '.join(missed)}" if missed else "every budget kept"
    return "\n".join([told, "; ".join(f"{name} {value}" for name, value in facts.items()), *NOTES])


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = figure.ratio
    return (
        figure.what,
        _number(figure.value, figure.unit),
        figure.peer,
        "" if figure.peer_value is None else _number(figure.peer_value, figure.unit),
        "" if ratio is None else f"1/{1 / ratio:.3g}" if 0 < ratio < 1 else f"{ratio:.3g}",
        "" if figure.budget is None else figure.budget.text,
        "" if figure.budget is None else "kept" if figure.budget.kept else "MISSED",
    )


def _number(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"


def _cpu_model() -> str:
    lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
