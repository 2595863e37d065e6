"""Asks a rack for its page; every failure becomes a sentence in the words of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from agent.measure.reading import SourceError
from agent.top.page import read
from agent.wire.address import carries_login, public, require_http
from agent.wire.http import HttpClient, Limits

if TYPE_CHECKING:
    from agent.top.page import RackPage
    from agent.wire.http_config import HttpConfig

PATH = "/api/v1/rack"
LIMITS = Limits(seconds=5.0, body_bytes=32 * 1024 * 1024)
"""A thousand nodes of eight GPUs are about 4 MB."""
OPTION_WORDS = (
    (
        "authorization.credentials_file (or basic_auth)",
        "--credentials-file (or --username and --password-file)",
    ),
    ("authorization.credentials_file", "--credentials-file"),
    ("basic_auth.password_file", "--password-file"),
    ("tls_config.ca_file", "--ca-file"),
    ("tls_config.cert_file", "--cert-file and --key-file"),
    ("tls_config.server_name", "--server-name"),
    ("tls_config: ", ""),
    ("rackwatt's user must be able to", "you must be able to"),
    ("if the page is right, raise max_bytes", "is it a rackwatt?"),
    ("wrong path, or switched off", "is it a rackwatt, and as new as this one?"),
    (", or follow_redirects", ""),
    ("set the url", "give the URL"),
    ("check the url", "check the URL"),
)
"""What the wire calls a setting, and what it is called here; longer ones first."""


def page_url(given: str) -> str:
    """Return the address of the rack's page for what a person typed. Raises ValueError with a phrase."""
    if carries_login(given):
        raise ValueError("a name or password in the URL would show: use --username and --password-file")
    url = given if "://" in given else f"http://{given}"
    require_http(url, "URL")
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(PATH) else path + PATH, fragment=""))


def server_of(url: str) -> str:
    """Return the address without the page's path: what a person reads."""
    return public(url).removesuffix(PATH)


class Asker:
    """One rack, asked over one connection."""

    def __init__(self, url: str, config: HttpConfig) -> None:
        self._url, self._config = url, config
        self._client = HttpClient()

    async def ask(self) -> RackPage:
        """Return the rack's page. Raises SourceError with a sentence that says what to do."""
        try:
            fetched = await self._client.get(
                self._url, LIMITS, headers={"Accept": "application/json"}, config=self._config
            )
            return read(fetched.body)
        except SourceError as error:
            raise SourceError(error.reason, self._in_words(error.detail)) from error

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    def _in_words(self, detail: str) -> str:
        for setting, option in OPTION_WORDS:
            detail = detail.replace(setting, option)
        where = server_of(self._url)
        return detail.replace(public(self._url), where) if where in detail else f"{where}: {detail}"
