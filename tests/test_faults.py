"""What happens when what the daemon depends on fails: every row of docs/faults.md is a test here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.agent import RunningAgent
from fakes.engines.hostile import HostileServer
from fakes.engines.timeline import constant, idle
from fakes.engines.truth import TruthEngine
from fakes.nvml.driver import FakeDriver
from fakes.processes import http_get, wait_http

FAST = {"interval": "200ms"}
PATIENT = FAST | {"max_load": 1}
"""What a busy machine makes of a call's time is not taken for the driver's cost: GPUs are read as often."""
IMPATIENT = {"interval": "200ms", "timeout": "1s", "call_timeout": "500ms"}
MEASURED = {
    f"rackwatt_gpu_{name}"
    for name in (
        "power_watts",
        "energy_joules_total",
        "utilization_ratio",
        "memory_used_bytes",
        "temperature_celsius",
        "clock_hertz",
    )
}
ROOT = Path(__file__).parents[1]
LIBFAKETIME = next(
    (
        str(found)
        for root in (ROOT / ".cache" / "debian", Path("/"))
        for found in root.glob("usr/lib/*/faketime/libfaketimeMT.so.1")
    ),
    "",
)


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path, preset="gb300") as fake:
        yield fake


@pytest.fixture
def start(tmp_path, driver):
    """Start an agent on the fake driver."""
    running = []

    def begin(*engines, nvml=FAST, wait=True, env=None, **settings):
        collectors = {"nvml": nvml}
        if engines:
            targets = [engine if isinstance(engine, dict) else {"url": engine} for engine in engines]
            collectors["engines"] = {"interval": "200ms", "timeout": "1s", "targets": targets}
        agent = RunningAgent(
            tmp_path / f"agent{len(running)}",
            {"window": "2s", "collectors": collectors} | settings,
            env=driver.env | (env or {}),
        )
        running.append(agent)
        return agent.start(wait=wait)

    yield begin
    for agent in running:
        agent.program.kill()


def states(node):
    return [gpu["state"] for gpu in node["gpus"]]


def outcome(node, source):
    return next(each for each in node["sources"] if each["source"] == source)


def joules(node, gpu):
    return node["gpus"][gpu]["energy_joules_total"]


def told_of(page, gpu):
    """Names of the series that a page has of one GPU."""
    return {line.partition("{")[0] for line in page.splitlines() if f'gpu="{gpu}"' in line}


def test_gpu_lost_leaves_the_others_at_full_rate_and_the_ratio_absent(driver, start):
    with TruthEngine(output=constant(1000.0)) as engine:
        agent = start(f"{engine.url}/metrics")
        agent.wait_for(lambda node: node["figures"]["node_tokens_per_joule_gpu"]["valid"])
        driver.lose(2)
        node = agent.wait_for(lambda node: states(node) == ["ok", "ok", "lost", "ok"])
        time.sleep(1.5)
        later = agent.node()

        assert "reset" in node["gpus"][2]["trouble"] or "reboot" in node["gpus"][2]["trouble"]
        assert all(joules(later, gpu) - joules(node, gpu) > 100.0 for gpu in (0, 1, 3))
        assert joules(later, 2) is None
        assert later["figures"]["node_tokens_per_joule_gpu"]["reasons"] == ["member_missing"]
        assert "gpu" not in later["tokens_per_joule"]
        assert later["figures"]["node_tokens_per_second"]["valid"]
        assert agent.value("rackwatt_gpu_up", gpu="2") == 0.0
        assert agent.value("rackwatt_gpu_state", gpu="2", state="lost") == 1.0
        assert told_of(agent.page(), 2).isdisjoint(MEASURED)
        assert told_of(agent.page(), 1) >= MEASURED
        assert agent.value("rackwatt_power_watts", boundary="gpu") == pytest.approx(3 * 180, rel=0.05)


def test_a_call_that_hangs_for_one_gpu_costs_the_others_one_call_timeout(driver, start):
    agent = start(nvml={"interval": "200ms", "call_timeout": "500ms"})
    driver.hang("nvmlDeviceGetFieldValues", 8, gpu=1)
    node = agent.wait_for(lambda node: states(node) == ["ok", "wedged", "ok", "ok"])
    time.sleep(1.5)
    later = agent.node()

    assert all(joules(later, gpu) - joules(node, gpu) > 100.0 for gpu in (0, 2, 3))
    agent.wait_for(lambda node: states(node) == ["ok"] * 4, 15)


def test_a_driver_that_hangs_for_30_s_is_an_outcome_and_never_delays_page_engines_or_exit(driver, start):
    with TruthEngine(output=constant(1000.0)) as engine:
        agent = start(f"{engine.url}/metrics", nvml=IMPATIENT)
        driver.hang("*", 30)
        node = agent.wait_for(lambda node: not outcome(node, "nvml")["ok"])
        began = time.monotonic()
        status, _ = http_get(f"{agent.url}/metrics")
        page_seconds = time.monotonic() - began
        tokens = agent.value("rackwatt_engine_tokens_total", kind="output")
        time.sleep(1.5)

        assert outcome(node, "nvml")["reason"] in {"timed_out", "overlapped"}
        assert status == 200
        assert page_seconds < 1.0
        assert agent.value("rackwatt_engine_tokens_total", kind="output") > tokens + 500
        assert agent.value("rackwatt_gpu_energy_joules_total") is None
        later = agent.node()
        assert (
            outcome(later, "nvml")["reason"] in {"timed_out", "overlapped"} or states(later) == ["wedged"] * 4
        )
        began = time.monotonic()
        assert agent.program.stop(grace_seconds=8.0) == 0
        assert time.monotonic() - began < 5.0


def test_a_driver_that_hung_comes_back_and_its_counter_brings_the_missed_joules(driver, start):
    agent = start(nvml=IMPATIENT)
    before = agent.wait_for(lambda node: joules(node, 0) is not None)
    since = before["at"] + time.monotonic() - time.time()
    driver.hang("*", 4)
    agent.wait_for(lambda node: not outcome(node, "nvml")["ok"])
    after = agent.wait_for(lambda node: outcome(node, "nvml")["ok"] and states(node) == ["ok"] * 4, 15)
    until = after["at"] + time.monotonic() - time.time()
    truth = driver.energy_joules(0, until) - driver.energy_joules(0, since)

    assert joules(after, 0) - joules(before, 0) == pytest.approx(truth, abs=180 * 0.8)


def test_driver_gone_at_start_and_back_later(driver, start):
    driver.gone()
    agent = start()
    node = agent.node()
    driver.back()
    back = agent.wait_for(lambda node: states(node) == ["ok"] * 4, 20)

    assert outcome(node, "nvml")["reason"] == "unreachable"
    assert node["gpus"] == []
    assert outcome(back, "nvml")["ok"]


def test_a_library_that_is_installed_while_we_run_is_found(driver, start, tmp_path):
    late = tmp_path / "late"
    late.mkdir()
    agent = start(env={"LD_LIBRARY_PATH": str(late)})
    node = agent.node()
    (late / "libnvidia-ml.so.1").symlink_to(Path(driver.env["LD_LIBRARY_PATH"]) / "libnvidia-ml.so.1")
    back = agent.wait_for(lambda node: states(node) == ["ok"] * 4, 20)

    assert outcome(node, "nvml")["reason"] == "unsupported"
    assert "libnvidia-ml.so.1 not found" in outcome(node, "nvml")["detail"]
    assert outcome(back, "nvml")["ok"]


def test_an_upgraded_driver_ends_the_daemon_so_that_its_supervisor_restarts_it(driver, start):
    agent = start()
    driver.version_mismatch()
    deadline = time.monotonic() + 15
    while agent.program.running and time.monotonic() < deadline:
        time.sleep(0.05)

    assert agent.program._popen.returncode == 1
    assert "the driver was replaced while rackwatt ran" in agent.log_text()


def test_a_mismatch_at_the_start_is_an_outcome_not_a_restart_loop(driver, start):
    driver.version_mismatch()
    agent = start()
    time.sleep(1.5)

    assert outcome(agent.node(), "nvml")["reason"] == "library_mismatch"
    assert agent.program.running


def test_a_counter_that_began_anew_makes_no_total_fall_and_no_energy_appear(driver, start):
    agent = start()
    time.sleep(1.0)
    before = joules(agent.node(), 0)
    driver.reset_energy("*")
    time.sleep(1.5)
    after = joules(agent.node(), 0)

    assert 180 * 1.0 < after - before < 180 * 3.5


def test_an_engine_that_is_down_is_down_not_idle_and_comes_back_to_the_same_total(driver, start):
    with TruthEngine(output=idle(), base_tokens=1000) as engine:
        agent = start(f"{engine.url}/metrics")
        before = engine.truth().output_tokens
        engine.schedule(constant(500.0, 1.0) + idle())
        time.sleep(2.0)
        port = engine.port
        counted = engine.truth().output_tokens - before
        engine.kill()
        down = agent.wait_for(lambda node: not node["engines"][0]["up"])
        engine.start(port)
        up = agent.wait_for(lambda node: node["engines"][0]["up"], 20)

        assert down["engines"][0]["state"] == "unknown"
        assert outcome(down, f"engines/127.0.0.1:{port}")["reason"] == "unreachable"
        assert down["figures"]["node_tokens_per_second"]["reasons"] == ["member_missing"]
        (output,) = (t for t in up["engines"][0]["tokens"] if t["kind"] == "output")
        assert output["total"] == counted + 1000  # the new process began with 1,000 of its own
        assert up["engines"][0]["restarts_total"] == 1


def test_an_engine_that_hangs_is_timed_out_and_the_other_is_read_as_before(driver, start):
    with TruthEngine(output=constant(1000.0)) as good, TruthEngine(output=constant(1000.0)) as bad:
        agent = start(f"{good.url}/metrics", f"{bad.url}/metrics")
        bad.hang()
        node = agent.wait_for(lambda node: not all(engine["up"] for engine in node["engines"]))
        instance = good.url.removeprefix("http://")
        before = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)
        time.sleep(2.0)
        after = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)

        assert outcome(node, f"engines/{bad.url.removeprefix('http://')}")["reason"] == "timed_out"
        assert after - before == pytest.approx(2000, rel=0.3)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("endless", "too_large"),
        ("gzip-bomb", "too_large"),
        ("drip", "timed_out"),
        ("negative", "malformed"),
        ("duplicate", "malformed"),
        ("utf16", "malformed"),
        ("status-401", "denied"),
        ("status-503", "unreachable"),
    ],
)
def test_a_hostile_page_costs_one_outcome_and_nothing_else(driver, start, kind, reason):
    with HostileServer() as hostile, TruthEngine(output=constant(1000.0)) as good:
        agent = start({"url": f"{hostile.address(kind)}/metrics", "engine": "vllm"}, f"{good.url}/metrics")
        time.sleep(2.0)
        node = agent.node()
        instance = hostile.url.removeprefix("http://")

        assert outcome(node, f"engines/{instance}")["reason"] == reason
        assert outcome(node, f"engines/{good.url.removeprefix('http://')}")["ok"]
        assert states(node) == ["ok"] * 4


def test_a_counter_that_falls_with_each_page_makes_no_tokens_and_is_not_up(driver, start):
    with HostileServer() as hostile, TruthEngine(output=constant(1000.0)) as good:
        agent = start(
            {"url": f"{hostile.address('falling')}/metrics", "engine": "vllm"}, f"{good.url}/metrics"
        )
        node = agent.wait_for(lambda node: any("cannot have made" in note for note in node["notes"]))
        time.sleep(1.0)
        instance = hostile.url.removeprefix("http://")
        told = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)

        assert [engine["up"] for engine in node["engines"] if engine["engine_instance"] == instance] == [
            False
        ]
        assert told in {None, 0.0}
        assert outcome(node, f"engines/{good.url.removeprefix('http://')}")["ok"]


def test_a_full_disk_is_told_and_costs_nothing_until_a_restart(driver, start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        agent = start(state_dir=str(disk))
        subprocess.run(f"cat /dev/zero > {disk}/filler", shell=True, capture_output=True, check=False)
        ends = time.monotonic() + 15
        while agent.value("rackwatt_state_writable") == 1.0 and time.monotonic() < ends:
            time.sleep(0.2)
        before = joules(agent.node(), 0)
        time.sleep(1.0)

        assert agent.value("rackwatt_state_writable") == 0.0
        assert joules(agent.node(), 0) > before
        assert agent.log_text().count("totals are not kept") == 1
        assert "No space left on device; make room there" in agent.log_text()
        (disk / "filler").unlink()
        ends = time.monotonic() + 15
        while agent.value("rackwatt_state_writable") == 0.0 and time.monotonic() < ends:
            time.sleep(0.2)
        assert agent.value("rackwatt_state_writable") == 1.0
        agent.program.stop()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_save_that_hangs_costs_nothing_and_the_end_does_not_wait_for_it(driver, start, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    os.mkfifo(state / "totals.json.new")  # whoever writes there waits for a reader who never comes
    agent = start(state_dir=str(state))
    before = joules(agent.node(), 0)
    time.sleep(1.5)
    after = joules(agent.node(), 0)
    began = time.monotonic()
    code = agent.program.stop(grace_seconds=10.0)

    assert after - before > 180 * 1.0
    assert code == 0
    assert 1.9 < time.monotonic() - began < 6.0
    assert "state_dir did not take the totals in time" in agent.log_text()


def _has_its_figures(node):
    """A page that a busy machine reads late takes them away for a moment; what is wrong stays wrong."""
    rate = node["tokens_per_second"].get("output", 0.0)
    return node["figures"]["node_tokens_per_joule_gpu"]["valid"] and rate == pytest.approx(1000.0, rel=0.1)


@pytest.mark.alone
@pytest.mark.parametrize("offset", ["+3600", "-3600"], ids=["forward", "back"])
def test_a_clock_stepped_by_an_hour_changes_no_total_no_rate_and_no_window(driver, start, tmp_path, offset):
    assert LIBFAKETIME, "this test needs Debian's libfaketime: make test unpacks it"
    stamp = tmp_path / "faketime"
    stamp.write_text("+0")
    faketime = {
        "LD_PRELOAD": LIBFAKETIME,
        "FAKETIME_TIMESTAMP_FILE": str(stamp),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with TruthEngine(output=constant(1000.0)) as engine:
        agent = start(f"{engine.url}/metrics", nvml=PATIENT, env=faketime, window="4s")
        before, began = agent.wait_for(_has_its_figures, 60), time.monotonic()
        stamp.write_text(offset)
        agent.wait_for(lambda node: abs(node["at"] - before["at"]) > 3000)
        agent.wait_for(_has_its_figures, 3.0)  # a window that had begun anew would be full after 4 s only
        time.sleep(1.0)
        after = agent.wait_for(_has_its_figures, 3.0)
        most = 180 * (time.monotonic() - began + 5.0)

        assert abs(after["at"] - before["at"]) > 3000
        assert 0 <= joules(after, 0) - joules(before, 0) < most
        assert agent.value("rackwatt_engine_restarts_total") == 0.0
        engine.reset(new_start_time=True)
        agent.wait_for(lambda node: node["engines"][0]["restarts_total"] == 1.0)


def test_sigterm_in_the_middle_of_a_collection_ends_cleanly_and_keeps_the_totals(driver, start):
    with TruthEngine(output=idle(), base_tokens=5) as engine:
        agent = start(f"{engine.url}/metrics")
        before = engine.truth().output_tokens
        engine.schedule(constant(500.0, 1.0) + idle())
        time.sleep(2.0)
        engine.hang()
        time.sleep(0.5)
        began = time.monotonic()
        code = agent.program.stop(grace_seconds=8.0)
        stop_seconds = time.monotonic() - began
        engine.hang(hanging=False)
        agent.start()

        assert code == 0
        assert stop_seconds < 4.0
        assert "Traceback" not in agent.log_text()
        total = agent.value("rackwatt_engine_tokens_total", kind="output")
        assert total == engine.truth().output_tokens - before


def test_sighup_takes_a_changed_configuration_and_refuses_a_wrong_one(driver, start):
    with TruthEngine(output=constant(100.0)) as first, TruthEngine(output=constant(100.0)) as second:
        agent = start(f"{first.url}/metrics")
        before = agent.value("rackwatt_engine_tokens_total", kind="output")
        both = [{"url": f"{first.url}/metrics"}, {"url": f"{second.url}/metrics"}]
        agent.configure({"window": "2s", "collectors": {"nvml": FAST, "engines": {"targets": both}}})
        agent.reload()
        agent.wait_for(lambda node: [engine["up"] for engine in node["engines"]] == [True, True])
        instance = first.url.removeprefix("http://")
        kept = agent.value("rackwatt_engine_tokens_total", kind="output", engine_instance=instance)
        agent.configure({"windw": "2s"})
        agent.reload()
        ends = time.monotonic() + 10
        while agent.value("rackwatt_config_reload_success") == 1.0 and time.monotonic() < ends:
            time.sleep(0.05)

        assert kept >= before
        assert agent.value("rackwatt_config_reload_success") == 0.0
        assert len(agent.node()["engines"]) == 2
        assert "windw: unknown key" in agent.log_text()


def test_sigusr1_lets_go_of_the_driver_and_sigusr2_takes_hold_again(driver, start):
    agent = start()
    held = driver.attached()
    os.kill(agent.program.pid, signal.SIGUSR1)
    agent.wait_for(lambda node: outcome(node, "nvml")["reason"] == "released")
    ends = time.monotonic() + 5
    while (let_go := driver.attached()) and time.monotonic() < ends:
        time.sleep(0.05)
    os.kill(agent.program.pid, signal.SIGUSR2)
    agent.wait_for(lambda node: states(node) == ["ok"] * 4)

    assert held == [agent.program.pid]
    assert let_go == []
    assert driver.attached() == [agent.program.pid]


def test_a_reload_during_a_release_does_not_take_hold_of_the_driver(driver, start):
    agent = start()
    os.kill(agent.program.pid, signal.SIGUSR1)
    wait_until(lambda: driver.attached() == [])
    agent.configure({"collectors": {"nvml": {"interval": "300ms"}}})
    agent.reload()
    agent.wait_for(lambda node: outcome(node, "nvml")["reason"] == "released")
    time.sleep(1.5)

    assert driver.attached() == []
    os.kill(agent.program.pid, signal.SIGUSR2)
    agent.wait_for(lambda node: states(node) == ["ok"] * 4)


def test_a_reload_that_adds_an_engine_does_not_report_the_others_as_down(driver, start):
    with TruthEngine(output=constant(100.0)) as first, TruthEngine(output=constant(100.0)) as second:
        agent = start(f"{first.url}/metrics")
        first.delay(after_ms=(500, 500))
        both = [{"url": f"{first.url}/metrics"}, {"url": f"{second.url}/metrics"}]
        agent.configure({"window": "2s", "collectors": {"nvml": FAST, "engines": {"targets": both}}})
        agent.reload()
        instance = first.url.removeprefix("http://")
        seen = []
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            seen.append(agent.value("rackwatt_engine_up", engine_instance=instance))
            time.sleep(0.05)

        assert set(seen) == {1.0}
        assert len(agent.node()["engines"]) == 2


def test_a_wrong_target_is_refused_at_the_start_at_a_check_and_at_a_reload(driver, start):
    agent = start()
    agent.configure({"collectors": {"engines": {"targets": [{"url": "ftp://127.0.0.1/metrics"}]}}})
    agent.reload()
    wait_until(lambda: agent.value("rackwatt_config_reload_success") == 0.0)
    command = [sys.executable, "-P", "-m", "agent.cli"]
    check = subprocess.run(
        [*command, "check", agent.config_file], capture_output=True, text=True, check=False
    )
    agent.program.stop()
    run = subprocess.run(agent.program.args, capture_output=True, text=True, timeout=20, check=False)

    assert check.returncode == 1
    assert run.returncode == 2
    for text in (check.stdout, run.stderr, agent.log_text()):
        assert "ftp" in text
        assert "Traceback" not in text


def test_hangups_and_releases_right_at_the_start_do_not_kill(driver, start):
    agent = start(wait=False)
    wait_until(lambda: "listening" in agent.log_text())
    for _ in range(3):
        os.kill(agent.program.pid, signal.SIGHUP)
        os.kill(agent.program.pid, signal.SIGUSR1)
    wait_http(f"{agent.url}/-/ready", agent.program, 20)
    agent.wait_for(lambda node: outcome(node, "nvml")["reason"] == "released")
    os.kill(agent.program.pid, signal.SIGUSR2)
    agent.wait_for(lambda node: states(node) == ["ok"] * 4)


def wait_until(condition, seconds=10.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_port_in_use_is_told_in_one_line_and_exits_2(driver, start):
    agent = start()
    program = agent.program
    other = agent.config_file.with_name("other.yaml")
    text = agent.config_file.read_text().replace(str(agent.state_dir), f"{agent.state_dir}-2")
    other.write_text(text)
    command = [*program.args[:-1], str(other)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 2
    wrong = f"listen: cannot listen on 127.0.0.1:{agent.port}: Address already in use; is rackwatt running"
    assert wrong in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_is_absent_not_empty_before_the_first_snapshot_and_ready_comes_after(driver, start):
    driver.hang("nvmlInitWithFlags", 60)
    agent = start(wait=False, nvml={"timeout": "20s"})
    wait_http(f"{agent.url}/-/healthy", agent.program)
    time.sleep(0.5)
    early = {path: http_get(f"{agent.url}{path}")[0] for path in ("/-/ready", "/metrics", "/api/v1/node")}
    driver.hang("nvmlInitWithFlags", 0)
    wait_http(f"{agent.url}/-/ready", agent.program, 20)

    assert early == {"/-/ready": 503, "/metrics": 503, "/api/v1/node": 503}
    assert http_get(f"{agent.url}/metrics")[0] == 200
