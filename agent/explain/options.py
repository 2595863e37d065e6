"""The options of `rackwatt explain`; every command declares its own at each start, so this loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.top.options import OPTIONS

if TYPE_CHECKING:
    import argparse

DESCRIPTION = (
    "Tell the story of an incident: what, where, why, what it cost, what else was looked at. From a "
    "recording, which is judged once more, or from a running node or rack. Exits 0 when it was told, 1 when "
    "what was given cannot be read, and 2 when the command was called wrongly."
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare what the command understands."""
    parser.add_argument(
        "what", metavar="FILE|URL", help="a recording (- is standard input), or a node or rack"
    )
    parser.add_argument("--incident", default="", metavar="ID", help="of a URL; default: the newest")
    parser.add_argument("--list", action="store_true", help="list the incidents of a URL and leave")
    parser.add_argument("--json", action="store_true", help="print everything that was found as JSON")
    for flag, value, help_text in OPTIONS:
        parser.add_argument(flag, default="", metavar=value, help=help_text)
    parser.add_argument(
        "--insecure-skip-verify", action="store_true", help="accept any certificate: for trials only"
    )
