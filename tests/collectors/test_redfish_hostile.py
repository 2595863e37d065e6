"""Controllers that are slow, ill, self-signed or hostile: each is an outcome with a reason, and bounded."""

import asyncio
import ssl
import time

import pytest
from fakes import redfish_trees as trees
from fakes.authority import Authority
from fakes.bmc import Bmc

from agent.collectors._redfish.documents import number, path_of
from agent.collectors._redfish.target import Boundary, Target
from agent.collectors._redfish.tree import MOST_REQUESTS
from agent.collectors.redfish import Settings, build, examine
from agent.measure.finding import Level
from agent.measure.reading import Moment, Reason, SourceError
from agent.wire.http_config import TlsConfig

METRICS = f"{trees.CHASSIS}/Chassis_0/EnvironmentMetrics"


def now():
    return Moment(time.monotonic(), time.time())


@pytest.fixture
async def read():
    """Makes a collector for a controller; all are closed in the end."""
    made = []

    def source(bmc, *, settings=None, **target):
        targets = (Target(url=bmc.url, name="bmc-07", **target),)
        made.append(build(Settings(targets=targets, **(settings or {}))))
        return made[-1].sources(None)[0]

    yield source
    await asyncio.gather(*(collector.close() for collector in made))


async def failure(source):
    with pytest.raises(SourceError) as caught:
        await source.collect(now(), None)
    return caught.value


# ---- slow


async def test_a_slow_controller_is_looked_at_over_several_rounds_and_says_so(read):
    async with Bmc(trees.old_server()) as bmc:
        bmc.mood.wait_seconds = 0.1
        source = read(bmc, settings={"timeout": 0.5})
        first = await source.collect(now(), None)
        while source.plan is None:
            await source.collect(now(), None)
        reading = await source.collect(now(), None)

    assert "still looking what it has" in first.notes[0]
    assert first.meters == ()
    assert [meter.power_watts for meter in reading.meters] == [612.0]


async def test_a_slow_controller_is_asked_one_thing_at_a_time(read):
    async with Bmc(trees.gb300_tray()) as bmc:
        bmc.mood.wait_seconds = 0.005
        source = read(bmc)
        await source.collect(now(), None)
        await asyncio.gather(source.collect(now(), None), source.collect(now(), None))

        assert len(bmc._writers) == 1


async def test_where_answers_take_long_cross_checks_are_left_out(read):
    async with Bmc(trees.dgx()) as bmc:
        bmc.mood.wait_seconds = 0.02
        reading = await read(bmc, settings={"interval": 0.2}).collect(now(), None)

    assert [meter.source for meter in reading.meters] == ["redfish"]


async def test_an_answer_that_does_not_come_is_timed_out(read):
    async with Bmc(trees.old_server()) as bmc:
        bmc.mood.wait_seconds = 5.0
        error = await failure(read(bmc, settings={"request_timeout": 0.1}))

    assert error.reason is Reason.TIMED_OUT
    assert "did not answer within 0.1 s" in error.detail


async def test_what_was_read_before_the_deadline_of_a_round_stands(read):
    async with Bmc(trees.rack_manager()) as bmc:
        source = read(bmc, boundary=Boundary.RACK, settings={"timeout": 0.3})
        await source.collect(now(), None)
        bmc.mood.wait_seconds = 0.2
        reading = await source.collect(now(), None)

    assert [meter.power_watts for meter in reading.meters] == [66_000.0, None]


# ---- ill


@pytest.mark.parametrize(
    ("status", "reason"),
    [(503, Reason.UNREACHABLE), (500, Reason.UNREACHABLE), (403, Reason.DENIED), (404, Reason.UNSUPPORTED)],
)
async def test_t15_a_meter_that_answers_no_more_is_an_outcome_and_not_its_last_value(read, status, reason):
    tree = trees.old_server()
    async with Bmc(tree) as bmc:
        source = read(bmc)
        await source.collect(now(), None)
        bmc.mood.statuses[f"{trees.CHASSIS}/1/Power"] = status
        error = await failure(source)

    assert error.reason is reason
    assert f"{trees.CHASSIS}/1/Power answered {status}" in error.detail


async def test_a_reading_of_null_is_absent_and_not_zero(read):
    tree = trees.old_server()
    async with Bmc(tree) as bmc:
        source = read(bmc)
        await source.collect(now(), None)
        bmc.tree |= trees.old_server(None)
        reading = await source.collect(now(), None)

    assert [meter.power_watts for meter in reading.meters] == [None]


