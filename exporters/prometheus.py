"""Prometheus: /metrics from the snapshot only, as text 0.0.4 or OpenMetrics by negotiation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from agent.measure.accept import accepts
from agent.measure.catalogue import BY_NAME, CATALOGUE, PREFIX, MetricType
from agent.measure.page_path import require_page_path
from agent.measure.row import Row
from agent.measure.rows import rows_of
from agent.measure.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.measure.catalogue import Metric
    from agent.measure.snapshot import Snapshot

EOF = b"# EOF\n"
OPENMETRICS = "application/openmetrics-text"
GO_BEGINS_EXPONENTS = 1e6
"""Go writes larger numbers with an exponent, and Python does not."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the Prometheus exporter."""

    path: str = setting("/metrics", "HTTP path of the page.")

    def __post_init__(self) -> None:
        """Raise ValueError for a path that nobody could reach."""
        require_page_path(self.path)


def build(settings: Settings) -> PrometheusRenderer:
    """Make the exporter."""
    return PrometheusRenderer(settings.path)


@dataclass(slots=True)
class _Rendered:
    """A family as it was last rendered in one format."""

    rows: list[Row]
    labels: list[tuple[str, ...]]
    """Of each of them."""
    head: str
    """Its comment lines."""
    series: list[str]
    """Each of its lines up to the value."""
    lines: list[str]
    body: bytes

    def of_same_series(self, rows: list[Row]) -> bool:
        """Whether these rows differ in their values alone."""
        return [row.labels for row in rows] == self.labels


class PrometheusRenderer:
    """Renders with prometheus_client, one family at a time.

    A family that did not change is kept; of one whose values alone changed only those are written anew,
    because encoding names and labels costs ten times as much.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._kept: dict[tuple[str, str], _Rendered] = {}
        self._pages: dict[str, tuple[int, bytes]] = {}
        self._process = ProcessCollector(registry=None)

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type; the page of one snapshot is rendered once per format."""
        encode, content_type = choose_encoder(_wanted(accept))
        sequence, page = self._pages.get(content_type, (-1, b""))
        if sequence != snapshot.sequence:
            page = self._page(snapshot, encode, content_type)
            self._pages[content_type] = (snapshot.sequence, page)
        return page, content_type

    def _page(self, snapshot: Snapshot, encode: Callable[[_Registry], bytes], content_type: str) -> bytes:
        by_metric: dict[str, list[Row]] = {metric.name: [] for metric in CATALOGUE}
        for row in rows_of(snapshot):
            by_metric[row[0]].append(row)  # not `row.metric`: there are a thousand
        bodies = [
            self._family(name, rows, _One(BY_NAME[name], rows), encode, content_type)
            for name, rows in by_metric.items()
            if rows
        ]
        for family in self._process.collect():
            rows = [Row(sample.name, (), sample.value) for sample in family.samples]
            bodies.append(self._family(family.name, rows, _Ready(family), encode, content_type))
        if content_type.startswith("application/openmetrics-text"):
            bodies.append(EOF)
        return b"".join(bodies)

    def _family(
        self,
        name: str,
        rows: list[Row],
        registry: _Registry,
        encode: Callable[[_Registry], bytes],
        content_type: str,
    ) -> bytes:
        kept = self._kept.get((content_type, name))
        if kept is not None and kept.rows == rows:
            return kept.body
        if kept is None or not kept.of_same_series(rows):
            self._kept[content_type, name] = kept = _learned(rows, encode(registry))
        else:
            _take_values(kept, rows)
        return kept.body


def _wanted(accept: str) -> str:
    """Reduce an Accept header to the two formats there are: clients may name versions without end."""
    return f"{OPENMETRICS};version=1.0.0" if accepts(accept, OPENMETRICS) else ""


def _learned(rows: list[Row], encoded: bytes) -> _Rendered:
    """Cut an encoded family into what stays and its values."""
    body = encoded.removesuffix(EOF)
    lines = body.decode().removesuffix("\n").split("\n")  # not splitlines: a label may hold U+2028
    comments = [f"{line}\n" for line in lines if line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines[len(comments) :]]
    samples = [f"{line}\n" for line in lines[len(comments) :]]
    return _Rendered(rows, [row.labels for row in rows], "".join(comments), series, samples, body)


def _take_values(kept: _Rendered, rows: list[Row]) -> None:
    """Write those lines anew whose value is another one."""
    kept.lines = [
        line if row is before or row.value == before.value else f"{series} {_text(row.value)}\n"
        for series, line, before, row in zip(kept.series, kept.lines, kept.rows, rows, strict=True)
    ]
    kept.rows, kept.body = rows, (kept.head + "".join(kept.lines)).encode()


def _text(value: float) -> str:
    """Write a number as prometheus_client does; where Go and Python agree without asking it."""
    if -GO_BEGINS_EXPONENTS < value < GO_BEGINS_EXPONENTS:
        return repr(float(value))
    text: Callable[[float], str] = floatToGoString
    return text(value)


class _Registry(Protocol):
    """What prometheus_client's encoders want: something that collects families."""

    def collect(self) -> Iterable[Family]:
        """Yield families."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A registry of one family that is made already."""

    family: Family

    def collect(self) -> Iterator[Family]:
        """Yield the family."""
        yield self.family


class _One:
    """A registry of one family, as prometheus_client's encoders want it."""

    def __init__(self, metric: Metric, rows: Iterable[Row]) -> None:
        self._metric = metric
        self._rows = rows

    def collect(self) -> Iterator[Family]:
        """Yield the family."""
        metric = self._metric
        name = PREFIX + metric.name
        family = Family(
            name.removesuffix("_total") if metric.type is MetricType.COUNTER else name,
            metric.doc,
            str(metric.type),
        )
        for row in self._rows:
            labels = (*metric.labels, "le") if row.part == "_bucket" else metric.labels
            family.add_sample(name + row.part, dict(zip(labels, row.labels, strict=True)), float(row.value))
        yield family
