"""docs/security.md, done as it is written: its commands, its files, with curl and a real Prometheus."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fakes.agent import RunningAgent
from fakes.prometheus import Prometheus

import agent as package

PAGE = (Path(package.__file__).parents[1] / "docs" / "security.md").read_text()


def blocks(language, beginning=""):
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [block for block in found if block.startswith(beginning)]


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """The page in a folder of ours: /etc/rackwatt is that folder, tray-07 is a port of this machine."""
    folder = tmp_path_factory.mktemp("etc")
    certificates, *_ = blocks("sh", "mkdir")
    run(certificates.replace("/etc/rackwatt", str(folder)))
    (web,) = blocks("yaml", "# web-config.yml")
    (folder / "web-config.yml").write_text(web)
    (settings,) = blocks("yaml", "# /etc/rackwatt/rackwatt.yaml")
    daemon = RunningAgent(
        folder, {"collectors": {}, "web": yaml.safe_load(settings)["web"], "node": {"name": "tray-07"}}
    )
    with daemon.program:
        yield folder, daemon


def run(script):
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def here(text, folder, daemon):
    return text.replace("/etc/rackwatt", str(folder)).replace("tray-07:9744", f"localhost:{daemon.port}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_documented_curl_reads_the_page(documented):
    folder, daemon = documented
    (curl,) = blocks("sh", "printf")
    script = here(curl, folder, daemon).replace(
        "curl ", "curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-all-errors "
    )

    assert "rackwatt_web_config_reload_success 1.0" in run(script)


def test_the_documented_prometheus_scrapes_it(documented):
    folder, daemon = documented
    (folder / "tls" / "password").write_text("correct horse battery staple")
    (config,) = blocks("yaml", "# prometheus.yml")
    prometheus = Prometheus({})
    prometheus._config["scrape_configs"] = yaml.safe_load(here(config, folder, daemon))["scrape_configs"]
    with prometheus:
        prometheus.wait_for('up{job="rackwatt"} == 1', deadline=30)

        assert prometheus.value("rackwatt_web_config_reload_success") == 1.0


def test_without_its_certificate_prometheus_is_not_let_in(documented):
    folder, daemon = documented
    (folder / "tls" / "password").write_text("correct horse battery staple")
    (config,) = blocks("yaml", "# prometheus.yml")
    (job,) = yaml.safe_load(here(config, folder, daemon))["scrape_configs"]
    job["tls_config"] = {"ca_file": job["tls_config"]["ca_file"]}
    prometheus = Prometheus({})
    prometheus._config["scrape_configs"] = [job]
    with prometheus:
        prometheus.wait_for('up{job="rackwatt"} == 0', deadline=30)


def test_the_documented_command_makes_a_hash_that_is_taken(documented, tmp_path):
    (command,) = blocks("sh", "/opt/rackwatt/bin/python")
    asked = command.replace("/opt/rackwatt/bin/python", sys.executable).replace(
        "getpass.getpass()", '"hunter2"'
    )
    (tmp_path / "web-config.yml").write_text(f"basic_auth_users: {{sre: {run(asked).strip()}}}")
    (tmp_path / "rackwatt.yaml").write_text("web: {config_file: web-config.yml}")
    run(f"{sys.executable} -P -m agent.cli check {tmp_path / 'rackwatt.yaml'}")


def test_check_reads_the_documented_files(documented):
    folder, _ = documented

    assert "fine" in run(f"{sys.executable} -P -m agent.cli check {folder / 'rackwatt.yaml'}")
