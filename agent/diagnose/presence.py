"""Whether an engine that does not answer works: by its page, its GPUs, and whether it is offered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.diagnose.signs import are_idle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.diagnose.sample import Sample
    from agent.diagnose.signs import EngineSigns, GpuSigns, NodeSigns, UnitSigns

    Vanished = tuple[tuple[float, EngineSigns], ...]
    """Instances that are no longer offered, and since when."""
    Work = Mapping[int, tuple[float, float]]
    """Of each GPU of a deployment: the power it draws at work, and the share of time it is busy."""

FORGOTTEN_SECONDS = 600.0
"""An instance that vanished is missed for this long; then it was taken away on purpose."""
SILENT_SECONDS = 4.0
"""An engine that did not answer for so long, while its GPUs did nothing, does not work."""
UNSEEN_RATIO = 0.5
"""An engine that has made this share of what is usual while it was taken to be gone was there."""
BUSY_RATIO = 0.7
"""GPUs that draw, and are busy for, at least this share of what was usual work on."""
LEAST_BUSY = 0.1
"""Who was busy for less of the time before is no witness of work."""
RENEWED_SAMPLES = 20
"""What is usual is the mean of about so many."""


def present(
    samples: tuple[Sample, ...], vanished: Vanished, work: Work, unit: UnitSigns, node: NodeSigns
) -> tuple[tuple[EngineSigns, ...], Vanished]:
    """Return the instances there are, those that vanished among them; one that is gone keeps its requests."""
    now, last = node.at.monotonic_seconds, samples[-1].engines if samples else {}
    offered, known = {each.instance for each in unit.engines}, {each.instance: at for at, each in vanished}
    missed = tuple(
        (known.get(name, now), replace(each, up=False, gone=True))
        for name, each in last.items()
        if name not in offered and now - known.get(name, now) < FORGOTTEN_SECONDS
    )
    silent = _were_busy(work) and _is_silent(samples, unit, now)
    unseen = works_unseen(work, unit, node)
    told = [
        _carried(_judged(each, silent=silent, unseen=unseen), last.get(each.instance))
        for each in unit.engines
    ]
    return (*told, *(each for _, each in missed)), missed


def worked(work: Work, sample: Sample) -> Work:
    """Return what is usual of each GPU, after one sample more of engines that work."""
    return {
        gpu.gpu: _nearer(work.get(gpu.gpu), gpu.power_watts, gpu.utilization_ratio)
        for gpu in sample.gpus
        if gpu.power_watts is not None and gpu.utilization_ratio is not None
    }


def _nearer(before: tuple[float, float] | None, watts: float, busy: float) -> tuple[float, float]:
    if before is None:
        return watts, busy
    return (
        before[0] + (watts - before[0]) / RENEWED_SAMPLES,
        before[1] + (busy - before[1]) / RENEWED_SAMPLES,
    )


def works_unseen(work: Work, unit: UnitSigns, node: NodeSigns) -> bool:
    """Whether nothing listens at the page of an engine, and every GPU of the deployment works on as usual.

    Then it is its page that is away: an engine that ends lets go of its GPUs. Where GPUs tell nothing, or
    had nothing to do before, they are no witnesses.
    """
    if not work or not any(each.gone for each in unit.engines):
        return False
    told = {gpu.gpu: gpu for gpu in node.gpus}
    return all(number in told and _is_as_busy(told[number], usual) for number, usual in work.items())


def _is_as_busy(now: GpuSigns, usual: tuple[float, float]) -> bool:
    watts, busy = usual
    if busy < LEAST_BUSY or now.power_watts is None or now.utilization_ratio is None:
        return False
    return now.power_watts >= BUSY_RATIO * watts and now.utilization_ratio >= BUSY_RATIO * busy


def made_unseen(before: Sample, during: Iterable[Sample], usual: Mapping[str, float]) -> float | None:
    """Return the tokens that engines made while they were taken to be gone; None if one may have been.

    Who comes back without having begun anew, and has made about as much as usual, was there all the time. It
    is the first page that is read again which tells: afterwards a pause may have been made up for.
    """
    samples = tuple(during)
    names = {name for each in samples for name in each.gone}
    made = [_made_unseen(before.engines.get(name), samples, name, usual.get(name, 0.0)) for name in names]
    known = [tokens for tokens in made if tokens is not None]
    return sum(known) if known and len(known) == len(names) else None


def _made_unseen(
    last: EngineSigns | None, samples: Sequence[Sample], name: str, usual: float
) -> float | None:
    """Return what one engine made in all the times in which it was taken to be gone; None if it is so now."""
    made, gone = 0.0, False
    for now in (sample.engines.get(name) for sample in samples):
        gone = gone or now is None or now.gone
        if now is None or not now.up:
            continue
        if gone:
            tokens = None if last is None else _tokens_between(last, now, UNSEEN_RATIO * usual)
            if tokens is None:
                return None
            made, gone = made + tokens, False
        last = now
    return None if gone else made


def _tokens_between(before: EngineSigns, now: EngineSigns, least_per_second: float) -> float | None:
    if before.output is None or now.output is None or now.restarts != before.restarts:
        return None
    tokens, seconds = now.output.value - before.output.value, now.output.seconds - before.output.seconds
    return tokens if least_per_second > 0.0 and tokens >= least_per_second * seconds else None


def _were_busy(work: Work) -> bool:
    """Whether idle GPUs say anything: those that had next to nothing to do before look the same at work."""
    return not work or any(busy >= LEAST_BUSY for _, busy in work.values())


def _is_silent(samples: tuple[Sample, ...], unit: UnitSigns, now: float) -> bool:
    """Whether for some time no engine of a deployment answered and none of its GPUs worked."""
    if any(each.up or each.answers for each in unit.engines) or not are_idle(unit.gpus):
        return False
    if samples and any(each.silent for each in samples[-1].engines.values()):
        return True
    earlier = [each for each in samples if each.seconds <= now - SILENT_SECONDS]
    lately = [*earlier[-1:], *(each for each in samples if each.seconds > now - SILENT_SECONDS)]
    return (
        bool(earlier)
        and all(are_idle(each.gpus) for each in lately)
        and not any(engine.up for each in lately for engine in each.engines.values())
        and not _worked_on(samples)
    )


def _worked_on(samples: tuple[Sample, ...]) -> bool:
    """Whether GPUs worked on after the last answer: the page hangs, and the work may have ended."""
    answers = (s.seconds for s in reversed(samples) if any(each.up for each in s.engines.values()))
    last = next(answers, None)
    if last is None:
        return True
    return any(each.seconds > last + SILENT_SECONDS and not are_idle(each.gpus) for each in samples)


def _judged(engine: EngineSigns, *, silent: bool, unseen: bool) -> EngineSigns:
    if engine.gone:
        return replace(engine, gone=not unseen)
    return replace(engine, gone=True, silent=True) if silent else engine


def _carried(now: EngineSigns, before: EngineSigns | None) -> EngineSigns:
    """Give an engine that is gone the requests it had: its clients still want them."""
    if now.up or before is None:
        return now
    return replace(now, running=before.running, waiting=before.waiting, on_finish=before.on_finish)
