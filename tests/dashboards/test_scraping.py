"""The shipped configurations of Prometheus are accepted, and leave our labels what they are."""

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from fakes.prometheus import Prometheus, promtool_check_config

import agent
from agent import cli, dashboards

SHIPPED = dashboards.source_folder() / "prometheus"
CONFIGS = sorted(path.name for path in SHIPPED.glob("*.yml"))
MONITORS = {"podmonitor.yaml": "podMetricsEndpoints", "servicemonitor.yaml": "endpoints"}
DOCS = Path(agent.__file__).parent.parent / "docs" / "prometheus.md"
PAGE = Path(__file__).parent.parent / "golden" / "exporters" / "rich_node.prom"
BY_OPERATOR = {
    "namespace": "monitoring",
    "pod": "rackwatt-x7k2p",
    "container": "rackwatt",
    "endpoint": "http",
    "__meta_kubernetes_pod_node_name": "gpu-node-7",
}
"""What Prometheus Operator and Kubernetes give a target of a monitor."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What a user has after `rackwatt dashboards`."""
    folder = tmp_path_factory.mktemp("written")
    assert cli.main(["dashboards", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def target():
    """A page with series of a node, of a rack and of GPUs that a pod and a job own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PAGE.read_bytes())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def scraped(target):
    """The page, scraped by the monitors and by a configuration that labels its target."""
    jobs = [as_job(name, {**BY_OPERATOR, "__address__": target}) for name in MONITORS]
    shipped = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())["scrape_configs"][0]
    for name, kept in (("labelled", shipped["honor_labels"]), ("renamed", False)):
        group = {"targets": [target], "labels": {"node": "wrong", "rack": "wrong"}}
        jobs.append({"job_name": name, "honor_labels": kept, "static_configs": [group]})
    with Prometheus({}, config={"scrape_configs": jobs}) as prometheus:
        prometheus.wait_for("count(rackwatt_node_info)", lambda rows: rows and rows[0]["value"][1] == "4")
        yield prometheus


def as_job(name, labels):
    """What Prometheus Operator makes of a monitor, as far as ours go."""
    monitor = yaml.safe_load((SHIPPED / name).read_text())
    (endpoint,) = monitor["spec"][MONITORS[name]]
    target = labels.pop("__address__")
    return {
        "job_name": name,
        "honor_labels": endpoint["honorLabels"],
        "metrics_path": endpoint["path"],
        "static_configs": [{"targets": [target], "labels": labels}],
        "relabel_configs": [renamed(rule) for rule in endpoint["relabelings"]],
    }


def renamed(rule):
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in rule.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_promtool_accepts_a_configuration_with_the_rules_that_are_written_beside_it(written, name):
    code, said = promtool_check_config(written / "prometheus" / name)

    assert (code, "rule files found" in said) == (0, True), said


def test_every_scrape_keeps_our_labels():
    configs = [yaml.safe_load((SHIPPED / name).read_text()) for name in CONFIGS]

    assert [job["honor_labels"] for config in configs for job in config["scrape_configs"]] == [True] * 4


def test_whatever_loads_alerts_sends_them_to_the_alertmanager_that_the_parameter_names(tmp_path):
    where = ["--set", "alertmanager_address=alertmanager.example:9093"]
    assert cli.main(["dashboards", "--out", str(tmp_path), *where]) == 0
    for name in CONFIGS:
        config = yaml.safe_load((tmp_path / "prometheus" / name).read_text())
        loads = any(Path("alerts.yml").match(Path(file).name) for file in config["rule_files"])
        told = config.get("alerting", {}).get("alertmanagers", [])
        expected = [{"static_configs": [{"targets": ["alertmanager.example:9093"]}]}]

        assert told == (expected if loads else []), name


def test_the_server_above_loads_the_rules_of_the_site_alone():
    above = yaml.safe_load((SHIPPED / "federation.yml").read_text())

    assert [Path(file).name for file in above["rule_files"]] == ["site.yml"]


def test_the_command_that_makes_objects_of_the_rules_makes_them(written):
    script = re.search(r"```sh\n(for file .*?)```", DOCS.read_text(), re.DOTALL)[1]
    shell = ["sh", "-ec", script.replace("kubectl apply -f -", "cat")]
    done = subprocess.run(shell, cwd=written, capture_output=True, text=True, check=True)
    objects = {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(done.stdout)}

    assert {"rackwatt-recording", "rackwatt-site"} <= objects.keys()
    for name, spec in objects.items():
        file = written / "rules" / f"{name.removeprefix('rackwatt-')}.yml"
        assert spec == yaml.safe_load(file.read_text())


@pytest.mark.parametrize("job", MONITORS)
def test_the_instance_of_a_pod_is_its_node(scraped, job):
    (info,) = scraped.query(f'rackwatt_node_info{{job="{job}"}}')

    assert info["metric"] == {
        "__name__": "rackwatt_node_info",
        "job": job,
        "instance": "gpu-node-7",
        "node": "tray-07",
        "rack": "r12",
        "chassis": "1821",
        "domain": "0f0e.0",
        "tray": "6",
    }


@pytest.mark.parametrize("job", MONITORS)
def test_the_pod_of_the_agent_owns_no_gpu(scraped, job):
    owners = [row["metric"] for row in scraped.query(f'rackwatt_gpu_owner_info{{job="{job}"}}')]

    assert sorted((owner.get("pod", ""), owner.get("job_id", "")) for owner in owners) == [
        ("", "4711"),
        ("llama-0", ""),
    ]


def test_a_label_of_the_target_renames_none_of_ours(scraped):
    (info,) = scraped.query('rackwatt_node_info{job="labelled"}')
    members = scraped.query('rackwatt_rack_member_up{job="labelled"}')

    assert (info["metric"]["node"], info["metric"]["rack"]) == ("tray-07", "r12")
    assert {row["metric"]["rack"] for row in members} == {"r12"}


def test_without_honor_labels_it_would(scraped):
    rows = scraped.query('{exported_rack!=""}')

    assert {row["metric"]["job"] for row in rows} == {"renamed"}
