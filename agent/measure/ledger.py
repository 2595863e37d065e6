"""The book of totals: every counter by its key, kept over restarts of rackwatt and of its sources (T1)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from agent.measure.counters import Counter, Step, advance, begin
from agent.measure.reading import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Entry = list[float | str | None]
"""A counter as kept on disk: total, raw, epoch, seen (Unix seconds), resets."""

MOST = sys.float_info.max


class Ledger:
    """Totals by key. Keys are paths (`gpu/<uuid>/energy_joules`): a prefix names an owner."""

    def __init__(self) -> None:
        self._counters: dict[str, Counter] = {}

    def observe(
        self,
        key: str,
        raw: float,
        at: Moment,
        epoch: str | None = None,
        *,
        from_zero: bool = False,
        restarted: bool = False,
        adopted: bool = False,
        max_rate: float | None = None,
    ) -> Step:
        """Take one raw value; the step says by how much the total grew, and why.

        Raises ValueError for what is no count: it would poison the total and the kept file.
        """
        if not 0.0 <= raw <= MOST:
            _number(raw)  # says what is wrong with it
        known = self._counters.get(key)
        if known is None:
            step = begin(raw, at, epoch, from_zero=from_zero)
        else:
            step = advance(known, raw, at, epoch, restarted=restarted, adopted=adopted, max_rate=max_rate)
        if not step.counter.total <= MOST:
            _number(step.counter.total)
        self._counters[key] = step.counter
        return step

    def add(self, key: str, amount: float, at: Moment) -> float:
        """Grow a total that has no raw counter behind it (an integral); return it.

        Raises ValueError for a sum that is no total: two huge amounts can add up to infinity.
        """
        known = self._counters.get(key)
        total = (known.total if known else 0.0) + amount
        if not 0.0 <= total <= MOST:
            _number(total)
        self._counters[key] = Counter(total, 0.0, None, at.unix_seconds, at.monotonic_seconds)
        return total

    def get(self, key: str) -> Counter | None:
        """Return one counter."""
        return self._counters.get(key)

    def total(self, key: str) -> float | None:
        """Return one total; None when it was never seen."""
        known = self._counters.get(key)
        return None if known is None else known.total

    def keys(self, prefix: str) -> Sequence[str]:
        """List the keys that begin with a prefix; reads the whole book, so not for every tick."""
        return [key for key in self._counters if key.startswith(prefix)]

    def newest_unix_seconds(self, prefix: str) -> float:
        """Return when a counter under this prefix was last observed; minus infinity for never."""
        seen = (c.seen_unix_seconds for key, c in self._counters.items() if key.startswith(prefix))
        return max(seen, default=float("-inf"))

    def newest(self) -> Moment:
        """Return the latest moment at which any counter was observed, on each clock."""
        seen = self._counters.values()
        return Moment(
            max((c.seen_monotonic_seconds or 0.0 for c in seen), default=0.0),
            max((c.seen_unix_seconds for c in seen), default=0.0),
        )

    def unseen_seconds(self, key: str, at: Moment) -> float:
        """Return for how long a counter was not observed; infinite for never.

        By the monotonic clock when this run has observed it, so that a stepped clock does not age it.
        """
        known = self._counters.get(key)
        if known is None:
            return float("inf")
        if known.seen_monotonic_seconds is not None:
            return at.monotonic_seconds - known.seen_monotonic_seconds
        return at.unix_seconds - known.seen_unix_seconds

    def drop(self, keys: Iterable[str]) -> None:
        """Forget counters, totals and all."""
        for key in keys:
            self._counters.pop(key, None)

    def dump(self) -> dict[str, Entry]:
        """Return the book as plain values for the store."""
        return {
            key: [c.total, c.raw, c.epoch, c.seen_unix_seconds, c.resets] for key, c in self._counters.items()
        }

    def load(self, entries: Mapping[str, Entry]) -> None:
        """Take a kept book, all of it or nothing.

        Raises ValueError or TypeError when an entry is not what `dump` writes.
        """
        self._counters |= {str(key): _counter(*entry) for key, entry in dict(entries).items()}


def _counter(
    total: float | str | None,
    raw: float | str | None,
    epoch: float | str | None,
    seen: float | str | None,
    resets: float | str | None,
) -> Counter:
    return Counter(
        total=_number(total),
        raw=_number(raw),
        epoch=None if epoch is None else str(epoch),
        seen_unix_seconds=_number(seen),
        seen_monotonic_seconds=None,
        resets=int(_number(resets)),
    )


def _number(value: float | str | None) -> float:
    """Check one kept number: finite and not negative."""
    try:
        number = float(value)  # type: ignore[arg-type]  # None raises TypeError, which is what load promises
    except OverflowError as error:
        raise ValueError("not a total: an integer beyond every float") from error
    if not 0.0 <= number < float("inf"):
        raise ValueError(f"not a total: {value!r}")
    return number
