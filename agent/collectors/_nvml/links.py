"""Links of one GPU, each asked by itself: how many there are, what they can be asked, and the asking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.group import FATAL, check
from agent.collectors._nvml.library import Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent.collectors._nvml.fields import Field
    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer


class Links(ABC):
    """What the links of one kind are asked, and what they last said; used in sampler threads only."""

    most_links: int
    """A driver that says more is not believed."""
    count: Field
    """How many there are."""

    def __init__(self, nvml: Library) -> None:
        self._nvml = nvml
        self.settled = False
        """It is known what the links can be asked; until then each call finds out a little more."""
        self.refused = 0
        """Why they are not asked, as NVML's code."""
        self._links = 0
        self._batch: Batch | None = None

    def ask(self, handle: Any) -> Iterable[Answer]:
        """Ask every link and fold what they say; nothing until it is known what they can be asked."""
        try:
            if not self.settled:
                self._settle(handle)
                return ()
            if self._batch is None:
                return ()
            answers, codes = self._batch.ask()
        except Refusal as refusal:
            if refusal.code in FATAL:
                raise
            self.settled, self.refused = True, refusal.code  # of all links at once: no field values here
            return ()
        check(codes)
        return self._folded(zip(self._batch.fields, answers, strict=True))

    def _settle(self, handle: Any) -> None:
        """Take one step, one driver call: a GPU whose driver is slow must not pass for one that hangs."""
        if self._links:
            self._probe(handle)
            return
        (count,), (code,) = Batch(self._nvml, handle, (self.count,)).ask()
        check((code,))
        if count is not None and 0 < count <= self.most_links:
            self._links = int(count)
        else:
            self.settled, self.refused = True, code or Code.NOT_SUPPORTED

    def _take(self, handle: Any, kept: Iterable[Field]) -> None:
        """Ask every link from now on what one of them could be asked."""
        known = {field.number for field in kept}  # a link that is down may have no counters
        every = [f for link in range(self._links) for f in self._of_link(link) if f.number in known]
        self._batch = Batch(self._nvml, handle, every) if every else None
        self.settled, self.refused = True, 0 if every else Code.NOT_SUPPORTED

    @abstractmethod
    def _probe(self, handle: Any) -> None:
        """Find out, by one link, what can be asked; `_take` it when that is known."""

    @abstractmethod
    def _of_link(self, link: int) -> Sequence[Field]:
        """Return all that one link may be asked."""

    @abstractmethod
    def _folded(self, answered: Iterable[tuple[Field, float | None]]) -> Iterable[Answer]:
        """Fold what all of them say."""
