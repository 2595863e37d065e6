"""The daemons that are measured, all on the same fake GPUs, and the clocks they are measured by."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fakes.agent import RunningAgent
from fakes.engines.truth import TruthEngine
from fakes.nvml.driver import FakeDriver
from fakes.processes import LOOPBACK, ProcessFailedError, Program, free_port, pss_bytes, rss_bytes, wait_http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MIB = 2**20
GPUS = 8
GPU_LOAD = 0.7
START_SECONDS = 15.0
PEER = "nvitop-exporter"
PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""What Prometheus 2.42 sends."""
AS_PROMETHEUS = {"Accept": PROMETHEUS_ACCEPT, "Accept-Encoding": "gzip"}
BYTECODE = Path(__file__).parents[1] / ".cache" / "bytecode"
"""Installed packages have theirs; a checkout, or an environment that forbids writing it, may have none."""
AS_RACKWATT = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"}


class MissingPeerError(RuntimeError):
    """A program that ours is compared with is not installed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used over a window."""

    cpu_percent: float
    """Of one core."""
    rss_mib: float
    pss_mib: float
    seconds: float


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, ended threads included.

    It is the clock of clock_getcpuclockid(3): the scheduler's own nanoseconds, as in schedstat, which
    forgets threads when they end (prometheus_client's server starts one for each scrape).
    """
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def watch(pids: Sequence[int], seconds: float) -> list[Usage]:
    """Measure processes over the same seconds."""
    began, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    time.sleep(seconds)
    elapsed, after = time.monotonic() - began, [cpu_seconds(pid) for pid in pids]
    return [
        Usage(100 * (now - then) / elapsed, rss_bytes(pid) / MIB, pss_bytes(pid) / MIB, elapsed)
        for pid, then, now in zip(pids, before, after, strict=True)
    ]


class Beside(threading.Thread):
    """Does something again and again beside a measurement, until its block is left."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()

    def __enter__(self) -> Self:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self.done.set()
        self.join(5.0)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that goes away with what was put into it."""
    with tempfile.TemporaryDirectory(prefix="rackwatt-bench-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def gpus(folder: Path) -> Iterator[FakeDriver]:
    """Eight fake H100s under load."""
    with FakeDriver(folder, preset="h100") as driver:
        driver.load("*", GPU_LOAD)
        yield driver


@contextlib.contextmanager
def engines(count: int) -> Iterator[list[TruthEngine]]:
    """Serving engines with vLLM's page of 60 KB, a process each."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(TruthEngine()) for _ in range(count)]


def with_bytecode(env: Mapping[str, str] | None) -> dict[str, str]:
    """Return an environment in which Python keeps what it compiles, so that only the first start compiles."""
    return {**(env or {}), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(BYTECODE)}


def rackwatt(
    folder: Path,
    driver: FakeDriver | None,
    urls: Sequence[str] = (),
    otlp: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **nvml: Any,
) -> RunningAgent:
    """`rackwatt run` with its defaults on these GPUs and engines, not yet started; pushing if so told.

    `more` are settings beside those.
    """
    collectors: dict[str, Any] = {}
    if driver is not None:
        collectors["nvml"] = {"kmsg": "", **nvml}
    if urls:
        collectors["engines"] = {"targets": [{"url": f"{url}/metrics"} for url in urls]}
    exporters = {"prometheus": {}} | ({} if otlp is None else {"otlp": dict(otlp)})
    settings = {"collectors": collectors, "exporters": exporters, **(more or {})}
    env = with_bytecode(driver.env if driver is not None else None)
    return RunningAgent(folder, settings, env)


class Peer:
    """nvitop-exporter at its default of 1 Hz; usable as a context manager."""

    def __init__(self, folder: Path, driver: FakeDriver) -> None:
        found = shutil.which(PEER, path=str(Path(sys.executable).parent))
        if found is None:
            raise MissingPeerError(f"{PEER} is not installed beside {sys.executable}: pip install {PEER}")
        self.port = free_port()
        command = [found, "--hostname", "bench", "--port", str(self.port), "--interval", "1"]
        self.program = Program(command, log=folder / "nvitop-exporter.log", env=with_bytecode(driver.env))

    def __enter__(self) -> Self:
        """Start, and wait for the first page that has every GPU: before, it grows from scrape to scrape."""
        self.program.start()
        url, ends = f"http://{LOOPBACK}:{self.port}/metrics", time.monotonic() + START_SECONDS
        while wait_http(url, self.program).count(b"\ngpu_power_usage_W{") < GPUS:
            if time.monotonic() > ends:
                raise ProcessFailedError(f"{PEER} does not show {GPUS} GPUs:\n{self.program.tail()}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.program.stop()


class Client:
    """A scraper of one page, which keeps its connection where the server lets it, as Prometheus does."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10.0)
        self._headers = dict(headers)
        self.last = b""
        """The body of the last scrape."""

    def scrape(self) -> tuple[float, bytes]:
        """Return the seconds from asking to the last byte, and the body as sent."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != http.client.OK:
            raise RuntimeError(f"/metrics answered {answer.status}")
        self.last = body
        return seconds, body


class Scraping(Beside):
    """Scrapes pages again and again, as Prometheus asks for them."""

    def __init__(self, ports: Sequence[int], every_seconds: float) -> None:
        super().__init__()
        self._ports, self._every_seconds = ports, every_seconds

    def run(self) -> None:
        """Scrape until told to end."""
        clients = [Client(port, AS_PROMETHEUS) for port in self._ports]
        while not self.done.wait(self._every_seconds):
            for client in clients:
                client.scrape()
