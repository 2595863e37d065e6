"""Which network interfaces and InfiniBand devices are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

from agent.measure.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Devices:
    """`devices`: which network interfaces and InfiniBand devices are read."""

    include: tuple[str, ...] = setting(
        ("*",), "Names of network interfaces and InfiniBand devices to read; `*` and `?` as in a shell."
    )
    exclude: tuple[str, ...] = setting(
        ("lo", "veth*", "docker*", "br-*", "virbr*", "vnet*", "tap*", "cali*", "cilium*", "lxc*", "flannel*"),
        "… and those of them to leave out.",
    )
    virtual: bool = setting(
        default=False, doc="Also interfaces without hardware behind them: bonds, bridges, VLANs."
    )

    def matcher(self) -> Callable[[str], bool]:
        """Return what tells whether a device of this name is to be read."""
        included, excluded = _any_of(self.include), _any_of(self.exclude)
        return lambda name: bool(included.match(name)) and not excluded.match(name)


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Compile shell patterns into one; of none, what matches nothing."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")
