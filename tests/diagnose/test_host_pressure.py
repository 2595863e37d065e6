"""What the machine around the GPUs explains of a gap, and what it does not, from samples of known figures."""

from dataclasses import replace

import pytest

from agent.diagnose.baseline import Baseline
from agent.diagnose.case import Case
from agent.diagnose.causes import host_pressure
from agent.diagnose.host_signs import HostSigns, host_signs_of
from agent.diagnose.sample import Sample
from agent.diagnose.signs import GpuSigns
from agent.diagnose.verdict import verdict_of
from agent.measure.host import HostFigures, LinkFigures, LinkReading, PcieLink
from agent.measure.incident import Cause

FELL = 60
"""Second in which the rate falls."""
WELL = HostSigns(oom_kills=0.0, cpu_hertz=3.0e9, lanes={0: 16.0, 1: 16.0})


def case_of(host, *, watts=600.0, gpus=True, missing=0.4, until=90, hertz=1.9e9, reasons=()):
    """A gap in which all GPUs draw less, and `host` tells what the machine is at a second."""

    def sample(second):
        well = second < FELL
        rate = 1000.0 if well else 1000.0 * (1.0 - missing)
        told = tuple(
            GpuSigns(
                number,
                "ok",
                power_watts=1000.0 if well else watts,
                clock_hertz=hertz and (1.9e9 if well else hertz),
                throttle=frozenset() if well else frozenset(reasons),
            )
            for number in (0, 1)
        )
        return Sample(float(second), {}, {}, told if gpus else (), rate, 20.0, 0.0, 20.0, host(second))

    return Case(
        node="n",
        since=float(FELL),
        before=tuple(sample(second) for second in range(FELL - 3)),
        during=tuple(sample(second) for second in range(FELL, until)),
        baseline=Baseline(),
        expected=1000.0,
        missing=missing,
    )


def total(second, before, since, at=FELL):
    """A total that grows by `before` a second, and by `since` from a second on."""
    return before * min(second, at) + since * max(0, second - at)


def stalling(kind, before, since, at=FELL):
    return lambda second: replace(WELL, stalled={kind: total(second, before, since, at)})


def told(case):
    return list(host_pressure.explain(case))


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (
            stalling("cpu some", 0.05, 0.55),
            "some task waited for a processor 55% of the time, before 5%",
        ),
        (stalling("memory full", 0.0, 0.5), "all tasks waited for memory 50% of the time, before 0%"),
        (stalling("io full", 0.1, 0.5), "all tasks waited for disks 50% of the time, before 10%"),
        (
            lambda second: replace(WELL, stolen=total(second, 0.1, 3.0)),
            "the hypervisor takes 3.0 processors, before 0.1",
        ),
        (
            lambda second: replace(WELL, cpu_hertz=3.0e9 if second < FELL else 1.2e9),
            "processors run at 1200 MHz, before at 3000 MHz",
        ),
    ],
)
def test_what_presses_from_the_fall_on_explains_gpus_that_are_worked_less(host, text):
    verdict = verdict_of(case_of(host))

    assert verdict.best.cause is Cause.HOST_PRESSURE
    assert verdict.confidence > 0.8
    assert verdict.best.evidence[0].text == text
    assert verdict.best.evidence[-1].text == (
        "every GPU is worked less (1200 W, before 2000 W) at its full clock, though 20 requests are there"
    )


def test_pressure_that_is_read_every_five_seconds_is_seen_as_well():
    def host(second):
        return replace(WELL, stolen=total(second // 5 * 5, 0.0, 2.0))

    assert verdict_of(case_of(host)).confidence > 0.8


@pytest.mark.parametrize(
    "host",
    [
        lambda second: WELL,
        stalling("cpu some", 0.05, 0.9, at=FELL + 15),
        stalling("cpu some", 0.5, 0.5),
        stalling("cpu some", 0.05, 0.12),
    ],
    ids=["none", "after the fall", "as before", "a little"],
)
def test_what_does_not_press_more_from_the_fall_on_explains_nothing(host):
    (explanation,) = told(case_of(host))

    assert explanation.explained is None
    assert explanation.evidence[0].metric == "gpu_power_watts"


def test_pressure_explains_nothing_while_gpus_are_worked_as_before():
    assert told(case_of(stalling("cpu some", 0.05, 0.9), watts=995.0)) == []


def test_pressure_explains_no_more_than_its_own_share_of_what_is_missing():
    """A tenth of the time for want of memory does not take nine tenths of the tokens."""
    case = case_of(stalling("memory full", 0.0, 0.2), missing=0.9)

    assert told(case)[0].explained == pytest.approx(0.2, abs=0.01)
    assert verdict_of(case).best.cause is Cause.UNKNOWN


def test_without_gpus_that_tell_it_is_less_sure():
    (explanation,) = told(case_of(stalling("cpu some", 0.05, 0.6), gpus=False))

    assert explanation.weight == 0.6


def test_a_link_that_went_down_is_named():
    def host(second):
        down = frozenset() if second < FELL else frozenset({"mlx5_0 port 1"})
        return replace(WELL, links_down=down)

    verdict = verdict_of(case_of(host))

    assert verdict.best.text == "link mlx5_0 port 1 is down"
    assert verdict.best.evidence[0].metric == "host_infiniband_up"


def test_a_gpu_that_lost_lanes_is_named():
    def host(second):
        return WELL if second < FELL else replace(WELL, lanes={0: 16.0, 1: 4.0})

    best = verdict_of(case_of(host)).best

    assert (best.gpu, best.text) == (1, "GPU 1 is connected by 4 PCIe lanes, before by 16")


@pytest.mark.parametrize(
    ("hertz", "clause"),
    [
        (1.9e9, " at its full clock, though"),
        (1.88e9, " at its full clock, though"),
        (1.2e9, ", the slowest at 1200 MHz, before at 1900 MHz, though"),
        (None, "W), though"),
    ],
)
def test_the_clock_is_told_as_it_was_read(hertz, clause):
    (explanation,) = told(case_of(lambda _: WELL, hertz=hertz))

    assert clause in explanation.text


def test_gpus_that_the_driver_holds_down_are_worked_less_for_that_and_not_by_the_host():
    assert told(case_of(lambda _: WELL, hertz=1.5e9, reasons={"sw_power_cap"})) == []


class _Told:
    """As much of a snapshot as signs of the machine need."""

    def __init__(self, host):
        self.host = host
        self.gpus = (_Gpu(),)


class _Gpu:
    gpu, uuid = 3, "GPU-3"


def test_signs_are_read_out_of_what_collectors_tell():
    figures = HostFigures(
        stalled_seconds_total={("cpu", "some"): 12.5},
        cpu_steal_seconds_total=3.0,
        oom_kills_total=1.0,
        cpu_frequency_hertz={"min": 1e9, "mean": 2e9},
        interfaces=(LinkFigures(LinkReading("eth0", up=False), {}), LinkFigures(LinkReading("eth1"), {})),
        ports=(LinkFigures(LinkReading("mlx5_0", "1", up=False), {}),),
        pcie_links={"GPU-3": PcieLink(8.0, 16.0), "GPU-9": PcieLink(16.0, 16.0)},
    )

    assert host_signs_of(_Told(None)) is None
    assert host_signs_of(_Told(figures)) == HostSigns(
        {"cpu some": 12.5}, 3.0, 1.0, 2e9, frozenset({"eth0", "mlx5_0 port 1"}), {3: 8.0}
    )
