"""Power of nodes that cannot reach their BMC, read by the rack's daemon, and counted once (T1, T7)."""

import json

import pytest
from fakes.rack_node import OUTPUT, RackNode

from agent.measure.node_meters import RackMeter
from agent.measure.rack import RackPlan, RackReckoner
from agent.measure.rack_site import Beside
from agent.measure.reading import Moment
from agent.measure.snapshot import BoundaryFigures
from agent.measure.validity import Flag

INTEGRATED = frozenset({Flag.INTEGRATED, Flag.UNVERIFIED})
BEGAN = 1_760_000_000.0


class Hall:
    """Two nodes of 500 W at the GPUs that draw 900 W whole; whose BMC is read here is a test's choice."""

    def __init__(self, read=("a", "b"), kept=None):
        self.nodes = {f"http://{name}:1": RackNode(name, rate=5000.0) for name in ("a", "b")}
        self.rack = RackReckoner(RackPlan(), 10.0)
        if kept is not None:
            self.rack.load(json.loads(json.dumps(kept)))
        self.rack.expect(self.nodes)
        self.read = set(read)
        self.dead = set()

    def tells(self, name, watts=900.0):
        """From now on a node tells its power itself; its total is of all of its time."""
        self.nodes[f"http://{name}:1"].outer = {"node": watts}

    def hides(self, name):
        self.nodes[f"http://{name}:1"].outer = {}

    def live(self, start, end, *, without=()):
        for second in range(start, end):
            self.rack.read_here = {name: self.meter(second) for name in self.read}
            for url, node in self.nodes.items():
                if node.name not in without:
                    self.rack.take(url, node.reading(float(second)), 1.0)
            rack = self.rack.snapshot(Moment(second + 0.1, BEGAN + second), "own", Beside())
        return rack

    def meter(self, second):
        if self.dead:
            return RackMeter("redfish", None, ())
        at = second // 5 * 5.0  # as a BMC is read: every 5 s
        figures = BoundaryFigures(
            "node", "redfish", 900.0, 900.0 * at, at, 0.0, cadence_seconds=5.0, flags=INTEGRATED
        )
        return RackMeter("redfish", figures, ())


def output(rack):
    return {at: ratio for (kind, at), ratio in rack.tokens_per_joule.items() if kind is OUTPUT}


def standing(rack, figure):
    return next(each for each in rack.validity if each.figure == figure)


def test_nodes_that_tell_none_have_the_power_that_is_read_here():
    rack = Hall().live(0, 40)

    assert rack.power_watts == {"gpu": 1000.0, "node": 1800.0}
    assert rack.power_sources["node"] == "redfish@rack"
    assert output(rack)["node"] == pytest.approx(10_000 / 1800)
    assert rack.power_coverage["node"] == 1.0
    assert standing(rack, "rack_tokens_per_joule_node").flags >= INTEGRATED
    assert rack.energy_joules_total["node"] == pytest.approx(2 * 900 * 35.0)


def test_of_each_member_it_is_said_what_is_read_here():
    hall = Hall(read=("a",))
    hall.tells("b")
    a, b = hall.live(0, 40).members

    assert (a.power_watts["node"], a.power_sources) == (900.0, {"node": "redfish@rack"})
    assert (b.power_watts["node"], b.power_sources) == (900.0, {})


def test_t7_a_node_that_tells_its_power_is_believed_and_counted_once():
    hall = Hall()
    hall.tells("a")
    hall.tells("b")
    rack = hall.live(0, 40)

    assert rack.power_watts["node"] == 1800.0
    assert rack.power_sources["node"] != "redfish@rack"
    assert rack.energy_joules_total["node"] == pytest.approx(2 * 900 * 38.751)


def test_a_dead_bmc_leaves_that_node_without_power_and_the_ratio_without_a_figure():
    hall = Hall()
    hall.live(0, 40)
    hall.dead = {"both"}
    rack = hall.live(40, 80)

    assert "node" not in rack.power_watts
    assert "node" not in output(rack)
    assert output(rack)["gpu"] == pytest.approx(10.0)


def test_t1_a_node_that_begins_to_tell_is_taken_over_without_a_joule_twice_and_nothing_falls():
    """Its own total is of all its 100 s: what was read here of the same time is not counted beside it."""
    hall = Hall()
    before = hall.live(0, 100).energy_joules_total["node"]
    hall.tells("a")
    hall.tells("b")
    after = hall.live(100, 140)

    assert before == pytest.approx(2 * 900 * 95.0)
    assert after.energy_joules_total["node"] == pytest.approx(2 * 900 * 138.751)
    assert after.energy_joules_total["node"] >= before
    assert output(after)["node"] == pytest.approx(10_000 / 1800)


def test_a_node_that_has_told_its_power_before_is_not_read_here_while_it_is_silent():
    """Its counter will jump by what it missed when its BMC answers it again."""
    hall = Hall()
    hall.tells("a")
    hall.tells("b")
    hall.live(0, 40)
    hall.hides("a")
    silent = hall.live(40, 80)
    hall.tells("a")
    back = hall.live(80, 120)

    assert silent.power_watts["node"] == 900.0
    assert silent.power_coverage["node"] == 0.5
    assert back.energy_joules_total["node"] == pytest.approx(2 * 900 * 118.751)


def test_energy_goes_on_being_counted_while_the_node_is_away_and_its_power_is_not_shown():
    hall = Hall()
    hall.live(0, 40)
    rack = hall.live(40, 80, without=("b",))

    assert rack.energy_joules_total["node"] == pytest.approx(2 * 900 * 75.0)
    assert rack.power_watts["node"] == 900.0
    assert (rack.members[1].up, rack.members[1].power_watts, rack.members[1].read_here_watts) == (
        False,
        {},
        900.0,
    )


def test_t1_what_was_read_here_survives_a_restart():
    hall = Hall()
    before = hall.live(0, 42).energy_joules_total["node"]
    again = Hall(kept=hall.rack.dump())
    after = again.live(60, 90).energy_joules_total["node"]

    assert after - before == pytest.approx(2 * 900 * 45.0)


def test_a_kept_file_from_before_that_is_understood():
    kept = Hall().rack.dump()
    del kept["outside"]

    assert Hall(kept=kept).live(0, 20).energy_joules_total["node"] > 0.0
