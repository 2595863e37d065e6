"""Reads the wanted series of a text page: Prometheus text 0.0.4, tolerant of OpenMetrics.

The usual page has the layout of the page before it, so the wanted keys are found one after the other with
`bytes.find`. Whenever that does not fit exactly, the page is parsed and its layout learned.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.measure.reading import Reason, SourceError
from agent.wire.page_labels import EXCERPT_BYTES, QUOTED_NAME, escaped, malformed, read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RELEARN_PAGES = 300
"""A page of a known layout is read in full so rarely, which bounds for how long a family stays unseen whose
line took the place of another line."""
MAX_COUNT = 2.0**63  # a signed 64-bit counter never gets there; drivers write it for "no value" (T11)
MAX_KNOWN_NAMES = 4096  # raw names whose canonical form is remembered
MAX_KNOWN_NAME_BYTES = 256  # none of the longer ones


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What one page may hold."""

    lines: int = 200_000
    line_bytes: int = 64 * 1024
    series: int = 10_000
    """Wanted series; the others are not counted."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a page: its canonical name and its labels, without `pid`."""

    name: str
    labels: Mapping[str, str]
    key: str
    """Canonical identity, labels sorted: `vllm:x_total{engine="0"}`."""


@dataclass(frozen=True, slots=True)
class Page:
    """The wanted series of one page, in its order."""

    series: tuple[Series, ...]
    """The same object for as long as the layout stays: what was derived from it can be kept."""
    values: tuple[float | None, ...]
    """One for each series; None is a gauge that is not a number now."""
    texts: tuple[bytes, ...]
    """The values as printed: their precision is a limit (T22)."""

    def items(self) -> Iterator[tuple[Series, float]]:
        """Yield each series that has a value now."""
        for series, value in zip(self.series, self.values, strict=True):
            if value is not None:
                yield series, value


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the wanted series were on the page that was learned."""

    lines: int
    series: tuple[Series, ...]
    lines_wanted: tuple[tuple[bytes, int, bytes], ...]
    """Of each: the raw bytes from the line feed before it to its value, how many, and those to its name."""
    counters: tuple[int, ...]
    """Which of them are counters."""


class PageReader:
    """Reads one source's pages, one after the other; raises nothing but SourceError, whatever the bytes."""

    def __init__(
        self,
        wanted: frozenset[str],
        counters: frozenset[str] = frozenset(),
        limits: PageLimits | None = None,
        relearn_pages: int = RELEARN_PAGES,
    ) -> None:
        """Want samples by canonical name; those in `counters` must be counts: not negative, NaN or huge."""
        self._wanted = wanted | counters
        self._counters = counters
        self._limits = limits or PageLimits()
        self._relearn_pages = relearn_pages
        self._layout: _Layout | None = None
        self._pages_left = 0
        self._series: tuple[Series, ...] = ()
        self._names: dict[bytes, str | None] = {}

    def read(self, body: bytes, content_type: str = "") -> Page:
        """Return the wanted series of a page."""
        check_charset(content_type)
        lines = len(body) - len(body.replace(b"\n", b""))  # a quarter of the time that counting takes
        layout = self._layout
        if layout is not None and self._pages_left > 0 and lines == layout.lines:
            page = _follow(layout, body)
            if page is not None:
                self._pages_left -= 1
                return page
        return self._learn(body, lines)

    def _learn(self, body: bytes, lines: int) -> Page:
        """Parse the page in full, and remember its layout."""
        self._layout = None
        parsed = tuple(self._parse(body, lines))
        series = tuple(sample.series for sample in parsed)
        _refuse_duplicates(parsed)
        if series != self._series:  # else callers keep what they derived from the tuple they know
            self._series = series
        keys = [sample.raw_key for sample in parsed]
        wanted = tuple((key, len(key), _family(key)) for key in keys)
        counters = tuple(place for place, sample in enumerate(parsed) if sample.counter)
        self._layout = _Layout(lines, self._series, wanted, counters)
        self._pages_left = self._relearn_pages
        values = tuple(sample.value for sample in parsed)
        return Page(self._series, values, tuple(sample.text for sample in parsed))

    def _parse(self, body: bytes, lines: int) -> Iterator[_Sample]:
        found = 0
        for number, line in enumerate(_lines(body, lines, self._limits), 1):
            if line.startswith(b"#"):
                continue
            match = _NAME.match(line)
            if match is not None and self._names.get(match[1], "") is None:
                continue  # known not to be wanted: most lines
            sample = self._sample(line.rstrip(b"\r"), number)
            if sample is None:
                continue
            found += 1
            if found > self._limits.series:
                text = f"line {number}: more than {self._limits.series} wanted series; raise max_series?"
                raise SourceError(Reason.TOO_LARGE, text)
            yield sample

    def _sample(self, line: bytes, number: int) -> _Sample | None:
        """Parse one line, or return None when it is not wanted."""
        match = _NAME.match(line)
        if match is None:
            return self._sample_in_braces(line, number)
        name = self._canonical(match[1])
        if name is None:
            return None
        labels, start = read_labels(line, match.end(), number)
        return _finish(line, number, name, labels, start, counter=name in self._counters)

    def _sample_in_braces(self, line: bytes, number: int) -> _Sample | None:
        """Parse a line without a bare name: empty, an indented comment, or a quoted UTF-8 name."""
        stripped = line.lstrip(b" \t")
        if not stripped or stripped.startswith(b"#"):
            return None
        if not stripped.startswith(b"{"):
            raise malformed(line, number, "is not a sample")
        labels, start = read_labels(line, 0, number)
        raw_name = labels.pop(QUOTED_NAME, None)
        if raw_name is None:
            raise malformed(line, number, "has no name")
        name = self._canonical(raw_name.encode())
        if name is None:
            return None
        return _finish(line, number, name, labels, start, counter=name in self._counters)

    def _canonical(self, raw: bytes) -> str | None:
        """Return the canonical name when it is wanted."""
        try:
            return self._names[raw]
        except KeyError:
            name = canonical_name(raw.decode("utf-8", "replace"))
            wanted = name if name in self._wanted else None
            if len(self._names) < MAX_KNOWN_NAMES and len(raw) < MAX_KNOWN_NAME_BYTES:
                self._names[raw] = wanted
            return wanted


