"""The power ladder of a node: boundaries side by side, what is between them, and which meter is wrong."""

import pytest

from agent.measure.engine import TokenKind
from agent.measure.meter import MeterReading
from agent.measure.reading import Moment, Reading
from agent.measure.site import Site, Stated
from agent.measure.validity import Flag, Invalid

UNIX = 1_760_000_000.0
OUTPUT = TokenKind.OUTPUT


@pytest.fixture
def tray(bench, gpu, page):
    """A superchip of two GPUs whose tray has a meter of its own, serving 10,000 tokens a second."""
    bench.node.expect(["nvml", "hwmon", "redfish", "engines/a:8000"])
    return Tray(bench, gpu, page)


class Tray:
    def __init__(self, bench, gpu, page):
        self.bench, self.node, self.gpu, self.page = bench, bench.node, gpu, page

    def live(self, start, end, *, gpu_watts=400.0, module=980.0, node=1300.0, hwmon=None, silent=()):
        for second in map(float, range(start, end)):
            self.bench.take_gpus(
                *(
                    self.gpu(
                        second,
                        gpu_watts * second,
                        gpu_watts,
                        number=n,
                        serial="165",
                        module_watts=module,
                    )
                    for n in (0, 1)
                )
            )
            at = Moment(second, UNIX + second)
            told = [] if node is None else [MeterReading("node", "0", at, node)]
            self.node.take(Reading("redfish", at, meters=tuple(told)), 1.0)
            if hwmon is not None:
                meters = tuple(
                    MeterReading("module", unit, at, hwmon / 2) for unit in ("0", "1") if unit not in silent
                )
                self.node.take(Reading("hwmon", at, meters=meters), 1.0)
            self.bench.take_page(self.page(second, 10_000.0 * second))

    def snapshot(self, seconds):
        return self.bench.snapshot(seconds)


def remainders(snapshot):
    return {(each.boundary, each.inner): each.power_watts for each in snapshot.remainders}


def standing(snapshot, figure):
    return next(each for each in snapshot.validity if each.figure == figure)


def test_tokens_per_joule_stand_side_by_side_at_every_boundary(tray):
    tray.live(0, 21)
    ratios = tray.snapshot(20.0).tokens_per_joule

    assert {at: ratio for (kind, at), ratio in ratios.items() if kind is OUTPUT} == {
        "gpu": pytest.approx(12.5),
        "module": pytest.approx(10_000 / 980),
        "node": pytest.approx(10_000 / 1300),
    }


def test_the_remainder_is_what_a_boundary_draws_beside_its_inner_one(tray):
    tray.live(0, 21)

    assert remainders(tray.snapshot(20.0)) == {
        ("module", "gpu"): pytest.approx(180.0),
        ("node", "module"): pytest.approx(320.0),
    }


def test_where_nobody_tells_of_modules_the_node_is_set_against_the_gpus(tray):
    tray.live(0, 21, module=None)

    assert remainders(tray.snapshot(20.0)) == {("node", "gpu"): pytest.approx(500.0)}


def test_a_remainder_below_nothing_is_shown_and_is_a_finding(tray):
    tray.live(0, 21, node=900.0)
    snapshot = tray.snapshot(20.0)

    assert remainders(snapshot)["node", "module"] == pytest.approx(-80.0)
    assert standing(snapshot, "node_power_remainder_node").reasons == {Invalid.INNER_EXCEEDS_OUTER}
    assert (OUTPUT, "node") in snapshot.tokens_per_joule


def test_a_remainder_is_of_one_window_not_of_two_readings(tray):
    """The GPUs have just been put to work, and the tray's meter is the mean of an earlier second."""
    tray.live(0, 20)
    tray.live(20, 21, gpu_watts=700.0, module=1900.0, node=1300.0)

    assert remainders(tray.snapshot(20.0))["node", "module"] > 200.0


def test_until_the_window_is_full_there_is_no_remainder(tray):
    tray.live(0, 5)
    snapshot = tray.snapshot(4.0)

    assert remainders(snapshot) == {("module", "gpu"): None, ("node", "module"): None}
    assert standing(snapshot, "node_power_remainder_node").reasons == {Invalid.WARMING_UP}


def test_the_facility_is_the_node_times_the_stated_pue(tray):
    tray.node.account_for(Site(pue=Stated(1.2, "report", "2026")))
    tray.live(0, 21)
    snapshot = tray.snapshot(20.0)
    facility = next(each for each in snapshot.boundaries if each.boundary == "facility")

    assert (facility.source, facility.power_watts) == ("pue", pytest.approx(1560.0))
    assert facility.energy_joules_total == pytest.approx(20 * 1560.0)
    assert snapshot.tokens_per_joule[OUTPUT, "facility"] == pytest.approx(10_000 / 1560)
    assert remainders(snapshot)["facility", "node"] == pytest.approx(260.0)
    assert Flag.MODELLED in standing(snapshot, "node_tokens_per_joule_facility").flags


def test_without_a_meter_of_the_node_there_is_no_facility(tray):
    tray.node.account_for(Site(pue=Stated(1.2)))
    tray.live(0, 21, node=None)
    snapshot = tray.snapshot(20.0)

    assert [each.boundary for each in snapshot.boundaries] == ["gpu", "module"]


def test_another_pue_changes_nothing_of_what_was_reckoned(tray):
    tray.node.account_for(Site(pue=Stated(1.2)))
    tray.live(0, 11)
    tray.node.account_for(Site(pue=Stated(1.5)))
    tray.live(11, 21)
    facility = next(each for each in tray.snapshot(20.0).boundaries if each.boundary == "facility")

    assert facility.energy_joules_total == pytest.approx(10 * 1300 * 1.2 + 10 * 1300 * 1.5)


