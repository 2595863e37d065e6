"""Power and energy of a node at each boundary that is measured, and what is to be known of them (T7)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.measure.energy import Verdict
from agent.measure.gpu import gpu_watts
from agent.measure.snapshot import BoundaryFigures
from agent.measure.validity import Flag, Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.measure.gpu_book import GpuBook, ModuleBook
    from agent.measure.ledger import Ledger
    from agent.measure.node_gpus import NodeGpus
    from agent.measure.series import Series

GPU, MODULE = "gpu", "module"


def boundaries_of(gpus: NodeGpus, ledger: Ledger) -> tuple[BoundaryFigures, ...]:
    """Sum each boundary over the members that report; absent when none does."""
    books, modules = gpus.books, gpus.modules
    watts = [power for book in books if (power := gpu_watts(book.reading)) is not None]
    module_watts = [module.power_watts for module in modules if module.power_watts is not None]
    energies = [book.energy for book in books if book.reports]
    found = []
    if watts:
        holes = [book.energy for book in books if book.integrated_only]
        reasons = gpu_reasons(books) | missing(energies, len(books) + gpus.absent)
        joules, flags = ledger.total(f"boundary/{GPU}"), gpu_flags(books)
        found.append(boundary_of(GPU, gpus, joules, sum(watts), (energies, holes), reasons, flags))
    if module_watts:
        told = [module.energy for module in modules if module.power_watts is not None]
        reasons = module_reasons(books, modules, gpus.absent) | missing(told, len(modules))
        joules, flags = ledger.total(f"boundary/{MODULE}"), frozenset({Flag.INTEGRATED})
        found.append(boundary_of(MODULE, gpus, joules, sum(module_watts), (told, told), reasons, flags))
    return tuple(found)


def doubted(figures: BoundaryFigures) -> BoundaryFigures:
    """Return a boundary on which two meters disagree."""
    return replace(figures, reasons=figures.reasons | {Invalid.METERS_DISAGREE})


def gpu_reasons(gpus: Sequence[GpuBook]) -> frozenset[Invalid]:
    """Tell what speaks against the energy counters of the GPUs."""
    wrong = Verdict.MISMATCH in [book.check.verdict for book in gpus]
    return frozenset({Invalid.COUNTER_POWER_MISMATCH} if wrong else ())


def gpu_flags(gpus: Sequence[GpuBook]) -> frozenset[Flag]:
    """Tell what is to be known of the energy of the GPUs."""
    flags = set()
    if Verdict.UNVERIFIED in [book.check.verdict for book in gpus]:
        flags.add(Flag.UNVERIFIED)
    if [book for book in gpus if book.integrated_only and book.energy.last is not None]:
        flags.add(Flag.INTEGRATED)
    return frozenset(flags)


def module_reasons(
    gpus: Sequence[GpuBook], modules: Sequence[ModuleBook], absent: int = 0
) -> frozenset[Invalid]:
    """Modules are a whole node only when every GPU sits on one: else tokens would outnumber their joules."""
    boards = {module.serial for module in modules}
    whole = not absent and all(book.serial in boards for book in gpus)
    return frozenset(() if whole else {Invalid.MEMBER_MISSING})


def boundary_of(
    boundary: str,
    gpus: NodeGpus,
    joules: float | None,
    watts: float | None,
    series: tuple[Sequence[Series], Sequence[Series]],
    reasons: frozenset[Invalid],
    flags: frozenset[Flag],
    *,
    since: float | None = None,
) -> BoundaryFigures:
    """Return one boundary: `series` of all its meters, and of those with holes; all of it is new `since`."""
    moments = [each.last.seconds for each in series[0] if each.last is not None]
    holes = [each.began for each in series[1] if each.began is not None]
    return BoundaryFigures(
        boundary=boundary,
        source=gpus.source,
        power_watts=watts,
        energy_joules_total=joules,
        at_monotonic_seconds=sum(moments) / len(moments) if moments else None,
        since_monotonic_seconds=max(holes if since is None else [*holes, since], default=None),
        cadence_seconds=gpus.cadence_seconds,
        reasons=reasons,
        flags=flags,
    )


def missing(energies: Sequence[Series], expected: int) -> frozenset[Invalid]:
    """Tell whether the energy of any member is not known now."""
    if len(energies) < expected:
        return frozenset({Invalid.MEMBER_MISSING})
    return frozenset({Invalid.NO_METER} if None in [each.last for each in energies] else ())
