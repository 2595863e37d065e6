"""Pages that arrive whole but hold what a reader must survive: each a pure function of the read's number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LABELS = 'engine="0",model_name="tiny"'
COUNTER = "vllm:generation_tokens_total"
TYPE = f"# HELP {COUNTER} Number of generation tokens processed.\n# TYPE {COUNTER} counter\n"
GAUGES = (
    "# TYPE vllm:num_requests_running gauge\n"
    f"vllm:num_requests_running{{{LABELS}}} 1.0\n"
    "# TYPE vllm:num_requests_waiting gauge\n"
    f"vllm:num_requests_waiting{{{LABELS}}} 0.0\n"
)
FIRST_FALLING = 1_000_000
LONG_LINE_BYTES = 20_000_000
MANY = 1_000_000
LINES_PER_PIECE = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """A bad page: what it is, and its bytes for the n-th read (from 0)."""

    says: str
    body: Callable[[int], bytes]
    content_type: str = PLAIN


def page_with(value: str, labels: str = LABELS) -> bytes:
    """An otherwise good page whose token counter has this value and these labels."""
    return f"{TYPE}{COUNTER}{{{labels}}} {value}\n{GAUGES}".encode()


def _openmetrics(_: int) -> bytes:
    return (
        "# TYPE vllm:generation_tokens counter\n"
        "# HELP vllm:generation_tokens Number of generation tokens processed.\n"
        f'vllm:generation_tokens_total{{{LABELS}}} 4593.0 1795304380.5 # {{trace_id="a b"}} 1.0\n'
        f"vllm:generation_tokens_created{{{LABELS}}} 1795304378.25 1795304380.5\n"
        "# TYPE vllm:time_to_first_token_seconds histogram\n"
        f'vllm:time_to_first_token_seconds_bucket{{{LABELS},le="0.1"}} 3 # {{trace_id="x"}} 0.05 1795304379\n'
        f'vllm:time_to_first_token_seconds_bucket{{{LABELS},le="+Inf"}} 4\n'
        f"vllm:time_to_first_token_seconds_count{{{LABELS}}} 4\n"
        f"vllm:time_to_first_token_seconds_sum{{{LABELS}}} 0.5\n"
        "# TYPE vllm:num_requests_running gauge\n"
        f"vllm:num_requests_running{{{LABELS}}} 1.0\n"
        "# EOF\n"
    ).encode()


def _exemplar_quotes(_: int) -> bytes:
    exemplar = r'# {trace_id="a\"} # c"} 1.0'
    line = f"{COUNTER}{{{LABELS}}} 100.0 {exemplar}\n"
    return f"# TYPE vllm:generation_tokens counter\n{line}# EOF\n".encode()


def _binary(_: int) -> bytes:
    return bytes((7 * n * n + 13 * n) % 256 for n in range(65_536))


def _duplicate(_: int) -> bytes:
    line = f"{COUNTER}{{{LABELS}}}"
    return f"{TYPE}{line} 100.0\n{line} 900.0\n{GAUGES}".encode()


def _html(_: int) -> bytes:
    return (
        b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>\n<h1>Sign in</h1>\n</body></html>\n"
    )


def _long_line(_: int) -> bytes:
    return page_with("5.0", f'{LABELS},x="{"a" * LONG_LINE_BYTES}"')


PAGES: dict[str, Page] = {
    "good": Page("a small good page: 100 tokens", lambda _: page_with("100.0")),
    "counts-up": Page("a good page: 1000 tokens more with each read", lambda n: page_with(f"{1000 * n}.0")),
    "nan": Page("the counter is NaN", lambda _: page_with("NaN")),
    "inf": Page("the counter is +Inf", lambda _: page_with("+Inf")),
    "negative": Page("the counter is -5", lambda _: page_with("-5.0")),
    "falling": Page(
        "the counter falls by 1000 with each read",
        lambda n: page_with(f"{FIRST_FALLING - 1000 * n}.0"),
    ),
    "overflow": Page("the counter is 1e400, beyond a double", lambda _: page_with("1e400")),
    "underscores": Page("a value only Python takes for a number: 1_000", lambda _: page_with("1_000")),
    "not-a-number": Page("the value is a word", lambda _: page_with("many")),
    "no-value": Page("the counter has labels and no value", lambda _: page_with("")),
    "duplicate": Page("one series twice, with 100 and 900", _duplicate),
    "bad-escape": Page(
        r"a label with the escape \q", lambda _: page_with("5.0", r'engine="0",model_name="a\qb"')
    ),
    "unterminated-quote": Page(
        "a label whose quote never closes",
        lambda _: page_with("5.0", 'engine="0",model_name="tiny'),
    ),
    "unterminated-labels": Page(
        "labels whose brace never closes", lambda _: f"{TYPE}{COUNTER}{{{LABELS} 5.0\n".encode()
    ),
    "invalid-utf8": Page(
        "bytes in a label that are not UTF-8",
        lambda _: page_with("5.0").replace(b"tiny", b"t\xff\xfey"),
    ),
    "utf16": Page(
        "UTF-16, declared as such",
        lambda _: page_with("5.0").decode().encode("utf-16"),
        "text/plain; version=0.0.4; charset=utf-16",
    ),
    "unknown-charset": Page(
        "a charset nobody knows", lambda _: page_with("5.0"), "text/plain; charset=klingon"
    ),
    "nul-bytes": Page("NUL bytes between good lines", lambda _: page_with("5.0").replace(b"\n", b"\n\0\0\n")),
    "empty": Page("status 200 and no body", lambda _: b""),
    "html": Page("a sign-in page", _html, "text/html; charset=utf-8"),
    "binary": Page("64 KiB of bytes without sense", _binary, "application/octet-stream"),
    "long-line": Page("one line of 20 MB, well-formed", _long_line),
    "no-final-newline": Page(
        "good, but the last line has no newline", lambda _: page_with("100.0").rstrip(b"\n")
    ),
    "tabs": Page("good: tabs stand for spaces", lambda _: page_with("100.0").replace(b"} ", b"}\t ")),
    "crlf": Page(
        "lines end in CR LF, which Prometheus refuses: 100 tokens or none, never 0",
        lambda _: page_with("100.0").replace(b"\n", b"\r\n"),
    ),
    "timestamps": Page(
        "good: samples with timestamps in milliseconds", lambda _: page_with("100.0 1795304380500")
    ),
    "exemplar-quotes": Page(
        "good: an OpenMetrics exemplar with an escaped quote, a brace and a hash in a label",
        _exemplar_quotes,
        OPENMETRICS,
    ),
    "openmetrics": Page(
        "good: OpenMetrics with exemplars, timestamps and # EOF; 4593 tokens",
        _openmetrics,
        OPENMETRICS,
    ),
}
"""Every kind that is only a body; a reader must read those called good and refuse or skip the others.