async def test_a_controller_that_restarts_is_found_again(read):
    async with Bmc(trees.old_server()) as bmc:
        bmc.mood.statuses[trees.V1] = 503
        source = read(bmc)
        error = await failure(source)
        bmc.mood.statuses.clear()
        source._retry.worked()
        reading = await source.collect(now(), None)

    assert error.reason is Reason.UNREACHABLE
    assert [meter.power_watts for meter in reading.meters] == [612.0]


async def test_a_part_that_fails_while_it_is_looked_at_costs_only_itself(read):
    async with Bmc(trees.gb300_tray()) as bmc:
        bmc.mood.statuses[f"{trees.CHASSIS}/Chassis_0/ThermalSubsystem"] = 500
        source = read(bmc)
        reading = await source.collect(now(), None)

    assert reading.meters[0].power_watts == 6120.0
    assert source.plan.until - time.monotonic() <= 60.0


async def test_nobody_there_is_unreachable(read):
    async with Bmc(trees.old_server()) as bmc:
        source = read(bmc)
    error = await failure(source)

    assert error.reason is Reason.UNREACHABLE


# ---- certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Signs the certificates of controllers."""
    return Authority(tmp_path_factory.mktemp("authority"))


def tls_of(pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    return context


async def test_a_certificate_nobody_vouches_for_is_refused_with_the_remedy(read, authority):
    async with Bmc(trees.old_server(), tls=tls_of(authority.sign("bmc", "IP:127.0.0.1"))) as bmc:
        error = await failure(read(bmc))

    assert error.reason is Reason.DENIED
    assert "certificate is not trusted" in error.detail
    assert "set tls_config.ca_file" in error.detail
    assert bmc.asked == []


async def test_with_the_authority_that_signed_it_it_is_read(read, authority):
    async with Bmc(trees.old_server(), tls=tls_of(authority.sign("bmc", "IP:127.0.0.1"))) as bmc:
        source = read(bmc, tls_config=TlsConfig(ca_file=str(authority.ca)))
        reading = await source.collect(now(), None)

    assert [meter.power_watts for meter in reading.meters] == [612.0]


async def test_any_certificate_is_accepted_only_when_that_is_said_and_the_doctor_tells(authority):
    async with Bmc(trees.old_server(), tls=tls_of(authority.sign("bmc", "DNS:other"))) as bmc:
        target = Target(url=bmc.url, name="bmc-07", tls_config=TlsConfig(insecure_skip_verify=True))
        findings = await examine(Settings(targets=(target,)))

    assert [each.level for each in findings] == [Level.OK, Level.OK, Level.NOTE]
    assert findings[-1].text == "any certificate is accepted (insecure_skip_verify)"


# ---- hostile


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/redfish/v1/Chassis/1",
        "//evil.example/redfish/v1/Chassis/1",
        "/redfish/../etc/passwd",
        "/redfish/v1/%2e%2e/%2e%2e/admin",
        "/redfish/v1\\@evil.example/",
        "/redfish/v1/Chassis\r\nHost: evil",
        "/redfish/v1/Chassis?x=https://evil",
        "@evil.example/redfish/v1",
        "/admin/reboot",
        "redfish/v1",
        "/redfish/" + "a" * 600,
        17,
        None,
        {"x": 1},
    ],
)
def test_a_link_that_leads_elsewhere_leads_nowhere(link):
    assert path_of(link) is None


async def test_no_other_host_is_ever_asked(read):
    async with Bmc(trees.old_server()) as other, Bmc(trees.gb300_tray()) as bmc:
        bmc.tree[trees.CHASSIS]["Members"].append(trees.to(f"{other.url}/redfish/v1/Chassis/1"))
        bmc.tree[f"{trees.CHASSIS}/Chassis_0"]["Power"] = trees.to(f"{other.url}/redfish/v1/Chassis/1/Power")
        bmc.tree[trees.CHASSIS]["Members@odata.nextLink"] = f"{other.url}/redfish/v1/Chassis"
        await read(bmc).collect(now(), None)

    assert other.asked == []


