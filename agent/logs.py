"""Log lines for people and machines: level, message, then the facts as key=value; to stderr."""

from __future__ import annotations

import json
import logging
import os
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/%@+,")


REPEAT_SECONDS = 60.0


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


class RepeatsFilter(logging.Filter):
    """Lets the same message through only now and then: a library's log must not fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[str, float] = ("", 0.0)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is new, or the last one like it was long enough ago."""
        message, moment = self._last
        if record.getMessage() == message and record.created - moment < REPEAT_SECONDS:
            return False
        self._last = (record.getMessage(), record.created)
        return True


def _value(value: object) -> str:
    text = str(value)
    return text if text and set(text) <= _PLAIN else json.dumps(text, ensure_ascii=False)


def configure(level: str) -> None:
    """Send logs to stderr; under systemd the journal stamps the time itself."""
    stamp = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FactsFormatter(f"{stamp}%(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").addFilter(RepeatsFilter())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