Prometheus 2.42 refuses crlf, html, invalid-utf8, no-value, not-a-number, overflow, underscores, utf16 and
unterminated-*; it takes bad-escape as it stands, the first of a duplicate, and no samples after a NUL byte.
"""


def many_lines() -> Iterator[bytes]:
    """A million short lines of a family that nobody wants."""
    for start in range(0, MANY, LINES_PER_PIECE):
        yield "".join(f'a{{b="{n}"}} 1\n' for n in range(start, start + LINES_PER_PIECE)).encode()


def many_series() -> Iterator[bytes]:
    """A million series of the wanted counter."""
    yield TYPE.encode()
    for start in range(0, MANY, LINES_PER_PIECE):
        names = range(start, start + LINES_PER_PIECE)
        yield "".join(f'{COUNTER}{{engine="0",model_name="m{n}"}} 1.0\n' for n in names).encode()


LLAMACPP_PAGE = (
    b"# TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total 100\n"
    b"# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 200\n"
    b"# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 1\n"
    b"# TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred 0\n"
)

_SLOT = {"id": 0, "is_processing": True, "next_token": [{"n_decoded": 1}]}

BAD_SLOTS: dict[str, Page] = {
    "slots-deep": Page(
        "/slots is 100,000 brackets deep",
        lambda _: b"[" * 100_000 + b"]" * 100_000,
        "application/json",
    ),
    "slots-wrong-shape": Page(
        "/slots is an object with numbers for lists",
        lambda _: b'{"next_token": 5, "is_processing": "yes"}',
        "application/json",
    ),
    "slots-wrong-types": Page(
        "/slots has a text, a negative and a fraction for n_decoded",
        lambda _: json.dumps(
            [_SLOT | {"next_token": [{"n_decoded": bad}]} for bad in ("7", -7, 0.5, None, 1e300)]
        ).encode(),
        "application/json",
    ),
    "slots-huge-number": Page(
        "/slots has an n_decoded of 10,000 digits",
        lambda _: json.dumps([_SLOT]).encode().replace(b'"n_decoded": 1', b'"n_decoded": ' + b"9" * 10_000),
        "application/json",
    ),
    "slots-many": Page(
        "/slots has 200,000 slots",
        lambda _: json.dumps([_SLOT] * 200_000).encode(),
        "application/json",
    ),
}
"""A good llama.cpp page at /metrics (100 tokens), and these at /slots."""
