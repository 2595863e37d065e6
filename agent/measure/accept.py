"""HTTP's lists of preferences (Accept, Accept-Encoding), read as far as choosing a form needs."""

from __future__ import annotations


def accepts(header: str, name: str) -> bool:
    """Whether a header names a media type or coding and does not refuse it with q=0."""
    for part in header.split(","):
        named, _, parameters = part.partition(";")
        if named.strip().lower() == name:
            return _quality(parameters) > 0.0
    return False


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0
