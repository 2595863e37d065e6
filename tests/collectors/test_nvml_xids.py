"""Xid errors: told by NVML, by the kernel log or by both, each counted once."""

import os
import time

import pytest
from fakes.nvml.driver import FakeDriver
from fakes.nvml_agent import NvmlAgent

from agent.collectors._nvml.kmsg import KernelLog
from agent.collectors._nvml.xids import Tally, address, parse
from agent.measure.gpu import GpuIdentity

GPU = GpuIdentity("GPU-1", "NVIDIA GB300", "00000008:06:00.0", "580.173.02")
XID_79 = "NVRM: Xid (PCI:0008:06:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
FELL = "NVRM: GPU 0008:06:00.0: GPU has fallen off the bus."


@pytest.fixture
def driver(tmp_path):
    with FakeDriver(tmp_path) as driver:
        yield driver


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "kmsg"
    path.write_text("4,1,1,-;NVRM: Xid (PCI:0008:06:00): 31, an old one\n")
    return path


def tell(log, line):
    with log.open("a") as file:
        file.write(f"4,2,2,-;{line}\n")


def counts(answer, gpu=0):
    return answer["reading"]["gpus"][gpu]["xid_errors"]


def last(answer, gpu=0):
    return answer["reading"]["gpus"][gpu]["last_xid"]


def registrations(answer):
    return answer.get("reading", {}).get("costs", {}).get("nvmlDeviceRegisterEvents", {}).get("calls")


def watched(driver, **settings):
    """Starts an agent and waits until its GPUs are registered for events."""
    agent = NvmlAgent(driver.env, **settings)
    agent.until(lambda answer: registrations(answer) == 4)
    return agent


def test_an_event_is_counted_for_its_gpu(driver):
    with watched(driver) as agent:
        driver.xid(2, 94)
        answer = agent.until(lambda answer: counts(answer, 2))

    assert counts(answer, 2) == {"94": 1}
    assert counts(answer, 0) == {}


def test_the_last_xid_is_0_before_the_first_and_then_the_newest(driver, log):
    with watched(driver, kmsg=str(log)) as agent:
        before = last(agent.collect())
        driver.xid(0, 94)
        first = last(agent.until(last))
        driver.xid(0, 79, kmsg_only=True)
        tell(log, FELL)
        second = last(agent.until(lambda answer: last(answer) != first))

    assert (before, first, second) == (0, 94, 79)


def test_the_last_xid_of_a_gpu_outlives_its_loss(driver):
    with watched(driver) as agent:
        driver.xid(1, 94)
        agent.until(lambda answer: last(answer, 1))
        driver.lose(1)
        answer = agent.until(lambda answer: answer["reading"]["gpus"][1]["state"] == "lost")

    assert last(answer, 1) == 94


def test_t4_the_last_xid_is_unknown_where_nobody_would_tell_it(driver):
    with NvmlAgent(driver.env, xid_events=False, kmsg="") as agent:
        assert last(agent.collect()) is None


def test_t4_the_last_xid_is_unknown_where_events_are_refused_and_the_log_is_shut(driver, tmp_path):
    driver.deny("nvmlEventSetCreate")
    with NvmlAgent(driver.env, kmsg=str(tmp_path / "nothing")) as agent:
        answer = agent.until(lambda answer: last(answer) is None)

    assert any("Xid events are refused" in note for note in answer["reading"]["notes"])


def test_an_event_that_only_the_kernel_tells_is_counted(driver, log):
    with watched(driver, kmsg=str(log)) as agent:
        driver.xid(0, 79, kmsg_only=True)
        tell(log, XID_79)
        answer = agent.until(counts)

    assert counts(answer) == {"79": 1}


def test_an_event_that_both_tell_is_counted_once(driver, log):
    with watched(driver, kmsg=str(log)) as agent:
        driver.xid(0, 94)
        tell(log, "NVRM: Xid (PCI:0008:06:00): 94, pid=1, contained")
        agent.until(counts)
        time.sleep(0.3)
        answer = agent.collect()

    assert counts(answer) == {"94": 1}


def test_counts_survive_a_reload_and_a_release(driver):
    with watched(driver) as agent:
        driver.xid(0, 94)
        agent.until(counts)
        driver.gone()
        agent.reason("unreachable")
        driver.back()
        reloaded = agent.until(lambda answer: "reading" in answer)
        agent.release()
        agent.resume()
        resumed = agent.until(lambda answer: "reading" in answer)

    assert counts(reloaded) == {"94": 1}
    assert counts(resumed) == {"94": 1}


