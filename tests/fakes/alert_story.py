"""What goes wrong in two racks, on one node and on two pages of chosen values, and what is told of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Self

import yaml
from fakes.agent import RunningAgent
from fakes.alertmanager import Alertmanager, Chosen, Webhook, write_faster
from fakes.nvml.driver import FakeDriver
from fakes.processes import LOOPBACK, free_port, http_get
from fakes.prometheus import Prometheus
from fakes.rack_cast import Cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FAULTS_AT, FAULTS_LAST = 28, 28
HOT = f"""
rack: {{trays: 6, models: [llama], tokens_per_second: 40000, meters: true}}
load: {{level: 0.9}}
events:
  - {{kind: power_brake, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [0, 1]}}
  - {{kind: thermal, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [2], degrees: 50}}
  - {{kind: power_cap, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [3], gpus: [1], watts: 700}}
  - {{kind: gpu_fault, at: {FAULTS_AT}s, trays: [4], gpus: [0], xid: 94}}
  - {{kind: gpu_fault, at: {FAULTS_AT}s, trays: [4], gpus: [1], xid: 149}}
  - {{kind: gpu_fault, at: {FAULTS_AT}s, trays: [4], gpus: [2], xid: 145}}
  - {{kind: meter_dead, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [5]}}
"""
DARK = f"""
rack: {{trays: 6, models: [llama], tokens_per_second: 40000}}
load: {{level: 0.7}}
events:
  - {{kind: node_down, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [0]}}
  - {{kind: engine_crash, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [1]}}
  - {{kind: gpu_lost, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [2], gpus: [1]}}
  - {{kind: engine_stall, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [3]}}
  - {{kind: engine_restart, at: {FAULTS_AT}s, lasts: 2s, trays: [4]}}
  - {{kind: engine_restart, at: {FAULTS_AT + 6}s, lasts: 2s, trays: [4]}}
  - {{kind: engine_restart, at: {FAULTS_AT + 12}s, lasts: 2s, trays: [4]}}
  - {{kind: engine_restart, at: {FAULTS_AT + 18}s, lasts: 2s, trays: [4]}}
  - {{kind: engine_restart, at: {FAULTS_AT + 24}s, lasts: 2s, trays: [4]}}
  - {{kind: telemetry_gap, at: {FAULTS_AT}s, lasts: {FAULTS_LAST}s, trays: [5]}}
