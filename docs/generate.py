"""Writes the generated pages of docs/ from the code; `--check` only compares."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from agent import plugins
from agent.config import General
from agent.measure.attribution import Claim
from agent.measure.catalogue import CATALOGUE, PREFIX
from agent.measure.energy import Verdict
from agent.measure.engine import Latency, TokenKind
from agent.measure.glossary import BOUNDARIES, WORDS
from agent.measure.gpu import GpuState
from agent.measure.incident import Cause, Kind, Severity
from agent.measure.limiter import Limit
from agent.measure.push import Loss
from agent.measure.reading import Reason
from agent.measure.settings import Bytes, Seconds, documented
from agent.measure.slo import AS_ABOVE
from agent.measure.snapshot import Activity
from agent.measure.validity import Flag, Invalid
from agent.twin import scenario
from agent.twin.events import KINDS
from exporters._dcgm_names.absent import ABSENT
from exporters._dcgm_names.fields import FIELDS
from exporters._otlp.names import STATUS, form_of

if TYPE_CHECKING:
    from agent.measure.engine_table import EngineTable
    from exporters._otlp.names import Form

TITLES = {
    Invalid: "Why a figure is invalid (`figure_invalid_reason`)",
    Flag: "What to know about a figure (`figure_flag`)",
    Reason: "Why a collection failed (`collector_failures_total`)",
    GpuState: "States of a GPU (`gpu_state`)",
    Claim: "Whose a GPU is (`gpu_attribution`)",
    Loss: "Why points never reached a receiver (`exporter_lost_points_total`)",
    Kind: "What is wrong: kinds of incidents (`incidents_total`, [incidents.md](incidents.md))",
    Cause: "Why: causes of incidents",
    Limit: "What bounds a deployment (`deployment_limiter`, [limiter.md](limiter.md))",
    Severity: "Who must know of an incident",
    Verdict: "Energy counter against integrated power (`gpu_energy_crosscheck`)",
    Activity: "What a node or an engine is doing (`node_state`, `engine_state`)",
}
TOTALS = [
    "`rackwatt_engine_tokens_total` is what the engine had counted when its page was read, to the token.",
    "`rackwatt_engine_tokens_uncertainty` is no error of it: it bounds what the engine may have produced",
    "*since*, until the next reading. At rest it goes to 0. Only what was produced between an engine's last",
    "page and its death is lost; `rackwatt_engine_tokens_unobserved_total` bounds that from its peak rate.",
]
TOKENS = {TokenKind.PROMPT: "prompts", TokenKind.PROMPT_CACHED: "cached prompts"}
LATENCIES = {latency: latency.value.replace("_", "-") for latency in Latency}
MISSING = {
    "model_label": "model (asked for elsewhere, or set `model`)",
    "running": "running",
    "waiting": "waiting",
    "kv_cache_usage": "KV cache",
    "arrivals": "arrivals",
    "heartbeat": "steps",
    "preemptions": "preemptions",
    "idle_seconds": "proof of idleness",
    "succeeded": "successes",
    "failed": "failures",
    "drafted": "speculation",
}
"""Fields of an engine's table, by what a reader misses where they are empty."""
DCGM_NAMES = """\
For dashboards and alerts that were made for NVIDIA's dcgm-exporter, on nodes where it does not run:

```yaml
exporters:
  prometheus: {}
  dcgm_names: {}          # /metrics/dcgm
```

```yaml
# prometheus.yml
scrape_configs:
  - job_name: dcgm-exporter
    metrics_path: /metrics/dcgm
    static_configs: [{targets: ["tray-07:9744"]}]
```

With `listen: 0.0.0.0:9400`, closed as in [security.md](security.md), and
`exporters: {dcgm_names: {path: /metrics}}` not even the scrape configuration changes.
The page is Prometheus text, never OpenMetrics, which would append `_total` to the names of counters.

**Not both in one job.** Where dcgm-exporter runs as well, do not scrape both under one job name: each
GPU would be there twice, and `sum(DCGM_FI_DEV_POWER_USAGE)` would be twice the power. To compare them,
name the jobs apart and select `job` in the queries.

Every series has the labels `gpu`, `UUID`, `pci_bus_id`, `device`, `modelName`, `Hostname` (or `hostname`,
as dcgm-exporter spells it after 4.8.2: `hostname_label`) and `DCGM_FI_DRIVER_VERSION`. `kubernetes: true`
adds `pod` and `namespace`, `hpc_job: true` adds `hpc_job`, where one pod or job has the whole GPU. Where
the target has such labels itself, Prometheus renames them to `exported_pod`, unless `honor_labels` is set.

`names: new` shows the names since DCGM 4.6, `names: both` shows all. 4.6 changed names, not values: what
it calls `_UTIL_RATIO` is in percent, here as there. For nodes on a mixture of both, show both.
"""
DCGM_DIFFERENCES = """\
## What dcgm-exporter says differently

- What is unknown is absent, as there; it is never one of DCGM's large blank numbers.
- A GPU that answers no more is absent, but for its last Xid: an alert on Xid 79 holds when it is needed.
  On `/metrics`, `rackwatt_gpu_up` is 0 for it.
- Values are as old as `collectors.nvml.interval` (power, energy), 1 s (load, temperature, clock of the SMs),
  `detail_interval` (memory, its temperature, other clocks, throttling, hardware counters) or `slow_interval`
  (errors, rows, replays, video engines); dcgm-exporter's are up to 30 s old by default.
- ECC errors, remapped rows and PCIe replays are the driver's own counts, because alerts compare them with 0.
- `gpu` is the number first given to a UUID, as on `/metrics`; there it is the driver's index. `device` is the
  driver's file, `/dev/nvidia3`; there it repeats the index.
- `container`, `pod_uid` and `vgpu` are not told. A GPU divided by MIG is one GPU here, without the series of
  its instances (`GPU_I_ID`, `GPU_I_PROFILE`), and its utilisation is absent, as NVML has none.
- `err_msg` of an Xid is in our words.
"""
DCGM_PROFILING = """\
`DCGM_FI_PROF_*` come from hardware counters: from Hopper on by NVML (GPM: the mean between two samples of a
GPU, `detail_interval` apart), without DCGM and beside Nsight. Older GPUs need DCGM's profiling module: there
they are absent, unless dcgm-exporter runs and `collectors.dcgm_exporter` reads it.
"""
HERE = Path(__file__).parent
NOTICE = "<!-- Made by docs/generate.py from the code; edit there and run `make docs`. -->\n"