@dataclass(frozen=True, slots=True)
class _Sample:
    """One wanted line of a page."""

    raw_key: bytes
    series: Series
    value: float | None
    text: bytes
    number: int
    counter: bool
    pid: str


_NAME = re.compile(rb"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)(?=[ \t{])")
_ENGINE_NAME = re.compile(r"(?:ray_)?(vllm|sglang|lmdeploy|trtllm|llamacpp)[:_](.+)", re.DOTALL)
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)
_BARE_NUMBERS = re.compile(rb"[-+.0-9A-Za-z]*")
"""Nothing that Python alone reads, and neither a timestamp nor an exemplar, which have spaces."""
_READABLE_CHARSETS = frozenset({"utf-8", "utf8", "ascii", "us-ascii"})


def canonical_name(name: str) -> str:
    """Return the one spelling of a name that exporters spell in several ways (T23)."""
    match = _ENGINE_NAME.fullmatch(name)
    return f"{match[1]}:{match[2]}" if match else name


def sample_names(body: bytes, limits: PageLimits | None = None) -> frozenset[str]:
    """Return the names of all samples on a page as printed, to tell whose page it is."""
    names = set()
    for number, line in enumerate(_lines(body, body.count(b"\n"), limits or PageLimits()), 1):
        stripped = line.strip(b" \t\r")
        match = _NAME.match(line)
        if match is not None:
            names.add(match[1])
        elif stripped.startswith(b'{"'):
            names.add(stripped[2:].partition(b'"')[0])
        elif stripped and not stripped.startswith(b"#"):
            raise malformed(line, number, "is not a sample")
    return frozenset(name.decode("utf-8", "replace") for name in names)


def printed_number(text: bytes) -> bytes:
    """Return the number of a value as printed, without the timestamp and the exemplar that may follow it."""
    return text.partition(b"#")[0].split()[0]


def check_charset(content_type: str) -> None:
    """Refuse a page that is declared to be in an encoding other than UTF-8."""
    if "charset" not in content_type.lower():
        return
    match = _CHARSET.search(content_type)
    if match is None or match[1].lower() not in _READABLE_CHARSETS:
        text = f"the page declares {content_type[:EXCERPT_BYTES]!a}; only UTF-8 is read"
        raise SourceError(Reason.MALFORMED, text)


def _follow(layout: _Layout, body: bytes) -> Page | None:
    """Read a page of a known layout, or return None when anything about it is not as expected."""
    texts = _texts(layout, b"\n" + body)
    if texts is None:
        return None
    try:
        texts, values = _numbers(texts)
    except ValueError:
        return None
    if not all([0 <= values[place] < MAX_COUNT for place in layout.counters]):  # noqa: C419 - a list is faster
        return None
    if math.isfinite(sum(values)):
        return Page(layout.series, tuple(values), tuple(texts))
    return Page(layout.series, tuple(v if math.isfinite(v) else None for v in values), tuple(texts))


