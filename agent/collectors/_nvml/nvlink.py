"""The NVLinks of one GPU, folded: which are up, what went wrong on all of them, and on which most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.collectors._nvml.batch import Batch
from agent.collectors._nvml.fields import Field
from agent.collectors._nvml.links import Links

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.collectors._nvml.library import Library
    from agent.collectors._nvml.often import Answer

EVERY_LINK = 0xFFFFFFFF
KIBI = 1024
TRAFFIC = (
    Field("nvlink_bytes", "tx", 138, EVERY_LINK, 1 / KIBI),
    Field("nvlink_bytes", "rx", 139, EVERY_LINK, 1 / KIBI),
)
"""Of all links in one number; in KiB."""
TRAFFIC_OF_LINK = {"tx": 202, "rx": 204}
"""Of one link, in bytes; for drivers that do not add them up (NVLink 5)."""
COUNT, STATE, SPEED = 91, 165, 164
MEGA = 1e6
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


class NvLinks(Links):
    """What the links of one GPU are asked, and what they last said; used in sampler threads only."""

    most_links = 64  # there are 18 on Hopper and Blackwell
    count = Field("nvlinks", None, COUNT, 0, 1)

    def __init__(self, nvml: Library, *, traffic: bool) -> None:
        """With `traffic` each link is asked for its bytes as well: the driver does not add them up."""
        super().__init__(nvml)
        self._traffic = TRAFFIC_OF_LINK if traffic else {}
        self._tried = 0
        self._counts: dict[tuple[str, str], dict[int, float]] = {}

    def _folded(self, answered: Iterable[tuple[Field, float | None]]) -> Iterable[Answer]:
        states: dict[str, int] = dict.fromkeys(STATES.values(), 0)
        speeds: list[float] = []
        for field, value in answered:
            if value is None:
                continue  # what a link had counted is not less for its silence: the sum keeps it
            if field.number == STATE:
                state = STATES.get(int(value), f"state_{int(value)}")
                states[state] = states.get(state, 0) + 1
            elif field.number == SPEED:
                speeds += [value] if value > 0 else []  # a link that is down has none
            else:
                self._counts.setdefault((field.attribute, str(field.key)), {})[field.scope] = value
        told = any(states.values())
        return (
            *(("nvlinks", state, count) for state, count in states.items() if told),
            ("nvlink_slowest_bytes_per_second", None, min(speeds, default=None)),
            *((attribute, key, sum(by.values())) for (attribute, key), by in self._counts.items()),
            ("nvlink_worst", None, worst_of({key: by for (_, key), by in self._counts.items()})),
        )

    def _probe(self, handle: Any) -> None:
        link, self._tried = self._tried, self._tried + 1
        kept, _ = Batch(self._nvml, handle, self._of_link(link)).probe()
        last = self._tried == self._links
        if any(field.attribute == "nvlink_errors" for field in kept) or last:
            self._take(handle, kept)

    def _of_link(self, link: int) -> Sequence[Field]:
        return (
            Field("nvlinks", None, STATE, link, 1),
            Field("nvlink_slowest_bytes_per_second", None, SPEED, link, 1 / MEGA),
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
