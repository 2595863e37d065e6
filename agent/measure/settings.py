"""How a plug-in declares its settings: a frozen dataclass whose defaults are the documentation."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NewType

Seconds = NewType("Seconds", float)
"""A duration; written in the configuration as Prometheus does: 500ms, 10s, 1m30s."""

Bytes = NewType("Bytes", int)
"""A size; written in the configuration as 512KiB, 8MiB or a plain number."""


def setting(default: Any, doc: str, *, plain: bool = False, own: bool = False) -> Any:
    """Declare one setting: its default and the sentence that documents it.

    A single value in place of its whole mapping is taken for the one that is `plain`. An interval of its
    `own` has this default whatever the daemon's is.
    """
    metadata = {"doc": doc, "plain": plain} | ({"own": True} if own else {})
    return field(default=default, metadata=metadata)


def inherited(default: Any) -> Any:
    """Declare one that cannot be set under the plug-in: it is filled from another place."""
    return field(default=default, metadata={"inherited": True})


def documented(settings_field: Any) -> str:
    """Return the sentence given to `setting`."""
    return str(settings_field.metadata["doc"])


class WrongSettingError(ValueError):
    """A value that fits its type and still cannot be honoured; knows which key to name."""

    def __init__(self, key: tuple[str, ...], text: str) -> None:
        super().__init__(text)
        self.key = key
        """From the top of the file to the value."""
