"""What deploy/ installs agrees with the code, with itself, and with the programs that read it."""

import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from fakes.processes import free_port, http_get
from fakes.prometheus import found_program
from fakes.unit import InstalledUnit, Unit, systemd_analyze

import agent
from agent import config, daemon, gather
from agent.demo import Demo, DemoError
from agent.twin import scenario

ROOT = Path(agent.__file__).parent.parent
SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = SYSTEMD / "rackwatt.service"
DROP_INS = sorted((SYSTEMD / "rackwatt.service.d").glob("*.conf.example"))
CONTAINER = ROOT / "deploy" / "container" / "Containerfile"
COMPOSE = ROOT / "deploy" / "compose"
MOST_EXPOSED, MOST_EXPOSED_BY_ALL = 17, 24
"""Tenths of systemd's scale, on which a unit that forbids nothing has 9.6; with every drop-in in use."""
PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*")


@pytest.fixture
def copied(tmp_path):
    """The unit, with drop-ins that are named, as it would lie in /etc; what it starts exists."""

    def copy(*drop_ins):
        text = UNIT.read_text().replace("/opt/rackwatt/bin/rackwatt", sys.executable)
        (tmp_path / "rackwatt.service").write_text(text)
        folder = tmp_path / "rackwatt.service.d"
        folder.mkdir()
        for drop_in in drop_ins:
            shutil.copy(drop_in, folder / drop_in.name.removesuffix(".example"))
        return tmp_path / "rackwatt.service"

    return copy


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def containerfile():
    text = CONTAINER.read_text().replace("\\\n", " ")
    rows = (line.strip().partition(" ") for line in text.splitlines())
    return [(word, rest.strip()) for word, _, rest in rows if word and word != "#"]


def test_there_are_drop_ins():
    assert {path.name for path in DROP_INS} >= {"kernel-log.conf.example", "other-users.conf.example"}


@pytest.mark.parametrize("drop_ins", [(), DROP_INS], ids=["alone", "with every drop-in"])
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path, copied, drop_ins):
    assert systemd_analyze("verify", "--man=no", str(copied(*drop_ins)), units=tmp_path) == (0, "")


@pytest.mark.parametrize(
    ("drop_ins", "most"), [((), MOST_EXPOSED), (DROP_INS, MOST_EXPOSED_BY_ALL)], ids=["alone", "with all"]
)
def test_the_unit_is_exposed_to_little(tmp_path, copied, drop_ins, most):
    code, told = systemd_analyze(
        "security", "--offline=yes", f"--threshold={most}", str(copied(*drop_ins)), units=tmp_path
    )
    verdict = told.splitlines()[-1]

    assert "Overall exposure level for rackwatt.service" in verdict
    assert code == 0, verdict


def test_the_unit_agrees_with_the_configurations_defaults(monkeypatch):
    unit = Unit(UNIT)
    monkeypatch.setenv("STATE_DIRECTORY", f"/var/lib/{unit.one('StateDirectory')}")

    assert unit.one("ExecStart").split()[1:] == ["run", "--config", str(config.DEFAULT_PATH)]
    assert f"/etc/{unit.one('ConfigurationDirectory')}" == str(config.DEFAULT_PATH.parent)
    assert str(config.load(None).state_dir) == "/var/lib/rackwatt"


def test_the_unit_starts_the_command_that_the_package_installs():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert Path(Unit(UNIT).one("ExecStart").split()[0]).name in scripts


def test_the_units_times_leave_room_for_what_the_daemon_promises():
    unit = Unit(UNIT)

    assert unit.seconds("WatchdogSec") >= 10 * gather.MOST_SPACING_SECONDS
    assert unit.seconds("TimeoutStopSec") >= 2 * (3 * daemon.FLUSH_SECONDS + gather.CLOSE_SECONDS)


def test_the_unit_lets_it_neither_trace_nor_load_nor_mount_nor_become_another():
    forbidden = {"ptrace", "mount", "init_module", "bpf", "setuid", "chroot", "reboot", "swapon"}

    assert forbidden & Unit(UNIT).system_calls() == set()


def test_the_unit_lets_it_reach_gpus():
    unit = Unit(UNIT)

    assert unit.all("PrivateDevices") == []
    assert {"char-195 rw", "char-nvidia* rw"} <= set(unit.all("DeviceAllow"))


