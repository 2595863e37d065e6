"""What public dashboards and alerts of dcgm-exporter ask for is answered by our page, in the same units.

Of each public source only the names, labels and comparisons are here, at the revision that was read.
"""

import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from fakes.agent import RunningAgent
from fakes.nvml.driver import FakeDriver
from fakes.processes import http_get
from fakes.prometheus import Prometheus

BOARDS = {
    # NVIDIA/dcgm-exporter, grafana/dcgm-exporter-dashboard.json (d5e5f51; 12239 on grafana.com)
    "nvidia": {
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    },
    # the same file in its first years (af87c0d), as it was copied to many places
    "nvidia-2021": {
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_MEM_CLOCK",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_FREE",
    },
    # ai-dynamo/dynamo, deploy/observability/grafana_dashboards/DASHBOARD_METRICS.md (60f57b2)
    "dynamo": {
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_PROF_NVLINK_TX_BYTES",
        "DCGM_FI_PROF_NVLINK_RX_BYTES",
    },
    # NVIDIA/gpu-operator, assets/state-dcgm-exporter/1000_prometheus_rule_openshift.yaml (5ae72ca)
    "gpu-operator": {
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_MEM_COPY_UTIL",
        "DCGM_FI_DEV_FB_TOTAL",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_MEM_CLOCK",
    },
    # mitchross/k3s-argocd-proxmox, monitoring/prometheus-stack/gpu-alerts.yaml (4c13ee6)
    "homelab": {
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_FB_TOTAL",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_SM_CLOCK",
    },
    # appleparan/Algalon, monitoring/rules: gpu-xid.yml, gpu-ecc.yml and gpu-health.yml (e72a031, 2658796)
    "algalon": {
        "DCGM_FI_DEV_XID_ERRORS",
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
        "DCGM_FI_DEV_ROW_REMAP_FAILURE",
        "DCGM_FI_DEV_ROW_REMAP_PENDING",
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_MEMORY_TEMP",
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS",
    },
}
LABELS = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION"}

ALERTS = {
    "DCGM_FI_DEV_GPU_TEMP > 85": {"0"},
    "DCGM_FI_DEV_MEMORY_TEMP > 85": {"0"},
    "DCGM_FI_DEV_GPU_UTIL > 90": set(),
    "DCGM_FI_DEV_FB_USED / DCGM_FI_DEV_FB_TOTAL * 100 > 95": {"3"},
    "DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) > 0.95": {"3"},
    "DCGM_FI_DEV_FB_FREE < 512": {"3"},
    "DCGM_FI_DEV_POWER_USAGE > 400": {"0", "1", "2"},
    "DCGM_FI_DEV_SM_CLOCK < 500": set(),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS >= 8": {"1"},
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS >= 8": {"1"},
    "rate(DCGM_FI_DEV_POWER_VIOLATION[5m]) > 0": {"3"},
    "DCGM_FI_DEV_XID_ERRORS > 0": {"2"},
    "DCGM_FI_DEV_XID_ERRORS == 94": {"2"},
    "DCGM_FI_DEV_XID_ERRORS == 79": set(),
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL > 0": {"1"},
    "increase(DCGM_FI_DEV_ECC_DBE_VOL_TOTAL[5m]) > 0": {"1"},
    "DCGM_FI_DEV_ROW_REMAP_FAILURE > 0": {"1"},
    "DCGM_FI_DEV_ROW_REMAP_PENDING > 0": {"1"},
    "delta(DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS[10m]) > 0": {"1"},
    "delta(DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS[24h]) > 8": {"1"},
}
"""What alerts of these and other public files compare, and the GPUs of our scene of which it is true."""

