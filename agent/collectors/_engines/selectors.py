"""Series as PromQL selects them, for a mapping: a name, conditions on labels, and sums of such."""

from __future__ import annotations

import re

from agent.measure.engine_table import Term
from agent.wire.page import canonical_name

_METRIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*")
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!=|!~|=)\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*"""
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPED = {"n": "\n", "t": "\t"}
EXAMPLE = 'name{label="value", other=~"pattern"}, or a sum of such with +'


def terms(text: str) -> tuple[Term, ...]:
    """Read a sum of series; an empty text is none. Raises ValueError, which says where it is wrong."""
    found: list[Term] = []
    position = 0
    while position < len(text):
        term, position = _term(text, position)
        found.append(term)
        if position < len(text):
            if text[position] != "+":
                raise _wrong(text, position)
            position += 1
            if not text[position:].strip():
                raise _wrong(text, len(text))
    return tuple(found)


def _term(text: str, position: int) -> tuple[Term, int]:
    """Read one series from a position on; return where it ends."""
    name = _METRIC.match(text, position)
    if name is None:
        raise _wrong(text, position)
    position = name.end()
    where: dict[str, str] = {}
    if text[position : position + 1] == "{":
        position += 1
        while text[position : position + 1] != "}":
            position = _matcher(text, position, where)
        position += 1
    blanks = len(text) - len(text[position:].lstrip()) - position
    return Term(canonical_name(name[1]), where), position + blanks


def _matcher(text: str, position: int, where: dict[str, str]) -> int:
    """Read one condition on a label into `where`; return where it ends."""
    match = _MATCHER.match(text, position)
    if match is None:
        raise _wrong(text, position)
    label, operator, quoted = match.groups()
    if operator in ("!=", "!~"):
        raise ValueError(f"{text!a}: {operator} cannot be asked for; there are = and =~")
    if label in where:
        raise ValueError(f"{text!a}: has {label} twice")
    value = _ESCAPE.sub(lambda escape: _UNESCAPED.get(escape[1], escape[1]), quoted[1:-1])
    where[label] = re.escape(value) if operator == "=" else _pattern(quoted[1:-1], text)
    position = match.end()
    if text[position : position + 1] == ",":
        return position + 1
    if text[position : position + 1] == "}":
        return position
    raise _wrong(text, position)


def _pattern(quoted: str, text: str) -> str:
    pattern = quoted.replace("\\\\", "\\")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{text!a}: {pattern!a} is no pattern: {error}") from error
    return pattern


def require(key: str, text: str, *, needed: bool = False, single: bool = False) -> None:
    """Refuse a setting that is no sum of series, or none, or more than one. Raises ValueError."""
    try:
        found = terms(text)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error
    if needed and not found:
        raise ValueError(f"{key}: names no series")
    if single and len(found) > 1:
        raise ValueError(f"{key}: {text!a} names {len(found)} series; one is what it takes")


def _wrong(text: str, position: int) -> ValueError:
    rest = text[position : position + 20]
    near = f"at {rest!a}" if rest.strip() else "at its end"
    return ValueError(f"{text!a} is wrong {near}; expected {EXAMPLE}")