def test_as_the_unit_starts_it_the_daemon_runs_reloads_and_stops_without_any_right():
    with InstalledUnit(Unit(UNIT)) as running:
        ready = running.told("READY=1")
        alive = running.told("WATCHDOG=1")
        rights = [running.status(field) for field in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
        user = running.status("Uid").split()
        page = http_get(f"{running.url}/metrics")[1].decode()
        running.reload()
        reloading, again = running.told("RELOADING=1"), running.told("READY=1")
        code = running.program.stop()
        stopping = running.told("STOPPING=1")
        kept = list(running.state_dir.iterdir())
        log = running.program.tail()

    assert (ready, alive, reloading, again, stopping, code) == (True, True, True, True, True, 0), log
    assert rights == ["0" * 16, "0" * 16, "1", "2"]
    assert user[0] != "0" or Path("/proc/self/uid_map").read_text().split()[2] == "1"
    assert "rackwatt_state_writable 1.0" in page
    assert kept
    assert "Traceback" not in log


def test_the_daemon_may_open_as_many_files_as_the_unit_says():
    unit = Unit(UNIT)
    with InstalledUnit(unit) as running:
        limits = Path(f"/proc/{running.program.pid}/limits").read_text()

    assert re.search(rf"Max open files\s+{unit.one('LimitNOFILE')}\s", limits)


def test_images_are_pinned_to_a_release(compose, containerfile):
    images = [service["image"] for service in compose["services"].values()]
    images += [rest.split()[0] for word, rest in containerfile if word == "FROM"]

    assert len(images) == 6
    assert [image for image in images if not PINNED.fullmatch(image)] == []


def test_the_image_is_of_this_version_and_python(containerfile):
    told = " ".join(rest for word, rest in containerfile if word == "LABEL")
    minor = {re.search(r"python:3\.(\d+)", rest)[1] for word, rest in containerfile if word == "FROM"}

    assert f'image.version="{agent.__version__}"' in told
    assert len(minor) == 1
    assert int(minor.pop()) >= 11


def test_the_image_runs_as_a_number_that_is_not_root(containerfile):
    (user,) = (rest for word, rest in containerfile if word == "USER")

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_image_agrees_with_the_configurations_defaults(containerfile, monkeypatch):
    told = dict(containerfile)
    environment = dict(pair.split("=", 1) for pair in told["ENV"].split())
    monkeypatch.setenv("STATE_DIRECTORY", environment["STATE_DIRECTORY"])
    settings = config.load(None)
    port = str(settings.listen_address[1])

    assert told["EXPOSE"] == port
    assert f"http://127.0.0.1:{port}/-/healthy" in CONTAINER.read_text()
    assert told["VOLUME"] == told["WORKDIR"] == str(settings.state_dir)
    assert f"-m 0755 {config.DEFAULT_PATH.parent}" in told["RUN"]
    assert environment["PYTHONSAFEPATH"] == "1"
    assert (told["ENTRYPOINT"], told["CMD"]) == ('["rackwatt"]', '["run"]')


def test_the_image_is_built_of_all_that_the_wheel_is_made_of(containerfile):
    copies = [rest for word, rest in containerfile if word == "COPY" and "--from" not in rest]
    copied = {name for rest in copies for name in rest.split()[:-1]}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    ignored = (CONTAINER.parent / "Containerfile.dockerignore").read_text().splitlines()

    assert copied >= {*build["packages"], *build["force-include"], "pyproject.toml", "README.md", "LICENSE"}
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def binds(compose):
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                yield name, (COMPOSE / source).resolve(), target, mode


def test_everything_that_is_mounted_exists_and_is_read_only(compose):
    found = list(binds(compose))

    assert len(found) >= 6
    assert [str(source) for _, source, _, _ in found if not source.exists()] == []
    assert [source for _, source, _, mode in found if mode != ["ro"]] == []


def test_volumes_that_are_used_are_declared(compose):
    used = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", ())
        if not volume.startswith(".")
    }

    assert used == set(compose["volumes"])


def test_ports_are_published_on_this_machine_alone(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]

    assert len(ports) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)


def test_no_service_has_more_rights_than_it_needs(compose):
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_the_demo_is_started_as_the_command_line_has_it_and_scraped_where_it_listens(compose):
    command = compose["services"]["rackwatt"]["command"]
    told = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    targets = [t for group in told["scrape_configs"][0]["static_configs"] for t in group["targets"]]
    trays = scenario.load("demo").rack.trays
    given = dict(zip(command[1::2], command[2::2], strict=True))
    port, first = int(given["--listen"].rpartition(":")[2]), int(given["--node-ports"])

    assert command[0] == "demo"
    assert port == config.load(None).listen_address[1]
    assert targets == [f"127.0.0.1:{port}", *(f"127.0.0.1:{first + number}" for number in range(trays))]
    assert compose["services"]["prometheus"]["network_mode"] == "service:rackwatt"
    assert f"127.0.0.1:{port}:{port}" in compose["services"]["rackwatt"]["ports"]


def test_promtool_takes_the_prometheus_that_is_mounted(tmp_path):
    text = (COMPOSE / "prometheus.yml").read_text()
    here = tmp_path / "prometheus.yml"
    here.write_text(text.replace("/etc/prometheus/rules", str(ROOT / "dashboards" / "rules")))
    done = subprocess.run(
        [found_program("promtool"), "check", "config", str(here)], capture_output=True, text=True, check=False
    )

    assert "/etc/prometheus/rules/*.yml" in text
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_go_to_the_alertmanager_that_is_beside_it(compose):
    told = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())["alerting"]["alertmanagers"]
    (port,) = compose["services"]["alertmanager"]["ports"]

    assert told == [{"static_configs": [{"targets": [f"alertmanager:{port.rpartition(':')[2]}"]}]}]


def test_amtool_takes_the_alertmanager_that_is_mounted(compose):
    (folder,) = (source for _, source, target, _ in binds(compose) if target == "/etc/alertmanager")
    done = subprocess.run(
        [found_program("amtool"), "check-config", str(folder / "alertmanager.yml")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    command = compose["services"]["alertmanager"]["command"]
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in command


def test_grafana_finds_its_prometheus_and_its_boards(compose):
    (source,) = yaml.safe_load((COMPOSE / "grafana/datasources/rackwatt.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((COMPOSE / "grafana/dashboards/rackwatt.yml").read_text())["providers"]
    mounted = {target: folder for name, folder, target, _ in binds(compose) if name == "grafana"}

    assert source["url"] == "http://rackwatt:9090"  # Prometheus is in that container's network
    assert mounted[provider["options"]["path"]] == ROOT / "dashboards" / "grafana"


def test_trays_of_the_demo_listen_where_they_are_told_to():
    first = free_port()
    shown = Demo(scenario.first_trays(scenario.load("demo"), 1), "demo", "127.0.0.1:0", first)

    assert [port.port for port in shown._ports] == [first]
    shown.close()


def test_a_port_of_a_tray_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(DemoError, match=f"--node-ports: cannot listen on {taken}: "):
            Demo(scenario.load("demo"), "demo", "127.0.0.1:0", taken)