def _texts(layout: _Layout, page: bytes) -> list[bytes] | None:
    """Find what stands behind each wanted key, or return None when a series is gone or new."""
    position = 0  # the line feed before the next line
    family = b"\n\n"  # of the line before it: matches nothing yet
    texts: list[bytes] = []
    for key, key_bytes, next_family in layout.lines_wanted:
        at = position
        if not page.startswith(key, position):  # as it mostly does: families stand together
            at = page.find(key, position)
            if at < 0 or _stranger(page, position, family, at, next_family):
                return None
        start = at + key_bytes
        position = page.find(b"\n", start)
        if position < 0:
            return None
        texts.append(page[start:position])
        family = next_family
    return None if page.startswith(family, position) else texts


def _numbers(texts: list[bytes]) -> tuple[list[bytes], list[float]]:
    """Return the texts without what surrounds them, and their numbers. Raises ValueError."""
    if _BARE_NUMBERS.fullmatch(b"".join(texts)):
        return texts, [float(text) for text in texts]
    stripped = [text.strip() for text in texts]
    return stripped, [_number(text) for text in stripped]


def _stranger(page: bytes, position: int, family: bytes, at: int, next_family: bytes) -> bool:
    """Whether a gap between two wanted lines begins or ends with a new series of their families.

    A family's series stand together, so a new one is next to one that is known.
    """
    return page.startswith(family, position) or page.startswith(next_family, page.rfind(b"\n", 0, at))


def _number(text: bytes) -> float:
    """Return the value of `value [timestamp] [# exemplar]`. Raises ValueError."""
    if b" " in text or b"\t" in text:
        return _number_and_more(text)
    if b"_" in text:
        raise ValueError("Python alone reads 1_000")
    return float(text)


def _number_and_more(text: bytes) -> float:
    """Return the value in front of a timestamp or an exemplar. Raises ValueError."""
    sample, _, _ = text.partition(b"#")
    value, *timestamp = sample.split()
    if len(timestamp) > 1:
        raise ValueError("two timestamps")
    if timestamp:
        _number(timestamp[0])
    return _number(value)


def _lines(body: bytes, lines: int, limits: PageLimits) -> list[bytes]:
    """Cut a page into lines, when their number and lengths allow."""
    if lines > limits.lines:
        text = f"the page has {lines} lines, the limit is {limits.lines}; if it is right, raise max_lines"
        raise SourceError(Reason.TOO_LARGE, text)
    cut = body.split(b"\n")
    if cut[-1] and cut[-1].rstrip() != b"# EOF":
        raise malformed(cut[-1], len(cut), "has no end: the page is cut off")
    for number, line in enumerate(cut, 1):
        if len(line) > limits.line_bytes:
            text = f"line {number} has {len(line)} bytes, the limit is {limits.line_bytes}"
            raise SourceError(Reason.TOO_LARGE, text)
    return cut


def _finish(
    line: bytes, number: int, name: str, labels: dict[str, str], start: int, *, counter: bool
) -> _Sample:
    """Make the sample of a line whose name and labels are known."""
    if QUOTED_NAME in labels:
        raise malformed(line, number, "has two names")
    text = line[start:].strip()
    try:
        value = _number(text)
    except ValueError as error:
        raise malformed(line, number, "has no readable value") from error
    if counter and not 0 <= value < MAX_COUNT:
        raise malformed(line, number, "is a counter with an impossible value")
    pid = labels.pop("pid", "")
    ordered = dict(sorted(labels.items()))
    pairs = ",".join(f'{label}="{escaped(text)}"' for label, text in ordered.items())
    key = f"{name}{{{pairs}}}" if pairs else name
    present = value if math.isfinite(value) else None
    return _Sample(b"\n" + line[:start], Series(name, ordered, key), present, text, number, counter, pid)


def _family(raw_key: bytes) -> bytes:
    """Return the raw key as far as its name and the character after it."""
    match = _NAME.match(raw_key, 1)
    return raw_key[: match.end() + 1] if match else raw_key


def _refuse_duplicates(samples: tuple[_Sample, ...]) -> None:
    """Refuse a page that says two things about one series; a gauge may come once for each pid."""
    seen: dict[tuple[str, str], int] = {}
    for sample in samples:
        pid = "" if sample.counter else sample.pid
        first = seen.setdefault((sample.series.key, pid), sample.number)
        if first != sample.number:
            raise malformed(sample.raw_key[1:], sample.number, f"repeats the series of line {first}")
