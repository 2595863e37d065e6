"""How long Prometheus takes for the recording rules of a thousand nodes, from a page of a real daemon."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fakes import promql
from fakes.processes import LOOPBACK, Program, free_port, http_get, rss_bytes, wait_http
from fakes.prometheus import found_program

from benchmarks.cardinality import MEMBERS, SMALL, node
from benchmarks.daemons import cpu_seconds, workplace
from benchmarks.report import Figure, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES, QUICK_NODES = 1000, 36
STEP_SECONDS = 30
BEFORE_SECONDS = 360
MAKING_SECONDS, MAKING_SECONDS_PER_NODE = 40, 0.08
"""Samples end when Prometheus stands on them: what it records before the end of a block is too old for it."""
SETTLE_SECONDS = 20.0
"""One or two rounds after their end: the last ones have no chain of records to build on."""
INTERVAL_SECONDS = 15.0
RATES = {"rackwatt_engine_tokens_total": 30_000.0, "rackwatt_energy_joules_total": 4_800.0}
RATE = 100.0
"""Of all other counters, a second."""
METHOD = (
    "longest of the groups' last evaluations on a real Prometheus, over samples each {} s of the {} series "
    "that the rules read of each node; nodes are copies of the page of a daemon with 4 GPUs and 2 engines"
)
_SAMPLE = re.compile(r"(?P<name>\w+)\{?(?P<labels>.*?)\}? (?P<value>\S+)$")


def recording(*, quick: bool) -> list[Figure]:
    """Make a block of samples of many nodes, start Prometheus on it, and read how long its rules took."""
    nodes = QUICK_NODES if quick else NODES
    with workplace() as folder:
        with node(folder / "node", *SMALL) as small:
            page = small.page()
        wanted = {
            name for rule in promql.rules_of(*promql.RECORDING) for name, _ in promql.used(rule["expr"])
        }
        lines = [line for line in page.splitlines() if line.partition("{")[0].partition(" ")[0] in wanted]
        end = int(time.time() + MAKING_SECONDS + MAKING_SECONDS_PER_NODE * nodes)
        with Path(folder / "samples").open("w") as file:
            file.writelines(_samples(lines, nodes, end))
        seconds, recorded, percent, mebibytes = _evaluated(folder, end)
    method = METHOD.format(STEP_SECONDS, len(lines) + 1)
    return [
        Figure(
            f"rules of {nodes} nodes, a round",
            seconds,
            "s",
            method,
            budget=at_most(seconds, INTERVAL_SECONDS, "<= 15 s, an interval"),
        ),
        Figure(
            f"rules of {nodes} nodes, CPU", percent, "% of a core", f"evaluated each {INTERVAL_SECONDS:.0f} s"
        ),
        Figure(f"rules of {nodes} nodes, memory", mebibytes, "MiB", "VmRSS, samples of the rules alone"),
        Figure(f"rules of {nodes} nodes, recorded", recorded, "series", "count by name"),
    ]


def _samples(lines: list[str], nodes: int, end: int) -> Iterator[str]:
    """Yield OpenMetrics with the series of many nodes."""
    for number in range(nodes):
        target = f'job="rackwatt",instance="tray-{number:04}:9744"'
        yield from _series("up", target, 1.0, 0.0, end)
        for line in lines:
            found = _SAMPLE.match(line)
            assert found is not None, line
            labels = f"{found['labels']},{target}" if found["labels"] else target
            if found["name"] == "rackwatt_node_info":
                labels = f'node="tray-{number:04}",rack="r{number // MEMBERS:02}",{target}'
            counts = found["name"].endswith(("_total", "_bucket"))
            rate = RATES.get(found["name"], RATE) if counts else 0.0
            yield from _series(found["name"], labels, float(found["value"]), rate, end)
    yield "# EOF\n"


def _series(name: str, labels: str, value: float, rate: float, end: int) -> Iterator[str]:
    for at in range(0, BEFORE_SECONDS + 1, STEP_SECONDS):
        yield f"{name}{{{labels}}} {value + rate * at:.1f} {end - BEFORE_SECONDS + at}\n"


def _evaluated(folder: Path, end: int) -> tuple[float, int, float, float]:
    """Return seconds of the longest round, recorded series, CPU and memory."""
    data = folder / "tsdb"
    making = [found_program("promtool"), "tsdb", "create-blocks-from", "openmetrics"]
    subprocess.run(
        [*making, str(folder / "samples"), str(data)], check=True, capture_output=True, timeout=600
    )
    (folder / "samples").unlink()
    config, port = folder / "prometheus.yml", free_port()
    files = "".join(f"  - {path}\n" for path in promql.RECORDING)
    config.write_text(f"global: {{evaluation_interval: {INTERVAL_SECONDS:.0f}s}}\nrule_files:\n{files}")
    url = f"http://{LOOPBACK}:{port}"
    command = [found_program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={data}"]
    with Program([*command, f"--web.listen-address={LOOPBACK}:{port}", "--log.level=warn"]) as program:
        wait_http(f"{url}/-/ready", program, 60.0)
        time.sleep(max(0.0, end + SETTLE_SECONDS - time.time()))
        began, before = time.monotonic(), cpu_seconds(program.pid)
        time.sleep(INTERVAL_SECONDS)
        percent = 100 * (cpu_seconds(program.pid) - before) / (time.monotonic() - began)
        page = http_get(f"{url}/metrics")[1].decode()
        rounds = re.findall(r"^prometheus_rule_group_last_duration_seconds\{.*\} (\S+)$", page, re.MULTILINE)
        samples = re.findall(
            r"^prometheus_rule_group_last_evaluation_samples\{.*\} (\S+)$", page, re.MULTILINE
        )
        return max(map(float, rounds)), int(sum(map(float, samples))), percent, rss_bytes(program.pid) / 2**20
