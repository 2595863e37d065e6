"""GPUs read from pages of dcgm-exporter of every era, and from our own page of its names."""

import dataclasses
import json
import math
import os
from pathlib import Path

import pytest
from fakes.page_server import Answer, PageServer

from agent.collectors.dcgm_exporter import Settings, build, examine
from agent.measure.dcgm_fields import BY_NAME
from agent.measure.finding import Level
from agent.measure.gpu import GpuIdentity, GpuState, Power, PowerScope
from agent.measure.reading import Moment, Reason, SourceError
from exporters._dcgm_names.fields import FIELDS

TESTS = Path(__file__).parents[1]
CAPTURES = sorted((TESTS / "captures" / "dcgm_exporter").glob("*.prom"))
GOLDEN = TESTS / "golden" / "collectors"
UNIX = 1_760_000_000.0
NOT_READ_BACK = {"DCGM_FI_DEV_FB_USED_PERCENT", "DCGM_FI_DEV_FB_USED_RATIO"}
"""Reckoned from figures that are read."""


class Watched:
    """A dcgm-exporter whose page a test may change, and the collector that reads it."""

    def __init__(self, server, **settings):
        self.server = server
        self.collector = build(Settings(url=f"{server.url}/metrics", **settings))
        self.seconds = 1000.0

    def show(self, page):
        self.server.answers["/metrics"] = Answer(page if isinstance(page, bytes) else page.encode())

    async def read(self, after=0.0):
        """Read the page `after` seconds later; the page's first byte is stamped by the real clock."""
        self.seconds += after
        return await self.collector.collect(Moment(self.seconds, UNIX + self.seconds), None)


@pytest.fixture
async def watched(monkeypatch):
    """Makes a watched exporter; its clock is the test's."""
    async with PageServer({}) as server:
        made = []

        def make(page, **settings):
            each = Watched(server, **settings)
            monkeypatch.setattr("agent.collectors.dcgm_exporter._first_byte", lambda _, now: now)
            each.show(page)
            made.append(each)
            return each

        yield make
        for each in made:
            await each.collector.close()


def line(name, value, uuid="GPU-a1", **labels):
    more = "".join(f',{key}="{text}"' for key, text in labels.items())
    return f'{name}{{gpu="0",UUID="{uuid}"{more}}} {value}\n'


def power(watts, millijoules, uuid="GPU-a1"):
    return line("DCGM_FI_DEV_POWER_USAGE", watts, uuid) + line(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", millijoules, uuid
    )


def plain(value):
    """A reading as JSON, without what it does not tell."""
    if dataclasses.is_dataclass(value):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {name: plain(each) for name, each in fields.items() if each not in (None, {}, "", ())}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    return value


# ---- every era


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
async def test_a_page_of_each_era_is_understood_as_its_golden_says(watched, capture):
    reading = await watched(capture.read_bytes()).read()
    text = json.dumps([plain(gpu) for gpu in reading.gpus], indent=1) + "\n"
    golden = GOLDEN / f"dcgm_exporter-{capture.stem}.json"
    if os.environ.get("RACKWATT_UPDATE_GOLDENS") == "1":
        golden.write_text(text, encoding="utf-8")

    assert text == golden.read_text(encoding="utf-8")


def test_there_is_a_page_of_each_spelling():
    text = "".join(path.read_text() for path in CAPTURES)

    assert len(CAPTURES) == 8
    for spelling in ("uuid=", "UUID=", "Hostname=", "hostname=", "GPU_I_ID=", "pci_bus_id="):
        assert spelling in text