def test_events_are_watched_again_after_a_reload(driver):
    with watched(driver) as agent:
        driver.gone()
        agent.reason("unreachable")
        driver.back()
        agent.until(lambda answer: registrations(answer) == 8)
        driver.xid(1, 95)

        assert counts(agent.until(lambda answer: counts(answer, 1)), 1) == {"95": 1}


def test_a_lost_gpu_keeps_its_counts(driver, log):
    with watched(driver, kmsg=str(log)) as agent:
        driver.lose(0)
        tell(log, XID_79)
        answer = agent.until(
            lambda answer: answer["reading"]["gpus"][0]["state"] == "lost" and counts(answer)
        )

    assert counts(answer) == {"79": 1}


def test_a_kernel_log_that_cannot_be_read_is_noted(driver, tmp_path):
    with NvmlAgent(driver.env, kmsg=str(tmp_path / "missing")) as agent:
        reading = agent.collect()["reading"]

    (note,) = reading["notes"]
    assert "cannot be read" in note
    assert "CAP_SYSLOG" in note


def test_events_can_be_left_unasked(driver):
    with NvmlAgent(driver.env, xid_events=False) as agent:
        agent.collect()
        time.sleep(0.1)
        answer = agent.collect()

    assert "nvmlEventSetCreate" not in answer["reading"]["costs"]
    assert answer["threads"] == 1


def test_refused_events_are_noted(driver):
    driver.deny("nvmlDeviceRegisterEvents")
    with NvmlAgent(driver.env) as agent:
        answer = agent.until(lambda answer: answer["reading"]["notes"])

    assert "kernel log only" in answer["reading"]["notes"][0]


# ---- the parts


def test_both_spellings_of_an_xid_line_are_read():
    assert parse("NVRM: Xid (PCI:0000:06:00): 79, pid=1") == ((0, 6, 0), 79)
    assert parse("NVRM: Xid (0000:3b:00): 31, Ch 10") == ((0, 0x3B, 0), 31)


def test_a_fall_without_a_number_is_read():
    assert parse(FELL) == ((8, 6, 0), None)
    assert parse("NVRM: GPU at PCI:0008:06:00 has fallen off the bus.") == ((8, 6, 0), None)


def test_other_lines_are_not_xids():
    assert parse("NVRM: loading NVIDIA UNIX Open Kernel Module") is None
    assert parse("usb 1-1: Xid (PCI:0000:06:00): 79") is None


def test_pci_addresses_agree_whatever_their_width():
    assert address("00000008:06:00.0") == address("0008:06:00") == (8, 6, 0)


def test_a_fall_told_in_two_ways_counts_once():
    tally = Tally()
    tally.line(XID_79, 1.0)
    tally.line(FELL, 1.1)

    assert tally.of(GPU) == {79: 1}


def test_a_fall_without_its_xid_counts_as_79_once():
    tally = Tally()
    tally.line(FELL, 1.0)
    tally.line(FELL, 30.0)

    assert tally.of(GPU) == {79: 1}


def test_the_greater_of_both_counts_is_believed():
    tally = Tally()
    tally.event(GPU.uuid, 94)
    tally.event(GPU.uuid, 94)
    tally.line("NVRM: Xid (PCI:0008:06:00): 94, x", 1.0)

    assert tally.of(GPU) == {94: 2}


def test_only_lines_after_the_start_are_taken(log):
    lines = []
    kernel = KernelLog(str(log), lines.append)
    kernel.drain()
    tell(log, XID_79)
    kernel.drain()
    kernel.close()

    assert lines == [f"4,2,2,-;{XID_79}"]


def test_a_line_in_two_halves_is_put_together():
    lines = []
    reader, writer = os.pipe()
    kernel = KernelLog(f"/proc/self/fd/{reader}", lines.append)
    os.write(writer, b"NVRM: Xid (PCI:0000:0")
    kernel.drain()
    os.write(writer, b"6:00): 79, x\n")
    kernel.drain()
    kernel.close()
    os.close(reader)
    os.close(writer)

    assert lines == ["NVRM: Xid (PCI:0000:06:00): 79, x"]


def test_an_empty_path_is_no_log():
    kernel = KernelLog("", print)
    kernel.drain()

    assert kernel.note == ""
