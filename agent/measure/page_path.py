"""Where an exporter's page may be: not where the daemon itself answers."""

from __future__ import annotations

RESERVED = ("/", "/-/healthy", "/-/ready", "/api/v1/node", "/api/v1/rack", "/api/v1/drain")
"""Paths of the daemon itself."""


def require_page_path(path: str) -> None:
    """Raise ValueError for a path that nobody could reach."""
    if not path.startswith("/") or set(path) & set("{}?#") or path in RESERVED:
        raise ValueError(f"path: {path!r} must begin with / and not be one of {', '.join(RESERVED)}")