ASK_NVML = """
import json, pynvml as n
n.nvmlInit()
told = []
for index in range(n.nvmlDeviceGetCount()):
    gpu = n.nvmlDeviceGetHandleByIndex(index)
    memory = n.nvmlDeviceGetMemoryInfo(gpu, n.nvmlMemory_v2)
    rates = n.nvmlDeviceGetUtilizationRates(gpu)
    told.append({
        "DCGM_FI_DEV_SM_CLOCK": n.nvmlDeviceGetClockInfo(gpu, n.NVML_CLOCK_SM),
        "DCGM_FI_DEV_MEM_CLOCK": n.nvmlDeviceGetClockInfo(gpu, n.NVML_CLOCK_MEM),
        "DCGM_FI_DEV_GPU_TEMP": n.nvmlDeviceGetTemperature(gpu, n.NVML_TEMPERATURE_GPU),
        "DCGM_FI_DEV_POWER_USAGE": n.nvmlDeviceGetPowerUsage(gpu) / 1000,
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT": n.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
        "DCGM_FI_DEV_GPU_UTIL": rates.gpu,
        "DCGM_FI_DEV_MEM_COPY_UTIL": rates.memory,
        "DCGM_FI_DEV_ENC_UTIL": n.nvmlDeviceGetEncoderUtilization(gpu)[0],
        "DCGM_FI_DEV_FB_TOTAL": memory.total // 2**20,
        "DCGM_FI_DEV_FB_USED": memory.used // 2**20,
        "DCGM_FI_DEV_FB_FREE": memory.free // 2**20,
        "DCGM_FI_DEV_FB_RESERVED": memory.reserved // 2**20,
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": n.nvmlDeviceGetPcieReplayCounter(gpu),
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": n.nvmlDeviceGetCurrentClocksEventReasons(gpu),
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": n.nvmlDeviceGetTotalEccErrors(gpu, 0, 0),
    })
print(json.dumps(told))
"""
"""Asks the driver what DCGM asks it, in DCGM's units."""


def prepare(folder):
    """A tray that has been at work for two minutes: GPU 0 is hot, 1 is braked, 3 is full and at its limit."""
    began = time.monotonic() - 120
    driver = FakeDriver(folder, "gb300", epoch=repr(began))
    driver.load("*", 0.6, at=began)
    driver.ambient(0, 75, at=began)
    driver.throttle(1, "hw_slowdown", at=began)
    driver.power_limit(3, 300, at=began)
    driver.memory_used(3, 283_000 * 2**20, at=began)
    return driver


