"""An engine that is not there any more, or that came back as a new process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.diagnose.case import Case, Explanation, usual_rates
from agent.diagnose.pressure import oom_kills
from agent.measure.incident import Cause, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator


def explain(case: Case) -> Iterator[Explanation]:
    """Yield what the instances explain that are gone, or have restarted since the gap began."""
    usual = usual_rates(case)
    of_all = sum(usual.values())
    if of_all <= 0.0:
        return
    gone = [name for name in case.during[-1].gone if name in usual]
    if gone:
        yield _told(case, Cause.ENGINE_DOWN, gone, sum(usual[name] for name in gone) / of_all)
    back = [name for name in usual if name not in gone and _restarted(case, name)]
    if back:
        yield _told(case, Cause.ENGINE_RESTART, back, sum(usual[name] for name in back) / of_all)


def _restarted(case: Case, name: str) -> bool:
    before, now = case.before[-1].engines[name], case.during[-1].engines.get(name)
    return now is not None and (
        now.restarts > before.restarts or any(name in each.gone for each in case.during)
    )


def _told(case: Case, cause: Cause, names: list[str], explained: float) -> Explanation:
    now = case.during[-1].engines
    if cause is Cause.ENGINE_RESTART:
        phrase = "was restarted"
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
            "engine_up", case.node, None, 1.0, float(cause is Cause.ENGINE_RESTART), f"engine {name} {phrase}"
        )
        for name in names
    )
    killed = (Evidence("host_oom_kills_total", case.node, None, 0.0, kills, phrase),) if kills else ()
    text = f"engine {', '.join(names)} {phrase}"
    return Explanation(cause, explained, 1.0, text, (*told, *killed), None, names[0])
