"""`rackwatt top`: what its options start."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
from typing import TYPE_CHECKING

from agent.measure.reading import SourceError
from agent.top.ask import Asker, page_url, server_of
from agent.top.frame import found_wrong, frame
from agent.top.head import Status
from agent.wire.http_config import Authorization, BasicAuth, HttpConfig, TlsConfig

if TYPE_CHECKING:
    import argparse

PIPE_COLUMNS = 160
"""Into a pipe nothing need be cut at the width of a screen."""
FINE, FOUND_WRONG, USED_WRONG = 0, 1, 2


def run(options: argparse.Namespace) -> int:
    """Show the rack until told to stop, or once."""
    try:
        url, config = page_url(options.url), http_config(options)
    except ValueError as error:
        return _refused(str(error))
    if options.once:
        return asyncio.run(_once(url, config))
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on stderr
        return _refused("this is no terminal; `rackwatt top --once` prints one frame as plain text")
    try:
        from agent.top.app import TopApp  # noqa: PLC0415 - Textual is an extra, and slow to load
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        return _refused(
            "the live page needs Textual, which is not installed: pip install 'rackwatt[top]'"
            " (`rackwatt top --once` does without it)"
        )
    app = TopApp(url, config)
    app.run()
    return app.return_code or FINE


def http_config(options: argparse.Namespace) -> HttpConfig:
    """Return how to speak to the server. Raises ValueError in the words of the command line."""
    if bool(options.cert_file) != bool(options.key_file):
        raise ValueError("--cert-file and --key-file belong together")
    if bool(options.username) != bool(options.password_file):
        raise ValueError("--username and --password-file belong together")
    if options.username and options.credentials_file:
        raise ValueError("give --username and --password-file, or --credentials-file, not both")
    tls = TlsConfig(
        options.ca_file,
        options.cert_file,
        options.key_file,
        options.server_name,
        options.insecure_skip_verify,
    )
    token = options.credentials_file
    return HttpConfig(
        basic_auth=BasicAuth(options.username, options.password_file) if options.username else None,
        authorization=Authorization(credentials_file=token) if token else None,
        tls_config=tls if tls != TlsConfig() else None,
    )


async def _once(url: str, config: HttpConfig) -> int:
    asker = Asker(url, config)
    try:
        page = await asker.ask()
    except SourceError as error:
        sys.stderr.write(f"rackwatt: {error.detail}\n")
        return FOUND_WRONG
    finally:
        await asker.close()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a pipe in an ASCII locale gets "?" instead of a traceback
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_COLUMNS
    sys.stdout.write(frame(page, Status(server_of(url), 0.0), columns) + "\n")
    return FOUND_WRONG if found_wrong(page) else FINE


def _refused(why: str) -> int:
    sys.stderr.write(f"rackwatt: {why}\n")
    return USED_WRONG