def strike(driver):
    """GPU 1 has errors of its memory, GPU 2 an Xid."""
    driver.ecc(1, "uncorrected", 1)
    driver.ecc(1, "corrected", 40)
    for kind, count in (("uncorrectable", 1), ("correctable", 9), ("failure", 1), ("pending", 1)):
        driver.remap(1, kind, count)
    driver.xid(2, 94)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Two daemons, one of them without GPUs, and a Prometheus that scrapes both."""
    folder = tmp_path_factory.mktemp("dcgm")
    bare = tmp_path_factory.mktemp("bare")
    settings = {
        "node": {"name": "tray-07"},
        "collectors": {
            "nvml": {"interval": "200ms", "slow_interval": "500ms", "detail_interval": "200ms", "kmsg": ""}
        },
        "exporters": {"prometheus": {}, "dcgm_names": {}},
    }
    with (
        prepare(folder) as driver,
        FakeDriver(bare, gpus=0) as empty,
        RunningAgent(folder / "agent", settings, env=driver.env) as agent,
        RunningAgent(bare / "agent", settings, env=empty.env) as without,
        Prometheus(
            {"dcgm-exporter": [f"127.0.0.1:{agent.port}"], "bare": [f"127.0.0.1:{without.port}"]},
            metrics_path="/metrics/dcgm",
        ) as prometheus,
    ):
        prometheus.wait_for("count(DCGM_FI_DEV_XID_ERRORS) == 4")
        prometheus.wait_for("count_over_time(DCGM_FI_DEV_GPU_TEMP[1m]) >= 2")
        strike(driver)
        prometheus.wait_for("DCGM_FI_DEV_XID_ERRORS == 94 and DCGM_FI_DEV_XID_ERRORS > 0")
        prometheus.wait_for("delta(DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS[10m]) > 8")
        yield SimpleNamespace(driver=driver, agent=agent, without=without, prometheus=prometheus)


def page(agent):
    status, body = http_get(f"{agent.url}/metrics/dcgm")
    assert status == 200
    return body.decode()


def by_gpu(rows):
    return {row["metric"]["gpu"]: float(row["value"][1]) for row in rows}


@pytest.mark.parametrize("name", sorted(set().union(*BOARDS.values())))
def test_a_name_of_a_public_board_or_alert_is_there_for_every_gpu(scene, name):
    rows = scene.prometheus.query(f'{name}{{instance=~".+", gpu=~"[0-3]"}}')

    assert sorted(row["metric"]["gpu"] for row in rows) == ["0", "1", "2", "3"]
    assert all(row["metric"].keys() >= LABELS for row in rows)


@pytest.mark.parametrize("condition", ALERTS)
def test_what_a_public_alert_compares_is_true_of_the_right_gpus(scene, condition):
    rows = scene.prometheus.query(condition)

    assert {row["metric"]["gpu"] for row in rows} == ALERTS[condition]


def test_labels_say_what_dcgm_exporter_says(scene):
    (row,) = scene.prometheus.query('DCGM_FI_DEV_GPU_TEMP{gpu="2"}')
    expected = {
        "gpu": "2",
        "pci_bus_id": "00000018:06:00.0",
        "device": "nvidia2",
        "modelName": "NVIDIA GB300",
        "Hostname": "tray-07",
        "DCGM_FI_DRIVER_VERSION": "580.173.02",
    }

    assert expected.items() <= row["metric"].items()
    assert row["metric"]["UUID"].startswith("GPU-")


def test_values_are_what_the_driver_says_in_dcgms_units(scene):
    done = subprocess.run(
        [sys.executable, "-c", ASK_NVML],
        env=os.environ | scene.driver.env,
        check=True,
        capture_output=True,
        timeout=20,
    )
    for index, truth in enumerate(json.loads(done.stdout)):
        told = {name: by_gpu(scene.prometheus.query(name))[str(index)] for name in truth}

        assert told == pytest.approx(truth, rel=0.01, abs=1)


def test_energy_grows_by_millijoules(scene):
    scene.prometheus.wait_for('count_over_time(DCGM_FI_DEV_GPU_TEMP{gpu="0"}[1m]) >= 6')
    milliwatts = by_gpu(scene.prometheus.query("rate(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION[5s])"))
    truth = scene.driver.power_watts(0, time.monotonic())

    assert milliwatts["0"] == pytest.approx(truth * 1000, rel=0.5)  # it is the unit that is asked


def test_energy_is_the_total_of_our_own_page(scene):
    """T1: two pages of one agent do not disagree."""
    before = scene.agent.value("rackwatt_gpu_energy_joules_total", gpu="0")
    line = next(
        line
        for line in page(scene.agent).splitlines()
        if line.startswith('DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"')
    )
    after = scene.agent.value("rackwatt_gpu_energy_joules_total", gpu="0")

    assert before * 1000 - 1 <= float(line.rpartition(" ")[2]) <= after * 1000 + 1


def test_time_at_the_power_limit_grows_by_nanoseconds(scene):
    scene.prometheus.wait_for('count_over_time(DCGM_FI_DEV_GPU_TEMP{gpu="0"}[1m]) >= 6')
    held = by_gpu(scene.prometheus.query("rate(DCGM_FI_DEV_POWER_VIOLATION[5s])"))

    assert held["3"] == pytest.approx(1e9, rel=0.5)
    assert held["0"] == 0


def test_a_node_without_gpus_is_scraped_and_has_nothing_to_say(scene):
    assert scene.prometheus.value('up{job="bare"}') == 1
    assert scene.prometheus.query('{job="bare", __name__=~"DCGM_.*"}') == []
    assert page(scene.without) == ""


def test_the_page_is_text_also_for_a_prometheus_that_prefers_openmetrics(scene):
    target = next(
        target for target in scene.prometheus.targets() if target["labels"]["job"] == "dcgm-exporter"
    )

    assert (target["health"], target["lastError"]) == ("up", "")
    assert scene.prometheus.query('{__name__=~"DCGM_.*_CONSUMPTION_total"}') == []


def test_t15_a_gpu_that_falls_off_the_bus_leaves_the_page_but_for_its_xid(scene):
    """The last test of the scene: the GPU stays lost."""
    scene.driver.lose(2)
    scene.agent.wait_for(lambda node: node["gpus"][2]["state"] == "lost")
    shown = {line.split("{")[0] for line in page(scene.agent).splitlines() if '{gpu="2"' in line}

    assert shown == {"DCGM_FI_DEV_XID_ERRORS"}