def metrics_page() -> str:
    """Return the table of every metric."""
    lines = [
        NOTICE,
        "# Metrics",
        "",
        "All on `/metrics`, as Prometheus text or OpenMetrics. Base units throughout: watts, joules,",
        "seconds, bytes, hertz, ratios from 0 to 1. What is unknown is absent, never 0. Beside these the",
        "standard `process_*` metrics of the daemon itself are there.",
        "",
        "| name | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{PREFIX}{metric.name}` | {metric.type} | {', '.join(metric.labels) or '-'} | {metric.doc} |"
        for metric in CATALOGUE
    ]
    lines += ["", "## How exact is a total?", "", *TOTALS, "", "## Boundaries", "", *_words(BOUNDARIES)]
    for kind, title in TITLES.items():
        lines += ["", f"## {title}", "", *_words(WORDS[kind])]
    return "\n".join(lines) + "\n"


def _words(meanings: Mapping[str, str]) -> list[str]:
    rows = [f"| `{word}` | {meaning} |" for word, meaning in meanings.items()]
    return ["| word | means |", "|---|---|", *rows]


def configuration_page() -> str:
    """Return every setting with its default."""
    lines = [
        NOTICE,
        "# Configuration",
        "",
        "YAML, `/etc/rackwatt/rackwatt.yaml` or `--config FILE`. Every key has a default; without a file",
        "GPUs and the machine around them are read (`nvml`, `host`), engines found (`engines`) and",
        "`prometheus` served. Durations are written as Prometheus does (`500ms`, `10s`, `1m30s`), sizes as",
        "`512KiB` or `8MiB`. An unknown key, a wrong type or an impossible value stops the start and is told",
        "with file, line, key and the choices;",
        "`rackwatt check FILE` tells the same without starting anything.",
        "",
        "A plug-in is switched on by naming it: `collectors: {nvml: {}}`; one that is not named is not even",
        "imported. `SIGHUP` reloads collectors, exporters that push (`otlp`, `alertmanager`,",
        "`webhook`) and the rack, except its name; the rest needs a restart.",
        "",
        "## Top level",
        "",
        *_settings(General),
    ]
    for title, room in (("collectors", plugins.COLLECTORS), ("exporters", plugins.EXPORTERS)):
        for name in plugins.names(room):
            kind = plugins.load(room, name).Settings
            lines += ["", f"## {title}.{name}", "", inspect.getdoc(kind) or "", "", *_settings(kind)]
    return "\n".join(lines) + "\n"


