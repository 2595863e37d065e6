"""Log lines for people and machines: level, message, then the facts as key=value; to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/%@+,")


class FactsFormatter(logging.Formatter):
    """Formats `extra=` fields as key=value after the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line (a traceback may follow)."""
        line = super().format(record)
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if not facts:
            return line
        head, newline, rest = line.partition("\n")
        return f"{head} {' '.join(f'{key}={_value(value)}' for key, value in facts.items())}{newline}{rest}"


def _value(value: object) -> str:
    text = str(value)
    return text if text and set(text) <= _PLAIN else json.dumps(text, ensure_ascii=False)


def configure(level: str) -> None:
    """Send logs to stderr; under systemd the journal stamps the time itself."""
    stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FactsFormatter(f"{stamp}%(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