"""
FASTER = {
    "telemetry_gap_for": "8s",
    "recent_window": "20s",
    "recent_offset": "10s",
    "day_window": "600s",
    "engine_restarts_window": "25s",
    "agent_restarts_window": "10s",
    "slo_page_long": "30s",
    "slo_slow_page_long": "15s",
    "slo_slow_page_short": "6s",
    "slo_ticket_long": "40s",
    "ecc_corrected_window": "5s",
    "recordings_window": "10s",
    "leak_unwatched_for": "6s",
    "meters_disagree_for": "6s",
    "pcie_for": "6s",
    "unbooked_for": "6s",
    "efficiency_offset": "10s",
    "efficiency_for": "8s",
    "straggler_for": "14s",
    "stall_for": "16s",
    "absent_for": "6s",
    "slo_rate_window": "5s",
    "slo_unmeasured_for": "6s",
    "throughput_drop_ratio": "0.85",
}
"""What would still outlast the test, come before the incident that holds it back, or be a near miss."""
LLAMA = 'engine="vllm",engine_instance="a:1",model="lab"'
CELL = 'kind="drop",cause="host_pressure"'
STANDS = f'rackwatt_incident_active{{scope="node",severity="critical",node="cell-1",gpu="",{CELL}}}'
LOST = f'rackwatt_incident_lost_tokens_total{{token_kind="output",scope="node",{CELL}}}'
LEAN = 'engine="vllm",engine_instance="a:2",model="lean"'
LEAN_TOKENS = f'rackwatt_engine_tokens_total{{{LEAN},kind="output"}}'
NVLINK = 'kind="fault",cause="nvlink",severity="warning",node="lab-2",gpu="1"'
FAULT = f'rackwatt_incident_active{{scope="node",{NVLINK}}}'
INVALID = 'rackwatt_figure_invalid_reason{figure="node_tokens_per_second",reason="gap"}'
PLACE = 'target="bmc-1",sensor="Chassis_0/ColdPlate"'
LEAK, DRY, MUTE = (
    f'rackwatt_leak_detector_state{{{PLACE},state="{state}"}}' for state in ("critical", "ok", "unknown")
)
DOUBT = 'rackwatt_figure_invalid_reason{figure="node_tokens_per_joule_module",reason="meters_disagree"}'
PORT = 'rackwatt_host_infiniband_up{device="mlx5_0",port="1"}'
LANES, LINKS = 'rackwatt_gpu_pcie_link_width_lanes{gpu="1"}', 'rackwatt_gpu_nvlinks{gpu="1",state="active"}'
UNSENT = 'rackwatt_exporter_lost_points_total{exporter="otlp",reason="overflow"}'
LOST_FILES = "rackwatt_recordings_lost_total"
ENDED = f"rackwatt_engine_requests_finished_total{{{LLAMA},outcome="
UNBOOKED = 'rackwatt_rack_unbooked_joules_total{rack="lab",total="cost",boundary="rack"}'
VERSION = 'rackwatt_build_info{version="0.1.0",revision="x"}'
NEWER = 'rackwatt_build_info{version="0.2.0",revision="x"}'
FIRST_TOKEN = "rackwatt_model_time_to_first_token_seconds_bucket"
BETWEEN = "rackwatt_model_inter_token_latency_seconds_bucket"


class Story:
    """Everything that runs; `tell` lets it happen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()
        self.fired: set[tuple[tuple[str, str], ...]] = set()
        """Labels of every alert that Prometheus held for firing."""
        self.fired_before: set[tuple[tuple[str, str], ...]] = set()
        """The same until the first fault."""
        self.pages_before_the_end: list[Mapping[str, str]] = []
        """Groups that were paged while the faults lasted, one for each notification."""
        self.failed_rules: list[str] = []
        self.ended = 0.0
        """When the faults ended; what was held back by one that ends sooner may be told after it."""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.webhook = stack.enter_context(Webhook())
            urls = {f"{which}_url": f"{self.webhook.url}/{which}" for which in ("page", "ticket", "watchdog")}
            recording, alerts, config = write_faster(self._folder, FASTER | urls)
            self.alertmanager = stack.enter_context(Alertmanager(config, self._folder))
            self.hot, self.dark = self._racks(stack)
            self.driver = stack.enter_context(FakeDriver(self._folder, preset="gb300"))
            self.bench = stack.enter_context(self._bench())
            self.lab = stack.enter_context(Chosen("lab-1", "lab"))
            self.other = stack.enter_context(Chosen("lab-2", "lab"))
            self.cell = stack.enter_context(Chosen("cell-1", "cell"))
            self._never = free_port()
            self._lean()
            self._well()
            self.prometheus = stack.enter_context(
                Prometheus(
                    {"rackwatt": self._addresses()},
                    rule_files=[recording, alerts],
                    alertmanagers=[self.alertmanager.address],
                )
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _racks(self, stack: contextlib.ExitStack) -> list[Cast]:
        casts = []
        for name, scenario in (("hot", HOT), ("dark", DARK)):
            folder = self._folder / name
            folder.mkdir()
            casts.append(stack.enter_context(Cast(folder, scenario)))
        for name, cast in zip(("hot", "dark"), casts, strict=True):
            for number in range(6):
                node = cast.node(number)
                settings = yaml.safe_load(node.config_file.read_text())
                names = {"rack": {"name": name}, "node": {"name": f"{name}-{number}"}, "window": "5s"}
                node.configure(settings | names)
                node.start(wait=False)
            cast.head(f"{name}-head", rack={"name": name}, window="5s")
        return casts

    def _bench(self) -> RunningAgent:
        settings = {
            "node": {"name": "bench-1"},
            "rack": {"name": "bench"},
            "collectors": {"nvml": {"interval": "500ms", "slow_interval": "1s", "kmsg": ""}},
        }
        return RunningAgent(self._folder / "bench", settings, env=self.driver.env)

    def _lean(self) -> None:
        """Serve a model beside the other one: as many requests and watts all the time."""
        for name, value in {
            "engine_up": 1.0,
            "engine_counted": 1.0,
            "engine_requests": 20.0,
        }.items():
            more = {"engine_counted": ',kind="output"', "engine_requests": ',state="running"'}.get(name, "")
            self.lab.gauges[f"rackwatt_{name}{{{LEAN}{more}}}"] = value
        ratio = 'rackwatt_model_tokens_per_joule{model="lean",kind="output",boundary="gpu"}'
        self.lab.gauges[ratio] = 5.0
        self.cell.gauges.update({name: value for name, value in self.lab.gauges.items() if LEAN in name})
        self.lab.per_second['rackwatt_model_energy_joules_total{model="lean",boundary="gpu"}'] = 200.0

    def _daemons(self) -> list[RunningAgent]:
        casts = (self.hot, self.dark)
        return [each for cast in casts for each in (*cast.nodes.values(), *cast.heads.values())]

    def _pages(self) -> tuple[Chosen, ...]:
        return self.lab, self.other, self.cell

    def _addresses(self) -> list[str]:
        ours = [f"{LOOPBACK}:{daemon.port}" for daemon in (*self._daemons(), self.bench)]
        return [*ours, *(page.address for page in self._pages()), f"{LOOPBACK}:{self._never}"]

    def _well(self) -> None:
        """The lab as it is before and after."""
        lab = self.lab
        for name in ("state_writable", "config_reload_success", "web_config_reload_success"):
            lab.gauges[f"rackwatt_{name}"] = 1.0
        lab.gauges['rackwatt_gpu_energy_crosscheck{gpu="0",verdict="mismatch"}'] = 0.0
        lab.gauges['rackwatt_gpu_thermal_margin_celsius{gpu="0"}'] = 20.0
        lab.gauges[f"rackwatt_engine_up{{{LLAMA}}}"] = 1.0
        lab.gauges[f'rackwatt_engine_counted{{{LLAMA},kind="output"}}'] = 1.0
        lab.gauges[f'rackwatt_engine_requests{{{LLAMA},state="running"}}'] = 100.0
        lab.gauges["process_start_time_seconds"] = 1.0
        self._dry()
        for metric, le in ((FIRST_TOKEN, "2.5"), (BETWEEN, "0.5")):
            lab.per_second[f'{metric}{{model="lab",le="+Inf"}}'] = 100.0
            lab.per_second[f'{metric}{{model="lab",le="{le}"}}'] = 100.0
        lab.per_second[LEAN_TOKENS] = self.cell.per_second[LEAN_TOKENS] = 1000.0
        self.cell.per_second[LOST] = 0.0
        self.cell.gauges.pop(STANDS, None)
        self.other.gauges[INVALID] = 0.0
        self.other.gauges.pop(FAULT, None)
        self.other.gauges[VERSION] = 1.0
        self.other.gauges.pop(NEWER, None)

    def _dry(self) -> None:
        """What surrounds the GPUs as it is before and after."""
        lab = self.lab
        for gpu in ("0", "1"):
            who = f'gpu="{gpu}",uuid="{gpu}",product="GB300",serial="1",pci="{gpu}",driver="580"'
            lab.gauges[f"rackwatt_gpu_info{{{who}}}"] = 1.0
            lab.gauges[f'rackwatt_gpu_nvlinks{{gpu="{gpu}",state="active"}}'] = 18.0
        lab.gauges['rackwatt_gpu_pcie_link_max_width_lanes{gpu="1"}'] = lab.gauges[LANES] = 16.0
        lab.gauges[PORT], lab.gauges[DOUBT] = 1.0, 0.0
        lab.gauges[DRY], lab.gauges[MUTE] = 1.0, 0.0
        self.other.gauges[DRY], self.other.gauges[LEAK] = 1.0, 0.0
        for counter in ("rackwatt_host_oom_kills_total", UNSENT, UNBOOKED, f'{ENDED}"failed"}}'):
            lab.per_second[counter] = 0.0
        lab.per_second[f'{ENDED}"succeeded"}}'] = 90.0
        self.other.per_second[LOST_FILES] = 0.0

    def _wet(self) -> None:
        lab = self.lab
        lab.gauges[LINKS], lab.gauges[LANES] = 17.0, 4.0
        lab.gauges[PORT], lab.gauges[DOUBT] = 0.0, 1.0
        lab.gauges[DRY], lab.gauges[MUTE] = 0.0, 1.0
        self.other.gauges[DRY], self.other.gauges[LEAK] = 0.0, 1.0
        for counter in ("rackwatt_host_oom_kills_total", UNSENT, UNBOOKED):
            lab.per_second[counter] = 1.0
        lab.per_second[f'{ENDED}"failed"}}'] = 30.0
        self.other.per_second[LOST_FILES] = 1.0

    def _ill(self) -> None:
        lab = self.lab
        self._wet()
        for name in ("state_writable", "config_reload_success", "web_config_reload_success"):
            lab.gauges[f"rackwatt_{name}"] = 0.0
        lab.gauges['rackwatt_gpu_energy_crosscheck{gpu="0",verdict="mismatch"}'] = 1.0
        lab.gauges['rackwatt_gpu_thermal_margin_celsius{gpu="0"}'] = 3.0
        lab.per_second[LEAN_TOKENS] = self.cell.per_second[LEAN_TOKENS] = 500.0
        self.cell.per_second[LOST] = 500.0
        self.cell.gauges[STANDS] = 1.0
        self.other.gauges[INVALID] = 1.0
        self.other.gauges[FAULT] = 1.0
        self.other.gauges[NEWER] = self.other.gauges.pop(VERSION)
        lab.gauges[f"rackwatt_engine_up{{{LLAMA}}}"] = 0.0
        lab.gauges[f'rackwatt_engine_requests{{{LLAMA},state="running"}}'] = 10.0
        lab.per_second[f'{FIRST_TOKEN}{{model="lab",le="2.5"}}'] = 60.0

    def _bench_ill(self) -> None:
        driver = self.driver
        driver.load(0, 1.0)
        driver.throttle(1, "hw_slowdown")
        driver.xid(2, 13)
        driver.ecc(1, "uncorrected", 3)
        driver.remap(2, "failure", 1)
        driver.set(2, "recovery_action", 1)
        driver.set(0, "fabric", "summary", 2)
        driver.set(2, "fabric", "state", 2)
        driver.lose(3)

    def _bench_well(self) -> None:
        driver = self.driver
        driver.load(0, 0.1)
        driver.throttle(1, "hw_slowdown", on=False)
        driver.remap(2, "failure", 0)
        driver.set(2, "recovery_action", 0)
        driver.set(0, "fabric", "summary", 1)
        driver.set(2, "fabric", "state", 3)
        driver.find(3)

    def tell(self) -> Self:
        """Let everything go wrong, and then right again."""
        watching = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(watching,))
        watcher.start()
        self.hot.twin.wait_until(FAULTS_AT - 1)  # that twin began first
        self.fired_before = set(self.fired)
        self.dark.twin.wait_until(FAULTS_AT)
        down = self.dark.nodes[0]
        down.program.kill()
        self._ill()
        self._bench_ill()
        ends = time.monotonic() + FAULTS_LAST
        while time.monotonic() < ends:
            self.driver.ecc(2, "corrected", 500)
            self.lab.gauges["process_start_time_seconds"] += 0.4
            time.sleep(1.0)
        self.ended = time.monotonic()
        self.pages_before_the_end = [group for path, group in self.webhook.notifications if path == "/page"]
        self.failed_rules = self._failed_rules()
        self._well()
        self._bench_well()
        self._begun_mended()
        down.start(wait=False)
        self._until(lambda: not self._left("dark"), 45)
        self._unwatch()
        self._until(lambda: not self._left(), 45)
        self._vanish()
        watching.set()
        watcher.join()
        return self

    def _unwatch(self) -> None:
        """Take the daemon of a rack away, and give it back."""
        head = self.dark.heads["dark-head"]
        head.program.kill()
        self._until(lambda: bool(self.webhook.of("RackwattRackUnwatched")), 15)
        head.start(wait=False)

    def _begun_mended(self) -> None:
        """End what was wrong from the start: the target answers, and no latency is without its bound."""
        self.mended = self._stack.enter_context(Chosen("lab-3", "lab", self._never))
        for le in ("0.5", "+Inf"):
            self.lab.per_second[f'{BETWEEN}{{model="lab",le="{le}"}}'] = 0.0

    def _vanish(self) -> None:
        """Take every page away, and give one back."""
        for daemon in (*self._daemons(), self.bench):
            daemon.program.kill()
        for page in (self.mended, *self._pages()):
            page.close()
        self._until(lambda: bool(self.webhook.of("RackwattAbsent")), 15)
        self._stack.enter_context(Chosen("lab-1", "lab", self._never))
        self._until(lambda: bool(self.webhook.of("RackwattAbsent", firing=False)), 15)

    def _failed_rules(self) -> list[str]:
        groups = json.loads(http_get(f"{self.prometheus.url}/api/v1/rules")[1])["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]

    def _left(self, rack: str = "") -> set[str]:
        """Names of alerts that were told and have not resolved, of all racks or of one."""
        told = list(self.webhook.told)
        last = {tuple(sorted(each.labels.items())): each.firing for each in told}
        open_ = [dict(labels) for labels, firing in last.items() if firing]
        open_ = [each for each in open_ if not rack or each.get("rack") == rack]
        return {
            each["alertname"] for each in open_ if (each["alertname"], each.get("rack")) not in TO_STAY
        } - LASTING

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not condition() and time.monotonic() < ends:
            time.sleep(0.2)

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(1.0):
            for alert in self.prometheus.alerts():
                if alert["state"] == "firing":
                    self.fired.add(tuple(sorted(alert["labels"].items())))


LASTING = {"RackwattWatchdog"}
"""It goes on."""
TO_STAY = {("RackwattGpuRecoveryNeeded", "hot")}
TO_STAY |= {("RackwattIncidentFault", rack) for rack in ("hot", "dark", "bench")}
TO_STAY |= {
    (f"Rackwatt{what}SloBurn{pace}", rack)
    for what in ("Latency", "Throughput")
    for pace in ("", "Slow")
    for rack in ("hot", "dark")
}
"""A GPU that nobody resets, faults that are told for a minute, queues of the twin that take long to empty."""