def scenarios_page() -> str:
    """Return every key of a scenario, every kind of event, every scenario that ships."""
    lines = [
        NOTICE,
        "# Scenarios of the twin",
        "",
        "What `rackwatt twin` and `rackwatt demo` play; [twin.md](twin.md) says what the twin is. YAML, with",
        "the manners of the configuration: every key has a default, what is wrong is told with file, line",
        "and key.",
        "",
        "## Shipped",
        "",
        "| name | there is to see |",
        "|---|---|",
        *(f"| `{name}` | {scenario.load(name).about} |" for name in scenario.names()),
        "",
        "## Keys",
        "",
        *_settings(scenario.Scenario),
        "",
        "## Kinds of event",
        "",
        *_words({kind.value: entry.doc for kind, entry in KINDS.items()}),
    ]
    return "\n".join(lines) + "\n"


def engines_page() -> str:
    """Return how each serving engine is read, from its table."""
    rooms = [plugins.load(plugins.ENGINES, name) for name in plugins.names(plugins.ENGINES)]
    lines = [
        NOTICE,
        "# Serving engines",
        "",
        "`collectors: {engines: {targets: [{url: 'http://localhost:8000'}]}}` is enough: whose page it is",
        "shows by its names, with `:` or `_` after the engine's, with or without `ray_` before it. A path",
        "other than `/metrics` belongs into the URL, or name the engine under `engine`. *Live* output moves",
        "with every step; other output moves when a request ends, and where nothing live stands in for it",
        "the rate comes in steps and says so (`on_finish`). What an engine does not tell is absent, never 0.",
        "",
        "NVIDIA NIM 2.x shows the page of vLLM or SGLang as it is, at `/v1/metrics`: it is named by them.",
        "",
        "| engine | address | to be set | output tokens | not told |",
        "|---|---|---|---|---|",
        *(_engine_row(room.TABLE) for room in rooms),
    ]
    for room in rooms:
        lines += ["", f"## {room.TABLE.engine}", "", (room.__doc__ or "").strip(), ""]
        lines += [room.TABLE.notes, ""] if room.TABLE.notes else []
        lines += [f"Without its page: {room.TABLE.remedy}."]
    return "\n".join(lines) + "\n"


def _engine_row(table: EngineTable) -> str:
    flag = f"`{table.flag}`" if table.flag else "-"
    cells = (
        f"`{table.engine}`",
        f"`{f':{table.port}' if table.port else ''}{table.path}`",
        flag,
        _output(table),
        _not_told(table),
    )
    return f"| {' | '.join(cells)} |"


def _output(table: EngineTable) -> str:
    """Say when the counter of output tokens moves."""
    if table.unsupported:
        return "none"
    counts = table.tokens.get(TokenKind.OUTPUT, ())
    if not counts:
        inside = "as the engine inside" if table.delegates else "none"
        return f"{inside}, in steps of seconds" if table.late else inside
    if all(count.live for count in counts):
        return "live"
    stand_in = "; live with a counter beside it" if table.live_output else ""
    if table.live_substitute is not None:
        stand_in = f"; live with `{table.live_substitute.path}`"
    ends = f"when a request ends{stand_in}"
    return f"by rank or inside another server live, else {ends}" if any(one.live for one in counts) else ends


def _not_told(table: EngineTable) -> str:
    """List what an engine leaves open, by the words of the figures."""
    if table.unsupported:
        return table.unsupported
    if table.delegates:
        return "what the engine inside does not tell"
    missing = [word for kind, word in TOKENS.items() if kind not in table.tokens]
    missing += [word for field, word in MISSING.items() if not getattr(table, field)]
    missing += [f"{word} latency" for latency, word in LATENCIES.items() if latency not in table.latencies]
    return ", ".join(missing) or "-"


def otlp_page() -> str:
    """Return what each metric is called in OTLP."""
    lines = [
        NOTICE,
        "# Names in OTLP",
        "",
        "What they follow, and how they are sent: [otlp.md](otlp.md).",
        "",
    ]
    lines += ["| OTLP | instrument | unit | attributes | on /metrics |", "|---|---|---|---|---|"]
    told = [(form_of(metric.name), f"`{PREFIX}{metric.name}`") for metric in CATALOGUE]
    told.append((STATUS, f"of `{PREFIX}gpu_state`, which is sent as well"))
    told.sort(key=lambda pair: pair[0].name.startswith("rackwatt."))
    lines += [_otlp_row(form, source) for form, source in told]
    return "\n".join(lines) + "\n"


