"""`rackwatt explain`: what its options start."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import sys
from typing import TYPE_CHECKING

import orjson

from agent.explain.account import Account, NothingFoundError, account_of, account_without
from agent.explain.find import CannotExplainError, Daemon, Found, chosen, from_file
from agent.explain.rack_account import rack_account_of
from agent.explain.text import listed, text_of
from agent.recorder.reading import MOST_PACKED_BYTES
from agent.top.command import http_config

if TYPE_CHECKING:
    import argparse

FINE, FOUND_WRONG, USED_WRONG = 0, 1, 2


def run(options: argparse.Namespace) -> int:
    """Explain, and return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a pipe in an ASCII locale gets "?" instead of a traceback
    try:
        return _run(options)
    except (CannotExplainError, ValueError) as error:
        sys.stderr.write(f"rackwatt: {error}\n")
        wrong = getattr(error, "used_wrong", True)
        return USED_WRONG if wrong else FOUND_WRONG


def _run(options: argparse.Namespace) -> int:
    if not options.what.startswith(("http://", "https://")):
        if options.list or options.incident:
            raise CannotExplainError("--list and --incident are for a URL", used_wrong=True)
        body = sys.stdin.buffer.read(MOST_PACKED_BYTES + 1) if options.what == "-" else None
        return _tell(from_file(options.what, body), as_json=options.json)
    daemon = Daemon(options.what, http_config(options))
    return asyncio.run(_ask(daemon, options))


async def _ask(daemon: Daemon, options: argparse.Namespace) -> int:
    try:
        if daemon.url.endswith("/recording"):
            return _tell(await daemon.named(daemon.url), as_json=options.json)
        incidents = await daemon.incidents()
        if options.list:
            sys.stdout.write("".join(f"{line}\n" for line in listed(incidents)))
            return FINE
        incident = chosen(incidents, options.incident)
        if incident is None and options.incident:
            text = f"{options.incident!a}: there is no such incident; --list shows those there are"
            raise CannotExplainError(text, used_wrong=True)
        if incident is None:
            sys.stdout.write("null\n" if options.json else f"no incident within a day at {daemon.base}\n")
            return FINE
        code = _tell(await daemon.of(incident), as_json=options.json)
    finally:
        await daemon.close()
    if len(incidents) > 1 and not options.json:
        sys.stdout.write(f"{len(incidents) - 1} more: rackwatt explain {daemon.base} --list\n")
    return code


def _tell(found: Found, *, as_json: bool) -> int:
    try:
        account = _account(found)
    except NothingFoundError:
        sys.stdout.write("null\n" if as_json else "nothing is wrong in this recording\n")
        return FINE
    if as_json:
        plain = {**_plain(account), "same": account.same}
        sys.stdout.write(orjson.dumps(plain, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        sys.stdout.write(text_of(account) + "\n")
    return FINE


def _account(found: Found) -> Account:
    if found.recording is not None:
        of_rack = found.recording.scope == "rack"
        account = rack_account_of(found.recording) if of_rack else account_of(found.recording)
        # What the daemon tells now is newer than what it wrote.
        return account if found.incident is None else dataclasses.replace(account, incident=found.incident)
    if found.incident is None:
        raise NothingFoundError
    return account_without(found.incident, found.why)


def _plain(account: Account) -> dict[str, object]:
    return {each.name: getattr(account, each.name) for each in dataclasses.fields(account)}
