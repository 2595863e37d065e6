"""The options of `rackwatt top`; every command declares its own at each start, so this loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

DEFAULT_URL = "http://127.0.0.1:9744"
DESCRIPTION = (
    "A rack live in a terminal, asked once a second. Exits 0 when all is well, 1 (with --once) when it "
    "does not answer, members or GPUs are missing, its rate is not valid or an incident stands that is more "
    "than information, and 2 when it was called wrongly."
)
OPTIONS = (
    ("--ca-file", "FILE", "CA bundle that the server's certificate must lead to"),
    ("--cert-file", "FILE", "client certificate, for servers that ask for one"),
    ("--key-file", "FILE", "key of the client certificate"),
    ("--server-name", "NAME", "name expected in the server's certificate; default: the URL's host"),
    ("--username", "NAME", "log in with this name and --password-file"),
    ("--password-file", "FILE", "file that holds the password"),
    ("--credentials-file", "FILE", "file that holds a bearer token"),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare what the command understands."""
    parser.add_argument(
        "url", nargs="?", default=DEFAULT_URL, metavar="URL", help="a node or a rack (default: %(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="print one frame as plain text and leave")
    for flag, value, help_text in OPTIONS:
        parser.add_argument(flag, default="", metavar=value, help=help_text)
    parser.add_argument(
        "--insecure-skip-verify", action="store_true", help="accept any certificate: for trials only"
    )
