"""The addresses of pages: whether one can be asked for, and when two are the same."""

from __future__ import annotations

import base64
import functools
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

URL_CHARACTERS = 1024  # a longer one is a mistake, and every message would carry it
DEFAULT_PORTS = {"http": 80, "https": 443}


def require_http(url: str, key: str) -> None:
    """Refuse what can never be asked for. Raises ValueError with a phrase that begins with the key."""
    if len(url) > URL_CHARACTERS:
        raise ValueError(f"{key}: longer than {URL_CHARACTERS} characters")
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is not one, or a bracket is missing
        well_formed = False
    if not well_formed or not url.isprintable() or " " in url:
        raise ValueError(f"{key}: {public(url)!a} is not an http:// or https:// address")


@functools.lru_cache(maxsize=4096)  # a rack daemon names 1,000 again and again
def public(url: str) -> str:
    """Return the address without the name and password that it may carry."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the url"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def carries_login(url: str) -> bool:
    """Whether a name or a password stands in front of the host."""
    return "@" in urlsplit(url).netloc


def login(url: str) -> str:
    """Return the name and password in front of the host, as HTTP sends them; empty without."""
    parts = urlsplit(url)
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def with_path(url: str, path: str) -> str:
    """Return the address with the usual path, when it has none of its own."""
    parts = urlsplit(url)
    return url if parts.path not in ("", "/") else urlunsplit(parts._replace(path=path))


def beside(url: str, table_path: str, path: str) -> str:
    """Return the address of another page of the same server, behind the same proxy's prefix."""
    parts = urlsplit(url)
    prefix = parts.path.removesuffix(table_path) if parts.path.endswith(table_path) else ""
    return urlunsplit(parts._replace(path=prefix + path))


def instances(pages: Sequence[str], usual_paths: Sequence[str]) -> tuple[str, ...]:
    """Name each page's server by host and port; those that share them, by the path as well.

    The plain name is for the page on its usual path, so that another page beside it does not rename it;
    where there is none, for the first. Raises ValueError for a page given twice (T13): the scheme makes no
    difference, since one port speaks only one.
    """
    places = [_place(page) for page in pages]
    paths = [_path_and_query(page) for page in pages]
    seen: dict[tuple[str, str], int] = {}
    plain: dict[str, str] = {}
    for number, whole in enumerate(zip(places, paths, strict=True)):
        if seen.setdefault(whole, number) != number:
            text = f"targets[{number}].url: {pages[number]!a} is the page of targets[{seen[whole]}] again"
            raise ValueError(text)
    for place, path, usual in zip(places, paths, usual_paths, strict=True):
        if path == usual:
            plain.setdefault(place, path)
    for place, path in seen:
        plain.setdefault(place, path)
    return tuple(place if plain[place] == path else place + path for place, path in seen)


def names(page: str) -> tuple[str, str]:
    """Return host and port of a page, and the same with its path."""
    return _place(page), _place(page) + _path_and_query(page)


def _place(url: str) -> str:
    """Return host and port: in lower case, the port always written."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _path_and_query(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
