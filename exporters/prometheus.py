"""Prometheus: /metrics from the snapshot only, as text 0.0.4 or OpenMetrics by negotiation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from agent.measure.accept import accepts
from agent.measure.catalogue import BY_NAME, CATALOGUE, PREFIX
from agent.measure.metric import MetricType
from agent.measure.page_path import require_page_path
from agent.measure.row import Row
from agent.measure.rows import rows_of
from agent.measure.settings import setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from agent.measure.metric import Metric
    from agent.measure.snapshot import Snapshot

EOF = "# EOF\n"
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


class PrometheusRenderer:
    """Renders each snapshot once per format, when somebody asks."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._pages: dict[str, _Page] = {}
        self._process = ProcessCollector(registry=None)

    def render(self, snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type."""
        encode, content_type = choose_encoder(_wanted(accept))
        page = self._pages.get(content_type)
        if page is None:
            end = EOF if content_type.startswith(OPENMETRICS) else ""
            page = self._pages[content_type] = _Page(encode, end)
        if page.sequence != snapshot.sequence:
            of_process = {family.name: family for family in self._process.collect()}
            rows = rows_of(snapshot)
            rows += [Row(name, (), each.samples[0].value) for name, each in of_process.items()]
            page.take(rows, of_process)
            page.sequence = snapshot.sequence
        return page.body, content_type


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What stays of a family as long as its series do."""

    labels: list[tuple[str, ...]]
    """Of each of its rows."""
    head: str
    """Its comment lines."""
    series: list[str]
    """Each of its lines up to the value."""


class _Page:
    """A page in one format, encoded by prometheus_client, one family at a time.

    Names and labels cost ten times what a number does. So only families with other series than before are
    encoded; of the others only those lines are written anew whose value is another one.
    """

    def __init__(self, encode: Callable[[_Registry], bytes], end: str) -> None:
        self.sequence = -1
        """Of the snapshot that it shows."""
        self.body = b""
        self._encode, self._end = encode, end
        self._families: dict[str, _Encoded] = {}
        self._rows: list[Row] = []
        self._places: list[tuple[int, str]] = []
        """Which of the lines each row has, and how that begins."""
        self._lines: list[str] = []

    def take(self, rows: list[Row], ready: Mapping[str, Family]) -> None:
        """Show these rows; families that are not in the catalogue are `ready` to be encoded."""
        changed = self._changed(rows)
        if changed is None:
            self._places, self._lines = self._laid_out(rows, ready)
        else:
            places, lines = self._places, self._lines
            for place in changed:
                line, series = places[place]
                value = rows[place].value
                plain = -GO_BEGINS_EXPONENTS < value < GO_BEGINS_EXPONENTS
                lines[line] = f"{series} {repr(float(value)) if plain else _text(value)}\n"
        self._rows, self.body = rows, "".join(self._lines).encode()

    def _changed(self, rows: list[Row]) -> list[int] | None:
        """Return which rows have another value than before; None where series came, went or moved."""
        before = self._rows
        if len(rows) != len(before):
            return None
        pairs = enumerate(zip(rows, before, strict=True))
        changed = [place for place, (row, known) in pairs if row is not known and row != known]
        series = [(row.metric, row.labels, row.part) for row in map(rows.__getitem__, changed)]
        same = series == [(row.metric, row.labels, row.part) for row in map(before.__getitem__, changed)]
        return changed if same else None

    def _laid_out(
        self, rows: list[Row], ready: Mapping[str, Family]
    ) -> tuple[list[tuple[int, str]], list[str]]:
        """Return the place of each row, and all lines."""
        by_family: dict[str, list[int]] = {metric.name: [] for metric in CATALOGUE}
        for place, row in enumerate(rows):
            by_family.setdefault(row.metric, []).append(place)
        places, lines = [(0, "")] * len(rows), list[str]()
        for name, own in by_family.items():
            if own:
                family = self._family(name, [rows[place] for place in own], ready)
                lines.append(family.head)
                for place, series in zip(own, family.series, strict=True):
                    places[place] = len(lines), series
                    lines.append(_line(series, rows[place]))
        return places, [*lines, self._end]

    def _family(self, name: str, rows: list[Row], ready: Mapping[str, Family]) -> _Encoded:
        kept, labels = self._families.get(name), [row.labels for row in rows]
        if kept is None or kept.labels != labels:
            registry = _Ready(ready[name]) if name in ready else _One(BY_NAME[name], rows)
            kept = self._families[name] = _encoded(labels, self._encode(registry))
        return kept


def _wanted(accept: str) -> str:
    """Reduce an Accept header to the two formats there are: clients may name versions without end."""
    return f"{OPENMETRICS};version=1.0.0" if accepts(accept, OPENMETRICS) else ""


def _encoded(labels: list[tuple[str, ...]], encoded: bytes) -> _Encoded:
    """Cut an encoded family into what stays, and leave out its values."""
    lines = encoded.decode().removesuffix(EOF).removesuffix("\n").split("\n")  # a label may hold U+2028
    comments = [f"{line}\n" for line in lines if line.startswith("#")]
    series = [line.rpartition(" ")[0] for line in lines[len(comments) :]]
    return _Encoded(labels, "".join(comments), series)


def _line(series: str, row: Row) -> str:
    return f"{series} {_text(row.value)}\n"


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
