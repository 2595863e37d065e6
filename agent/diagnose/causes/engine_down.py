"""An engine that is not there any more, or that came back: as a new process, or as the one that had hung."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, usual_rates
from agent.diagnose.pressure import oom_kills
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the instances explain that are gone, or that are back since the gap began."""
    usual = usual_rates(case)
    of_all = sum(usual.values())
    if of_all <= 0.0:
        return
    gone = [name for name in case.during[-1].gone if name in usual]
    if gone:
        yield _told(case, Cause.ENGINE_DOWN, gone, sum(usual[name] for name in gone) / of_all)
    for cause in (Cause.ENGINE_RESTART, Cause.ENGINE_STALL):
        back = [name for name in usual if name not in gone and _back_from(case, name) is cause]
        if back:
            yield _told(case, cause, back, sum(usual[name] for name in back) / of_all)


def _back_from(case: Case, name: str) -> Cause | None:
    """Return what an instance is back from; None if it was there all the time, or is still not seen."""
    before, now = case.before[-1].engines[name], case.during[-1].engines.get(name)
    away = [each.engines[name] for each in case.during if name in each.gone]
    if now is None or not now.up or not (away or now.restarts > before.restarts):
        return None
    hung = now.restarts == before.restarts and all(each.silent for each in away)
    return Cause.ENGINE_STALL if hung else Cause.ENGINE_RESTART


def _told(case: Case, cause: Cause, names: list[str], explained: float) -> Explanation:
    now = case.during[-1].engines
    if cause is Cause.ENGINE_RESTART:
        phrase = "was restarted"
    elif cause is Cause.ENGINE_STALL:
        phrase = "did not answer, and made nothing, until it went on as the same process"
    elif all(name in now and now[name].silent for name in names):
        phrase = "does not answer, and its GPUs do nothing"
    else:
        phrase = "is gone"
    kills = oom_kills(case) if cause is Cause.ENGINE_DOWN else 0.0
    if kills:
        phrase += "; the kernel killed " + ("a process" if kills == 1.0 else f"{kills:.0f} processes")
        phrase += " for want of memory"
    told = tuple(
        Evidence(
            "engine_up",
            case.node,
            None,
            1.0,
            float(cause is not Cause.ENGINE_DOWN),
            f"engine {name} {phrase}",
        )
        for name in names
    )
    killed = (Evidence("host_oom_kills_total", case.node, None, 0.0, kills, phrase),) if kills else ()
    text = f"engine {', '.join(names)} {phrase}"
    over = cause is not Cause.ENGINE_DOWN
    return Explanation(cause, explained, 1.0, text, (*told, *killed), None, names[0], over=over)
