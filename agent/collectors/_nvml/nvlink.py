"""The NVLinks of one GPU, folded: which are up, what went wrong on all of them, and on which most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.fields import Field
from agent.collectors._nvml.group import check
from agent.collectors._nvml.library import FIELD_VALUES, Code, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.collectors._nvml.library import Library

    Answer = tuple[str, Any, Any]

EVERY_LINK = 0xFFFFFFFF
KIBI = 1024
MOST_LINKS = 64
"""A driver that says more is not believed; there are 18 on Hopper and Blackwell."""
TRAFFIC = (
    Field("nvlink_bytes", "tx", 138, EVERY_LINK, 1 / KIBI),
    Field("nvlink_bytes", "rx", 139, EVERY_LINK, 1 / KIBI),
)
"""Of all links in one number; in KiB."""
TRAFFIC_OF_LINK = {"tx": 202, "rx": 204}
"""Of one link, in bytes; for drivers that do not add them up (NVLink 5)."""
STATE = 165
STATES = {0: "inactive", 1: "active", 2: "sleep", 3: "traffic_disabled"}
ERRORS = {
    "replay": 161,
    "recovery": 162,
    "crc": 163,
    "malformed_packet": 206,
    "buffer_overrun": 207,
    "receive": 208,
    "receive_remote": 209,
    "receive_general": 210,
    "local_link_integrity": 211,
    "transmit_discard": 212,
    "link_recovery_failed": 214,
    "link_recovery": 215,
    "effective": 219,
    "symbol": 221,
}
"""By field: the first three until Hopper, the others from Blackwell on (NVLink 5), where a driver has only
its own. These numbers never moved between drivers. Successful recoveries are in link_recovery."""
TELLING = ("link_recovery", "recovery")
"""What names a failing link: in the field it did so days before the link failed."""


class NvLinks:
    """What the links of one GPU are asked, and what they last said; used in sampler threads only."""

    def __init__(self, nvml: Library, *, traffic: bool) -> None:
        """With `traffic` each link is asked for its bytes as well: the driver does not add them up."""
        self._nvml = nvml
        self._traffic = TRAFFIC_OF_LINK if traffic else {}
        self._batch: Batch | None = None
        self._counts: dict[tuple[str, str], dict[int, float]] = {}

    def ask(self, handle: Any) -> Iterable[Answer]:
        """Ask every link and fold what they say. Raises Refusal of a GPU that has none."""
        if self._batch is None:
            self._batch = self._probed(handle)
        answers, codes = self._batch.ask()
        check(codes)
        states: dict[str, int] = dict.fromkeys(STATES.values(), 0)
        for field, value in zip(self._batch.fields, answers, strict=True):
            if value is None:
                continue  # what a link had counted is not less for its silence: the sum keeps it
            if field.attribute == "nvlinks":
                state = STATES.get(int(value), f"state_{int(value)}")
                states[state] = states.get(state, 0) + 1
            else:
                self._counts.setdefault((field.attribute, str(field.key)), {})[field.scope] = value
        told = any(states.values())
        return (
            *(("nvlinks", state, count) for state, count in states.items() if told),
            *((attribute, key, sum(by.values())) for (attribute, key), by in self._counts.items()),
            ("nvlink_worst", None, worst_of({key: by for (_, key), by in self._counts.items()})),
        )

    def _probed(self, handle: Any) -> Batch:
        """Find out once which fields the links have here."""
        count = Batch(self._nvml, handle, (Field("nvlinks", None, 91, 0, 1),))
        answers, codes = count.ask()
        check(codes)
        links = int(answers[0] or 0)
        if not 0 < links <= MOST_LINKS:
            raise Refusal(codes[0] or Code.NOT_SUPPORTED, FIELD_VALUES)
        for link in range(links):
            kept, _ = Batch(self._nvml, handle, self._of_link(link)).probe()
            if any(field.attribute == "nvlink_errors" for field in kept) or link == links - 1:
                break  # a link that is down may have no counters; the next one tells
        if not kept:
            raise Refusal(Code.NOT_SUPPORTED, FIELD_VALUES)
        known = {field.number for field in kept}
        every = [f for link in range(links) for f in self._of_link(link) if f.number in known]
        return Batch(self._nvml, handle, every)

    def _of_link(self, link: int) -> Sequence[Field]:
        return (
            Field("nvlinks", None, STATE, link, 1),
            *(Field("nvlink_errors", name, number, link, 1) for name, number in ERRORS.items()),
            *(Field("nvlink_bytes", name, number, link, 1) for name, number in self._traffic.items()),
        )


def worst_of(counts: Mapping[str, Mapping[int, float]]) -> tuple[int, int] | None:
    """Return the link that had to recover most often, and how often; None while none had to."""
    for name in TELLING:
        links = counts.get(name, {})
        most = max(links.values(), default=0)
        if most > 0:
            return min(link for link, count in links.items() if count == most), int(most)
    return None