async def test_our_own_page_of_these_names_is_read_back(watched):
    page = (TESTS / "golden" / "exporters" / "rich_node.dcgm").read_bytes()
    gpu, *others = (await watched(page).read()).gpus

    assert [other.state for other in others] == [GpuState.FAILED]
    assert gpu.identity == GpuIdentity("GPU-aa", "NVIDIA GB300", "00000008:06:00.0", "580.95.05")
    assert gpu.power == {PowerScope.GPU: Power(1033.5, 1101.25)}
    assert gpu.energy_joules == pytest.approx(123_456.5)
    assert gpu.power_limit_watts == {PowerScope.GPU: 1400.0}
    assert gpu.temperature_celsius == {"gpu": 61.0, "memory": 70.0}
    assert gpu.thermal_margin_celsius == 24.0
    assert gpu.clock_hertz == pytest.approx({"sm": 1.92e9, "memory": 3.996e9})
    assert gpu.throttle_active == {"sw_power_cap"}
    assert gpu.throttled_seconds["sw_power_cap"] == pytest.approx(12.5)
    assert gpu.utilization_ratio == pytest.approx(0.98)
    assert gpu.pcie_replays == 17
    assert (gpu.active_ratio["tensor"], gpu.link_bytes_per_second["nvlink_tx"]) == (0.41, 4.01e11)


def test_every_name_that_we_show_is_one_that_we_read():
    shown = {name for field in FIELDS for name in (field.old, field.new)}

    assert shown - NOT_READ_BACK <= BY_NAME.keys()
    for field in FIELDS:
        if field.old in BY_NAME:
            assert BY_NAME[field.old].number == field.number == BY_NAME[field.new].number


async def test_the_labels_of_link_series_name_the_same_gpu(watched):
    page = power(300.0, 5000) + 'DCGM_FI_DEV_GPU_TEMP{nvlink="0",gpu_uuid="GPU-a1",model_name="B200"} 61\n'
    (gpu,) = (await watched(page).read()).gpus

    assert (gpu.identity.product, gpu.temperature_celsius) == ("B200", {"gpu": 61.0})


# ---- values


@pytest.mark.parametrize(
    "blank",
    [2147483632, 2147483635, 140737488355328.0, 140737488355331.0, 9223372036854775792, 9.3e18, "NaN", -5],
)
async def test_t11_every_blank_of_dcgm_is_absent(watched, blank):
    page = power(300.0, 5000) + line("DCGM_FI_DEV_SM_CLOCK", blank)
    (gpu,) = (await watched(page).read()).gpus

    assert gpu.clock_hertz == {}


async def test_t11_a_count_may_pass_through_the_numbers_between_the_blanks(watched):
    page = line("DCGM_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP_NS", 2**47 + 1_000_000_000)
    (gpu,) = (await watched(page).read()).gpus

    assert gpu.throttled_seconds == {"sw_power_cap": pytest.approx(140_738.488355)}


@pytest.mark.parametrize("uuid", ["", "GPU-00000000-0000-0000-0000-000000000000", "GPU-ffffffff"])
async def test_t11_no_identity_is_no_gpu(watched, uuid):
    with pytest.raises(SourceError) as failure:
        await watched(power(300.0, 5000, uuid)).read()

    assert failure.value.reason is Reason.UNSUPPORTED


async def test_what_is_wrongly_called_a_counter_is_not_counted(watched):
    page = "# TYPE DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL counter\n" + power(300.0, 5000)
    (gpu,) = (await watched(page + line("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", 812)).read()).gpus

    assert gpu.link_bytes_per_second == {}


async def test_a_gpu_without_any_value_has_failed(watched):
    page = power(300.0, 5000) + power(140737488355328.0, 9223372036854775792, "GPU-a2")
    well, gone = (await watched(page).read()).gpus

    assert (well.state, gone.state) == (GpuState.OK, GpuState.FAILED)


async def test_energy_that_is_not_told_is_noted_with_its_remedy(watched):
    reading = await watched(line("DCGM_FI_DEV_POWER_USAGE", 300.0)).read()

    assert reading.gpus[0].power == {PowerScope.GPU: Power(300.0)}
    assert "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION" in reading.notes[0]


# ---- age


