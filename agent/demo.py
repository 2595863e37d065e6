"""`rackwatt demo`: the twin, a real daemon for each of its trays, and one for the rack, in one command.

Every daemon is a process of its own that runs what `rackwatt run` runs. They are forked from this process,
which has everything imported and neither threads nor an event loop: 19 of them start in a second or two.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import http.client
import json
import os
import signal
import sys
import time
import traceback
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.demo_folder import demo_folder
from agent.twin.ports import ReservedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.twin.scenario import Scenario

LOOPBACK = "127.0.0.1"
LINE_SECONDS = 2.0
START_SECONDS = 60.0
STOP_SECONDS = 5.0
ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.05
TAIL_BYTES = 2000
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SITE = {
    "pue": {"value": 1.2, "source": "the demo: made up"},
    "currency": "USD",
    "price_per_kwh": 0.08,
    "price_per_gpu_hour": 3.30,
    "grams_co2e_per_kwh": {"value": 400.0, "source": "the demo: made up"},
}
NODE_DOWN = "node_down"
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
FINE, FOUND_WRONG = 0, 1


class DemoError(Exception):
    """A part of the demo does not run."""


class Ended(Exception):  # noqa: N818 - it is no error
    """Somebody wants the demo to end."""


@dataclass(slots=True)
class Child:
    """One forked process."""

    name: str
    job: Callable[[], int]
    log: Path
    pid: int = 0

    def start(self) -> None:
        """Fork; the child ends with us, however we end."""
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid:
            return
        try:
            _become_child(self.name, self.log, parent)
            code = self.job()
        except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
            traceback.print_exc()
            code = FOUND_WRONG
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)

    @property
    def running(self) -> bool:
        """Whether it lives; one that ended is reaped."""
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return bool(self.pid)

    def signal(self, number: int) -> None:
        """Send a signal if it lives."""
        if self.running:
            os.kill(self.pid, number)

    def tail(self) -> str:
        """Return its last words."""
        try:
            return self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""


class Demo:
    """Starts everything, shows it, stops everything."""

    def __init__(self, scenario: Scenario, scenario_name: str, listen: str, first_port: int = 0) -> None:
        """Take the ports: of the trays from `first_port` on, or any. Raises DemoError when one is taken.

        The scenario has the trays that are watched and no other: its rack meter and its truth are theirs.
        """
        self._scenario = scenario
        self._scenario_name = scenario_name
        self._listen = listen
        self._twin_port = ReservedPort(LOOPBACK)
        self._twin_url = f"http://{LOOPBACK}:{self._twin_port.port}"
        self._ports: list[ReservedPort] = []
        try:
            for number in range(scenario.rack.trays):
                self._ports.append(ReservedPort(LOOPBACK, first_port + number if first_port else 0))
        except OSError as error:
            self.close()
            where = first_port + len(self._ports)
            raise DemoError(f"--node-ports: cannot listen on {where}: {error.strerror}") from error
        self._children: list[Child] = []
        self._down: set[int] = set()
        """Trays whose node was taken away by the scenario."""

    def close(self) -> None:
        """Let go of the ports."""
        for port in (self._twin_port, *self._ports):
            port.close()

    def run(self, seconds: float | None) -> int:
        """Run for some time, or until SIGINT or SIGTERM; return the exit code."""
        for number in ENDING:
            signal.signal(number, _end)
        with demo_folder() as folder:
            try:
                self._start(folder)
                self._show(seconds)
            except Ended:
                print("ended")
            except DemoError as error:
                print(f"rackwatt demo: {error}", file=sys.stderr)
                return FOUND_WRONG
            finally:
                self._stop()
        return FINE

    def _start(self, folder: Path) -> None:
        urls = [f"http://{LOOPBACK}:{port.port}" for port in self._ports]
        metered = self._twin_url if self._scenario.rack.meters else ""
        whole = rack_settings(self._scenario, self._listen, urls, metered)
        _import_for(whole, node_settings(0, 0, self._twin_url, ()))
        gc.freeze()  # so that the collector does not copy what the children share
        rack_of = ["--scenario", self._scenario_name, "--trays", str(self._scenario.rack.trays)]
        twin = self._child("twin", folder, ["twin", *rack_of, "--listen"])
        index = _wait_json(self._twin_url, twin)
        rack = self._daemon("rack", folder, whole)
        for number, port in enumerate(self._ports):
            engines = index["trays"][number]["engines"]
            gpus = self._scenario.rack.gpus_per_tray
            settings = node_settings(number, port.port, self._twin_url, engines, gpus)
            settings["rack"] = {"name": self._scenario.rack.name}  # so that series of nodes and rack meet
            self._daemon(node_name(number), folder, settings)
        _wait_json(f"http://{self._listen}/api/v1/rack", rack)
        print(f"scenario {self._scenario.name}: {self._scenario.about}")
        print(f"the rack is at http://{self._listen} (truth: {self._twin_url}/truth); Ctrl-C ends the demo")
        print(flush=True)

    def _child(self, name: str, folder: Path, arguments: Sequence[str]) -> Child:
        full = list(arguments)
        if full[-1] == "--listen":
            full.append(f"{LOOPBACK}:{self._twin_port.port}")
        child = Child(name, lambda: _main(full), folder / f"{name}.log")
        self._children.append(child)
        child.start()
        return child

    def _daemon(self, name: str, folder: Path, settings: dict[str, Any]) -> Child:
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps({**settings, "state_dir": str(folder / name)}))  # JSON is YAML
        return self._child(name, folder, ["--log-level", "warning", "run", "--config", str(path)])

    def _show(self, seconds: float | None) -> None:
        """Print a line now and then; nodes come and go as the scenario says."""
        began = time.monotonic()
        while seconds is None or time.monotonic() - began < seconds:
            time.sleep(LINE_SECONDS)
            self._check_parts()
            try:
                self._follow_nodes()
                rack = _get_json(f"http://{self._listen}/api/v1/rack")
            except OSError as error:
                print(f"no answer: {error}", flush=True)
            else:
                print(line(rack), flush=True)

    def _check_parts(self) -> None:
        """Stop when there is nothing to see any more; a node may die, that is worth seeing."""
        for child in self._children[:2]:
            if not child.running:
                raise DemoError(f"{child.name} ended:\n{child.tail()}")

    def _follow_nodes(self) -> None:
        """Kill and start daemons with the tray that they run on."""
        _, _, *nodes = self._children
        trays = _get_json(f"{self._twin_url}/truth")["trays"]
        for number, node in enumerate(nodes):
            off = NODE_DOWN in trays[number]["faults"]
            if off and number not in self._down:
                self._down.add(number)
                node.signal(signal.SIGKILL)
            elif not off and number in self._down:
                self._down.discard(number)
                if not node.running:
                    node.start()

    def _stop(self) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        ends = time.monotonic() + STOP_SECONDS
        for child in self._children:
            child.signal(signal.SIGTERM)
        while any(child.running for child in self._children):
            if time.monotonic() > ends:
                for child in self._children:
                    child.signal(signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def node_name(number: int) -> str:
    """Return what the node of a tray is called."""
    return f"tray-{number:02d}"


def node_settings(
    number: int, port: int, twin_url: str, engines: Sequence[str], gpus: int = 0
) -> dict[str, Any]:
    """Return the configuration of one node, whose engines share its GPUs out in order."""
    each = gpus // max(1, len(engines))
    targets = [
        {"url": url, "engine": "vllm", "gpus": list(range(place * each, (place + 1) * each))}
        for place, url in enumerate(engines)
    ]
    return {
        "listen": f"{LOOPBACK}:{port}",
        "node": {"name": node_name(number)},
        "collectors": {
            "twin": {"url": twin_url, "tray": number},
            "engines": {"targets": targets},
        },
        "exporters": {"prometheus": {}},
    }


def rack_settings(
    scenario: Scenario, listen: str, members: Sequence[str], twin_url: str = ""
) -> dict[str, Any]:
    """Return the configuration of the daemon that reckons the rack and, with `twin_url`, reads its meter."""
    rack: dict[str, Any] = {"name": scenario.rack.name, "members": list(members)}
    if scenario.record:
        rack["record"] = scenario.record
    return {
        "listen": listen,
        "node": {"name": "rack"},
        "rack": rack,
        "collectors": {"twin": {"url": twin_url, "rack": True}} if twin_url else {},
        **({"site": SITE} if twin_url else {}),
        "exporters": {"prometheus": {}},
    }


def line(rack: dict[str, Any]) -> str:
    """Return one line of live figures; what is not known says why."""
    rate = rack["tokens_per_second"].get("output")
    watts = rack["power_watts"].get("gpu")
    ratio = rack["tokens_per_joule"].get("gpu", {}).get("output")
    nodes, gpus, record = rack["nodes"], rack["gpus"], rack["record"]
    parts = [
        f"{'-' if rate is None else f'{rate:,.0f}':>11} output tokens/s",
        f"{'-' if watts is None else f'{watts / 1000:.1f}':>6} kW at the GPUs",
        f"{'-' if ratio is None else f'{ratio:.2f}':>6} tokens/J",
        f"{nodes['reporting']:>2}/{nodes['expected']} nodes",
        f"{gpus['reporting']:>2}/{gpus['expected']} GPUs",
    ]
    if record is not None and record["ratio"] is not None:
        parts.append(f"{record['ratio']:6.1%} of the record")
    reasons = ", ".join(rack["reasons"]) or "valid"
    missing = f"; missing: {', '.join(nodes['missing'])}" if nodes["missing"] else ""
    return f"{'   '.join(parts)}   {reasons}{missing}"


def _main(arguments: list[str]) -> int:
    from agent.cli import main  # noqa: PLC0415 - the command imports us

    return main(arguments)


def _import_for(*settings: dict[str, Any]) -> None:
    """Load what these daemons and the twin need, once for all."""
    from agent import config, daemon, plugins  # noqa: F401, PLC0415 - see above
    from agent.twin import server  # noqa: F401, PLC0415

    for each in settings:
        config.parse(json.dumps(each), "demo")  # imports the plug-ins that it names
    plugins.engine_tables()


def _become_child(name: str, log: Path, parent: int) -> None:
    """Die with the parent, write to a log, be called by a name of our own."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, f"rw-{name}".encode()[:15], 0, 0, 0)
    if os.getppid() != parent:
        os._exit(FINE)
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which ends us in order
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def _get_json(url: str) -> dict[str, Any]:
    """Ask one of our own processes. Raises OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as response:
            told: dict[str, Any] = json.loads(response.read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"{url}: {error!r}") from error
    return told


def _wait_json(url: str, child: Child) -> dict[str, Any]:
    """Wait until a child answers. Raises DemoError."""
    ends = time.monotonic() + START_SECONDS
    while child.running and time.monotonic() < ends:
        try:
            return _get_json(url)
        except OSError:
            time.sleep(POLL_SECONDS)
    raise DemoError(f"{child.name} does not answer at {url}:\n{child.tail()}")


def _end(*_: object) -> None:
    raise Ended