def test_t9_modules_by_the_driver_and_by_the_sockets_must_agree(tray):
    tray.live(0, 130, hwmon=980.0 * 1.04)
    snapshot = tray.snapshot(129.0)

    assert (OUTPUT, "module") in snapshot.tokens_per_joule
    assert snapshot.notes == ()


def test_t9_meters_that_disagree_for_two_windows_make_the_boundary_invalid(tray):
    for second in range(0, 130, 10):  # snapshots are when meters are compared
        tray.live(second, second + 10, hwmon=980.0 * 0.9)
        snapshot = tray.snapshot(second + 9.0)

    assert standing(snapshot, "node_tokens_per_joule_module").reasons == {Invalid.METERS_DISAGREE}
    assert (OUTPUT, "module") not in snapshot.tokens_per_joule
    assert (OUTPUT, "gpu") in snapshot.tokens_per_joule
    assert len(snapshot.notes) == 1
    assert snapshot.notes[0].startswith(
        "module: its meters disagree, 980.0 W by its source and 882.0 W by hwmon, over 60 s: one does not"
    )


def test_t9_meters_that_agree_again_are_believed_again(tray):
    for second in range(0, 260, 10):
        tray.live(second, second + 10, hwmon=882.0 if second < 150 else 980.0)
        snapshot = tray.snapshot(second + 9.0)

    assert standing(snapshot, "node_tokens_per_joule_module").valid


def test_a_dead_meter_is_named(tray):
    tray.live(0, 12, module=None, hwmon=980.0)
    tray.live(12, 14, module=None, hwmon=980.0, silent=("1",))
    snapshot = tray.snapshot(13.0)

    assert snapshot.meters == {
        ("hwmon", "module", "0"): True,
        ("hwmon", "module", "1"): False,
        ("redfish", "node", "0"): True,
    }
    assert snapshot.notes == (
        "hwmon: the meter of module 1 does not answer, so power at the boundary module lacks it",
    )
    assert standing(snapshot, "node_power_remainder_module").reasons == {Invalid.MEMBER_MISSING}
    assert remainders(snapshot) == {("module", "gpu"): None, ("node", "module"): None}


def test_the_only_meter_of_a_boundary_is_named_when_it_is_silent(tray):
    tray.live(0, 12)
    tray.live(12, 14, node=None)

    assert tray.snapshot(13.0).notes == (
        "redfish: the meter of node 0 does not answer, so power at the boundary node lacks it",
    )


def test_a_source_that_fails_says_so_itself(tray):
    tray.live(0, 12)
    tray.node.miss("redfish")
    snapshot = tray.snapshot(12.0)

    assert snapshot.notes == ()
    assert snapshot.meters == {("redfish", "node", "0"): False}


def test_a_meter_of_the_rack_is_no_figure_of_the_node(tray):
    tray.live(0, 21)
    at = Moment(21.0, UNIX + 21.0)
    tray.node.take(Reading("redfish", at, meters=(MeterReading("rack", "0", at, 132_000.0),)), 1.0)
    snapshot = tray.snapshot(21.0)

    assert {each.boundary for each in snapshot.boundaries} == {"gpu", "module"}
    assert snapshot.parts == ()
    assert tray.node.rack_meter.figures.power_watts == 132_000.0


def test_t9_a_meter_whose_counter_and_power_disagree_is_not_believed(tray):
    for second in map(float, range(190)):
        at = Moment(second, UNIX + second)
        watts = 1000.0 if second < 30 else 2000.0
        energy = 1000.0 * second + (0.0 if second < 30 else 600.0 * (second - 30))
        meter = MeterReading("node", "0", at, watts, energy)
        tray.node.take(Reading("redfish", at, meters=(meter,)), 1.0)
    node = next(each for each in tray.snapshot(189.0).boundaries if each.boundary == "node")

    assert node.reasons == {Invalid.COUNTER_POWER_MISMATCH}
    assert node.power_watts == 2000.0


@pytest.mark.parametrize(
    ("gpus", "gpu_watts", "node", "rungs", "between"),
    [
        pytest.param(8, 950.0, 10_400.0, ["gpu", "node"], {("node", "gpu"): 2800.0}, id="HGX B200"),
        pytest.param(4, 340.0, 2200.0, ["gpu", "node"], {("node", "gpu"): 840.0}, id="H100 PCIe"),
        pytest.param(1, 300.0, None, ["gpu"], {}, id="a workstation card"),
    ],
)
def test_machines_without_superchips_have_no_module(bench, gpu, gpus, gpu_watts, node, rungs, between):
    """Each board has a serial of its own there, and the driver tells no power of modules."""
    bench.node.expect(["nvml", "redfish"])
    for second in map(float, range(21)):
        at = Moment(second, UNIX + second)
        bench.take_gpus(
            *(gpu(second, gpu_watts * second, gpu_watts, number=n, serial=f"16{n}") for n in range(gpus))
        )
        told = () if node is None else (MeterReading("node", "0", at, node),)
        bench.node.take(Reading("redfish", at, meters=told), 1.0)
    snapshot = bench.snapshot(20.0)

    assert [each.boundary for each in snapshot.boundaries] == rungs
    assert remainders(snapshot) == {pair: pytest.approx(watts) for pair, watts in between.items()}