async def test_values_that_stand_are_as_old_as_their_first_page(watched):
    exporter = watched(power(300.0, 5000))
    first = (await exporter.read()).gpus[0]
    again = (await exporter.read(after=15.0)).gpus[0]

    assert again.at == first.at
    assert again.power == first.power


async def test_energy_and_power_of_30_s_ago_are_no_stale_ones(watched):
    exporter = watched(power(300.0, 5000))
    await exporter.read()
    reading = await exporter.read(after=30.0)

    assert reading.gpus[0].state is GpuState.OK
    assert reading.renewed_seconds == 30.0


async def test_the_cadence_is_what_is_seen_of_it(watched):
    exporter = watched(power(300.0, 5000))
    await exporter.read()
    for joules in (6000, 7000, 8000):
        exporter.show(power(300.0, joules))
        reading = await exporter.read(after=10.0)

    assert reading.renewed_seconds == 10.0


async def test_t15_a_page_that_repeats_itself_is_absent(watched):
    exporter = watched(power(300.0, 5000))
    await exporter.read()
    with pytest.raises(SourceError) as failure:
        await exporter.read(after=91.0)

    assert failure.value.reason is Reason.MALFORMED
    assert "every value has stayed the same for 91 s; restart" in failure.value.detail


async def test_t15_one_gpu_that_is_repeated_among_others_has_failed(watched):
    exporter = watched(power(300.0, 5000) + power(200.0, 1000, "GPU-a2"))
    await exporter.read()
    exporter.show(power(300.0, 9000) + power(200.0, 1000, "GPU-a2"))
    well, old = (await exporter.read(after=91.0)).gpus

    assert (well.state, old.state, old.power) == (GpuState.OK, GpuState.FAILED, {})


# ---- Xids


async def xids_after(exporter, *pages):
    for count, xid in enumerate(pages):
        shown = "" if xid is None else line("DCGM_FI_DEV_XID_ERRORS", xid, err_code=str(xid))
        exporter.show(power(300.0, 5000 + count) + shown)
        reading = await exporter.read(after=15.0)
    gpu = reading.gpus[0]
    return gpu.xid_errors, gpu.last_xid


async def test_t12_an_xid_that_stood_there_before_us_is_no_event(watched):
    assert await xids_after(watched(""), 79, 79, 79) == ({}, 0)


async def test_t12_an_xid_is_counted_when_it_appears(watched):
    assert await xids_after(watched(""), 0, 31, 31, 94, 94) == ({31: 1, 94: 1}, 94)


async def test_t12_a_release_that_shows_no_xid_before_the_first(watched):
    assert await xids_after(watched(""), None, None, 48) == ({48: 1}, 48)


async def test_t12_the_same_xid_after_a_gap_in_the_page_is_the_same_event(watched):
    assert await xids_after(watched(""), 0, 48, None, 48) == ({48: 1}, 48)


async def test_who_never_shows_an_xid_would_not_tell_of_one(watched):
    assert await xids_after(watched(""), None, None) == ({}, None)


# ---- what else may go wrong


async def test_another_page_is_unsupported(watched):
    with pytest.raises(SourceError) as failure:
        await watched("node_load1 0.5\n").read()

    assert failure.value.reason is Reason.UNSUPPORTED
    assert "is it another page" in failure.value.detail


async def test_the_doctor_says_what_it_found(watched):
    exporter = watched(power(300.0, 5000))
    (finding,) = await examine(Settings(url=f"{exporter.server.url}/metrics"))

    assert (finding.level, finding.text) == (Level.OK, f"1 GPUs at {exporter.server.url}/metrics")


async def test_the_doctor_says_what_is_wrong():
    (finding,) = await examine(Settings(url="http://127.0.0.1:1/metrics"))

    assert finding.level is Level.PROBLEM


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"url": "ftp://a"}, "url"),
        ({"interval": 0.0}, "interval"),
        ({"timeout": math.inf}, "timeout"),
        ({"stale_after": 20.0}, "stale_after"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, key):
    with pytest.raises(ValueError, match=key):
        Settings(**settings)