async def test_a_redirect_is_not_followed(read):
    async with Bmc(trees.old_server()) as bmc:
        bmc.mood.statuses[trees.V1] = 302
        error = await failure(read(bmc))

    assert error.reason is Reason.MALFORMED
    assert len(bmc.asked) == 1


async def test_links_in_a_ring_are_followed_once(read):
    tree = trees.root("Chassis") | trees.collection(trees.CHASSIS, "1", "2")
    for name, other in (("1", "2"), ("2", "1")):
        tree |= trees.chassis(name, "RackMount", other, EnvironmentMetrics="EnvironmentMetrics")
        tree[f"{trees.CHASSIS}/{name}"]["EnvironmentMetrics"] = trees.to(trees.CHASSIS)
    tree[trees.CHASSIS]["Members@odata.nextLink"] = trees.CHASSIS
    async with Bmc(tree) as bmc:
        error = await failure(read(bmc))

    assert error.reason is Reason.UNSUPPORTED
    assert len(bmc.asked) == len(set(bmc.asked))


async def test_a_maze_is_given_up(read):
    names = [str(number) for number in range(250)]
    tree = trees.root("Chassis") | trees.collection(trees.CHASSIS, *names)
    for name in names:
        tree |= trees.chassis(name, "RackMount", Power="Power", EnvironmentMetrics="EnvironmentMetrics")
    async with Bmc(tree) as bmc:
        await failure(read(bmc))

    assert len(bmc.asked) <= MOST_REQUESTS + 2


async def test_a_body_without_end_is_hung_up_on(read):
    async with Bmc(trees.gb300_tray()) as bmc:
        bmc.mood.endless = trees.CHASSIS
        error = await failure(read(bmc, settings={"max_bytes": 100_000}))

    assert error.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "body",
    [
        b"<html>login</html>",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[]",
        b"17",
        b"",
        b'{"Members": {"a": 1}}',
        b"\xff\xfe",
    ],
    ids=["html", "deep list", "deep object", "list", "number", "nothing", "no list", "no text"],
)
async def test_nonsense_is_malformed(read, body):
    async with Bmc(trees.old_server()) as bmc:
        bmc.mood.raw[trees.V1] = body
        error = await failure(read(bmc))

    assert error.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    "value", [True, "612", [612.0], {}, {"Reading": {"Reading": 1.0}}, 1e300, -1e13, float("nan"), None]
)
def test_what_is_no_number_is_none(value):
    assert number(value) is None


async def test_power_below_zero_is_absent(read):
    async with Bmc(trees.old_server()) as bmc:
        source = read(bmc)
        await source.collect(now(), None)
        bmc.tree |= trees.old_server(-5.0)
        reading = await source.collect(now(), None)

    assert [meter.power_watts for meter in reading.meters] == [None]


async def test_names_are_bounded_and_printable(read):
    tree = trees.power_shelf()
    supply = f"{trees.CHASSIS}/powershelf/PowerSubsystem/PowerSupplies/PSU0"
    tree[supply]["Id"] = "\x1b[2J" + "x" * 10_000
    async with Bmc(tree) as bmc:
        reading = await read(bmc, boundary=Boundary.RACK).collect(now(), None)

    assert all(len(meter.unit) < 100 and meter.unit.isprintable() for meter in reading.meters)


async def test_a_report_that_is_not_written_anew_goes_out_of_date(read, monkeypatch):
    monkeypatch.setattr("agent.collectors._redfish.round.STALE_SECONDS", 0.05)
    reports = f"{trees.V1}/TelemetryService/MetricReports"
    sensor = f"{trees.CHASSIS}/1/Sensors/total_power"
    tree = trees.root("Chassis", "TelemetryService") | trees.collection(trees.CHASSIS, "1")
    tree |= trees.chassis("1", "RackMount") | trees.collection(reports, "Power")
    tree[f"{trees.V1}/TelemetryService"] = {"MetricReports": trees.to(reports)}
    tree[f"{reports}/Power"] = {
        "Timestamp": "2026-11-30T04:00:00Z",
        "MetricValues": [{"MetricProperty": sensor, "MetricValue": "612"}],
    }
    async with Bmc(tree) as bmc:
        source = read(bmc)
        fresh = await source.collect(now(), None)
        await asyncio.sleep(0.06)
        old = await source.collect(now(), None)

    assert [meter.power_watts for meter in fresh.meters] == [612.0]
    assert [meter.power_watts for meter in old.meters] == [None]