def _otlp_row(form: Form, source: str) -> str:
    gpu = "`hw.id`, `rackwatt.gpu`"
    if form.component == "temperature":
        gpu = "`hw.id`, `hw.parent`, `hw.type`, `rackwatt.gpu`"
    elif form.component:
        gpu = "`hw.id`, `hw.type`, `rackwatt.gpu`"
    keys = (gpu if not key else f"`{key}`" for key in form.attributes if key != "hw.id")
    attributes = ", ".join(keys) or "-"
    unit = f"`{form.unit}`" if form.unit else "-"
    return f"| `{form.name}` | {form.instrument.value} | {unit} | {attributes} | {source} |"


def dcgm_names_page() -> str:
    """Return what is shown under dcgm-exporter's names, where it comes from, and what is not shown."""
    lines = [
        NOTICE,
        "# The names of dcgm-exporter",
        "",
        DCGM_NAMES,
        "## What is on the page",
        "",
        "| field | name | since DCGM 4.6 | type | unit | meaning | our value is from |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {field.number} | `{field.old}` | {f'`{field.renamed}`' if field.renamed else 'the same'} "
            f"| {field.type} | {field.unit} | {field.doc} | {field.source} |"
            for field in FIELDS
        ),
        "",
        DCGM_DIFFERENCES.rstrip("\n"),
        *_by_text(((field.old, field.differs) for field in FIELDS if field.differs), "- {names}: {text}."),
        "",
        "## What is not on the page",
        "",
        "| names | why |",
        "|---|---|",
        *_by_text(ABSENT.items(), "| {names} | {text} |"),
        "",
        DCGM_PROFILING,
    ]
    return "\n".join(lines)


def _by_text(pairs: Iterable[tuple[str, str]], form: str) -> list[str]:
    """Say what is said of several names once, behind all of them."""
    names: dict[str, list[str]] = {}
    for name, text in pairs:
        names.setdefault(text, []).append(f"`{name}`")
    return [form.format(names=", ".join(group), text=text) for text, group in names.items()]


def _settings(kind: type) -> list[str]:
    return ["| key | type | default | meaning |", "|---|---|---|---|", *_rows(kind, "")]


def _rows(kind: type, prefix: str) -> list[str]:
    hints = get_type_hints(kind)
    rows: list[str] = []
    for field in dataclasses.fields(kind):
        if "doc" not in field.metadata:
            continue  # filled from another place
        hint, name = hints[field.name], prefix + field.name
        inner = _dataclass_in(hint)
        many = {tuple: "[]", Mapping: ".NAME"}.get(get_origin(hint), "")
        kind_name = _type_name(hint)
        rows.append(f"| `{name}` | {kind_name} | {_default(field, hint)} | {documented(field)} |")
        if inner is not None:
            rows += _rows(inner, f"{name}{many}.")
    return rows


def _dataclass_in(hint: Any) -> Any:
    if dataclasses.is_dataclass(hint):
        return hint
    return next((each for each in get_args(hint) if dataclasses.is_dataclass(each)), None)


def _type_name(hint: Any) -> str:
    if hint is Seconds:
        return "duration"
    if hint is Bytes:
        return "size"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "choice"
    if dataclasses.is_dataclass(hint) or getattr(hint, "__origin__", None) is Mapping:
        return "mapping"
    arguments = [each for each in get_args(hint) if each not in {type(None), Ellipsis}]
    if getattr(hint, "__origin__", None) is tuple:
        return f"list of {_type_name(arguments[0])}s"
    if get_origin(hint) is Mapping:
        return f"mapping of {_type_name(arguments[1])}s"
    if arguments:
        return _type_name(arguments[0])
    return {"str": "text", "int": "integer", "float": "number", "bool": "boolean"}.get(
        hint.__name__, hint.__name__
    )


def _default(field: Any, hint: Any) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        return "-"
    if value in (dataclasses.MISSING, AS_ABOVE):
        return "required" if value is dataclasses.MISSING else "as above"
    if dataclasses.is_dataclass(value):
        return "-"
    if hint is Seconds:
        return f"`{_duration(value)}`"
    if hint is Bytes:
        return f"`{_size(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple) and value:
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value not in {"", None, ()} else "-"


def _duration(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:g}m" if minutes and not rest else f"{seconds:g}s"


def _size(size: int) -> str:
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def main() -> int:
    """Write the pages, or with --check say which differ."""
    pages = {
        HERE / "metrics.md": metrics_page(),
        HERE / "configuration.md": configuration_page(),
        HERE / "scenarios.md": scenarios_page(),
        HERE / "engines.md": engines_page(),
        HERE / "dcgm_names.md": dcgm_names_page(),
        HERE / "otlp-names.md": otlp_page(),
    }
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} is stale: run `make docs`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path])
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
