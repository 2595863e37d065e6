"""Machines of five shapes: what is told at every boundary is the truth, and what a shape lacks is absent.

A GB300 tray (superchips with Grace, a controller), an eight-GPU HGX B200 server (x86 CPUs, a controller that
counts energy), a server with four H100 PCIe cards (no bridge, one ACPI meter for the whole), a workstation
with a gaming card and no rights, and one whose card counts no energy. The driver, files under /sys and the
controllers are fakes that show one truth; what reads them is ours, from the unmodified bindings to the page.
The clock is moved by hand (fakes/shape_run.py).
"""

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.nvml.build import library_directory
from fakes.processes import TESTS_FOLDER
from fakes.shapes import AVERAGED_SECONDS, DRAM_WATTS, GRACE_RAILS, SHAPES, World
from prometheus_client.parser import text_string_to_metric_families

GOLDEN = Path(__file__).parent / "golden" / "shapes"
HALF_A_PERCENT = 0.005
POINTS = ("rest", "rise", "full", "fall", "again")
STEADY = ("rest", "full", "again")
COUNTER_STEP_SECONDS = 0.1
WINDOW_SECONDS = 10.0
SOURCES = {
    "gb300": {"gpu": "nvml", "module": "nvml", "node": "redfish", "facility": "pue"},
    "b200": {"gpu": "nvml", "node": "redfish", "facility": "pue"},
    "h100_pcie": {"gpu": "nvml", "node": "hwmon", "facility": "pue"},
    "geforce": {"gpu": "nvml"},
    "uncounted": {"gpu": "nvml"},
}


class Seen:
    """What was told of one machine, by the points of the story."""

    def __init__(self, name, folder):
        self.name, self.told = name, json.loads((folder / "told.json").read_text())
        self.shape, self.sources = SHAPES[name], SOURCES[name]
        self.world = World(self.shape, folder / "nvml.tape", folder / "sys")
        self._samples = {}

    def __getitem__(self, point):
        return self.told[point]

    def samples(self, point):
        """The page at a point of the story, read once."""
        if point not in self._samples:
            families = text_string_to_metric_families(self[point]["page"])
            self._samples[point] = [sample for family in families for sample in family.samples]
        return self._samples[point]

    def rows(self, name, *keys, point="again", **labels):
        """The series of one metric that have these labels, by the keys."""
        return {
            tuple(sample.labels[key] for key in keys): sample.value
            for sample in self.samples(point)
            if sample.name == name and labels.items() <= sample.labels.items()
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """All machines, each in a process of its own."""
    folder = tmp_path_factory.mktemp("shapes")
    args = [sys.executable, "-P", str(TESTS_FOLDER / "fakes" / "shape_run.py"), str(folder), *SHAPES]
    env = os.environ | {"LD_LIBRARY_PATH": str(library_directory())}
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Seen(name, folder / name) for name in SHAPES}


@pytest.fixture(params=SHAPES)
def seen(story, request):
    """What was told of one machine."""
    return story[request.param]


# ---- the ladder


@pytest.mark.parametrize("point", POINTS)
def test_each_boundary_has_one_source_and_what_cannot_be_measured_is_absent(seen, point):
    """T7, T4: a boundary that does not exist here is in no figure, and never zero."""
    boundaries = set(seen.sources.items())

    assert {(name, told[0]) for name, told in seen[point]["boundaries"].items()} == boundaries
    for name in ("rackwatt_power_watts", "rackwatt_energy_joules_total"):
        assert set(seen.rows(name, "boundary", "source", point=point)) == boundaries
    assert {(inner, outer) for inner, outer, _ in seen[point]["rests"]} == set(pairwise(seen.sources))
    assert seen.rows("rackwatt_node_gpus_expected", point=point) == {(): seen.shape.gpus}
    assert seen.rows("rackwatt_node_gpus_reporting", point=point) == {(): seen.shape.gpus}
    assert ('boundary="module"' in seen[point]["page"]) is (seen.name == "gb300")


@pytest.mark.parametrize("point", POINTS)
def test_power_at_every_boundary_is_within_half_a_percent(seen, point):
    """T8: of the two GPUs that tell of a module, it is told once; rails inside are in no sum."""
    truth = {
        boundary: seen.world.mean_watts(boundary, seen[point]["at"]) for boundary in seen.shape.boundaries
    }
    truth |= {"facility": 1.2 * truth["node"]} if "node" in truth else {}
    page = {
        boundary: watts
        for (boundary,), watts in seen.rows("rackwatt_power_watts", "boundary", point=point).items()
    }

    assert page == pytest.approx(truth, rel=HALF_A_PERCENT)
    assert {name: told[1] for name, told in seen[point]["boundaries"].items()} == pytest.approx(page)


@pytest.mark.parametrize(("since", "until"), [("rest", "full"), ("full", "again"), ("rest", "again")])
def test_energy_at_every_boundary_is_within_half_a_percent(seen, since, until):
    """T1: what totals grew by, over a load that rises and falls, is what was used.

    The controller of the GB300 tray has no counter and does not tell how long its means are: after a rise its
    energy is late by half of one, and has caught up when the load is what it was.
    """
    for boundary in seen.shape.boundaries:
        source, *_, joules, at = seen[until]["boundaries"][boundary]
        *_, before, began = seen[since]["boundaries"][boundary]
        used = seen.world.joules(boundary, at) - seen.world.joules(boundary, began)
        swing = seen.world.watts(boundary, at) - seen.world.watts(boundary, began)
        late = AVERAGED_SECONDS / 2 * swing if source == "redfish" and not seen.shape.counts else 0.0

        assert joules - before == pytest.approx(used - late, rel=HALF_A_PERCENT), boundary


def test_totals_start_at_zero_and_grow_by_what_was_seen(seen):
    """T1: the first reading, one step after the clock was stopped, is where they begin."""
    for boundary in seen.shape.boundaries:
        _, watts, joules, _ = seen["rest"]["boundaries"][boundary]

        assert joules == pytest.approx(12 * watts, rel=HALF_A_PERCENT), boundary


@pytest.mark.parametrize("point", STEADY)
def test_what_a_boundary_draws_beside_its_inner_one_is_right(seen, point):
    watts = {boundary: seen.world.watts(boundary, seen[point]["at"]) for boundary in seen.shape.boundaries}
    watts |= {"facility": 1.2 * watts["node"]} if "node" in watts else {}

    assert {(inner, outer): rest for inner, outer, rest in seen[point]["rests"]} == {
        (inner, outer): pytest.approx(watts[outer] - watts[inner], rel=HALF_A_PERCENT)
        for inner, outer in pairwise(watts)
    }


@pytest.mark.parametrize("point", ["rise", "fall"])
@pytest.mark.parametrize(
    ("name", "outer", "beside"), [("gb300", "module", 260.0), ("h100_pcie", "node", 946.0)]
)
def test_t3_while_the_load_steps_both_boundaries_show_it_over_the_same_interval(
    story, name, outer, beside, point
):
    """GPUs count and are up to a step of their counter late; modules and sockets tell means of a second."""
    swing = abs(
        story[name].world.watts("gpu", story[name]["full"]["at"])
        - story[name].world.watts("gpu", story[name]["rest"]["at"])
    )
    (rest,) = (watts for inner, at, watts in story[name][point]["rests"] if (inner, at) == ("gpu", outer))

    assert rest == pytest.approx(beside, abs=COUNTER_STEP_SECONDS * swing / WINDOW_SECONDS)


# ---- parts, cross-checks, dead meters


@pytest.mark.parametrize("point", POINTS)
def test_rails_and_packages_are_parts_each_by_itself(seen, point):
    """Power of each, and energy that goes on where a counter wraps; what nobody may read is absent."""
    x86 = () if seen.shape.root_only else range(seen.shape.packages)
    parts = {(rail.lower(), str(n)): w for n in range(seen.shape.sockets) for rail, w in GRACE_RAILS.items()}
    parts |= {("package", str(n)): seen.shape.package_watts for n in x86}
    parts |= {("dram", str(n)): DRAM_WATTS for n in x86}
    seconds = seen[point]["at"] - seen["rest"]["at"] + 12.0
    energy = {part: watts * seconds for part, watts in parts.items()}

    assert seen.rows("rackwatt_part_power_watts", "part", "unit", point=point) == pytest.approx(
        parts, rel=HALF_A_PERCENT
    )
    assert seen.rows("rackwatt_part_energy_joules_total", "part", "unit", point=point) == pytest.approx(
        energy, rel=HALF_A_PERCENT
    )


def test_other_meters_of_a_boundary_only_cross_check_it(story):
    checks = {name: {(b, s) for b, s, _ in each["again"]["crosschecks"]} for name, each in story.items()}
    tray = story["gb300"]["again"]

    assert checks == {
        "gb300": {("module", "hwmon"), ("node", "redfish_sensor")},
        "b200": {("node", "redfish_power_supplies"), ("node", "redfish_power_control")},
        "h100_pcie": set(),
        "geforce": set(),
        "uncounted": set(),
    }
    for boundary, _, watts in tray["crosschecks"]:
        assert watts == pytest.approx(tray["boundaries"][boundary][1], rel=HALF_A_PERCENT)


def test_a_dead_meter_is_named_and_what_it_is_a_part_of_is_not_whole(story):
    tray, server = story["gb300"]["dead"], story["h100_pcie"]["dead"]

    assert [meter for meter in tray["meters"] if not meter[-1]] == [["hwmon", "module", "1", False]]
    assert tray["notes"] == [
        "hwmon: the meter of module 1 does not answer, so power at the boundary module lacks it"
    ]
    assert [source for _, source, _ in tray["crosschecks"]] == ["redfish_sensor"]
    assert tray["boundaries"].keys() == {"gpu", "module", "node", "facility"}  # NVML tells the modules
    assert server["notes"] == [
        "hwmon: the meter of node 0 does not answer, so power at the boundary node lacks it"
    ]
    assert server["boundaries"].keys() == {"gpu"}


def test_a_counter_that_only_root_may_read_is_absent_and_says_so(story):
    card = story["geforce"]

    assert card.rows("rackwatt_collector_success", "collector") == {("nvml",): 1.0, ("hwmon",): 0.0}
    assert card.rows("rackwatt_collector_failures_total", reason="denied", collector="hwmon") == {(): 45.0}


# ---- links, and what a shape lacks

LINKS = {
    "gb300": {
        "nvlinks": ("active", 18.0),
        "c2c_links": ("active", 10.0),
        "speed": 53.125e9,
        "fabric": "completed",
    },
    "b200": {"nvlinks": ("active", 18.0), "c2c_links": None, "speed": 53.125e9, "fabric": "completed"},
    "h100_pcie": {"nvlinks": ("inactive", 12.0), "c2c_links": None, "speed": None, "fabric": None},
    "geforce": {"nvlinks": None, "c2c_links": None, "speed": None, "fabric": None},
    "uncounted": {"nvlinks": None, "c2c_links": None, "speed": None, "fabric": None},
}


def test_a_card_that_counts_no_energy_has_it_integrated_and_says_so(story):
    flags = {
        name: each.rows("rackwatt_figure_flag", figure="node_tokens_per_joule_gpu", flag="integrated")
        for name, each in story.items()
    }

    assert {name: [*told.values()] for name, told in flags.items()} == {n: [n == "uncounted"] for n in SHAPES}


def test_links_are_those_of_the_shape_and_one_that_joins_nothing_has_no_speed(seen):
    def up(metric):
        return next(((*state, n) for state, n in seen.rows(metric, "state", gpu="0").items() if n), None)

    assert LINKS[seen.name] == {
        "nvlinks": up("rackwatt_gpu_nvlinks"),
        "c2c_links": up("rackwatt_gpu_c2c_links"),
        "speed": seen.rows("rackwatt_gpu_nvlink_slowest_bytes_per_second", gpu="0").get(()),
        "fabric": next((state for (state,) in seen.rows("rackwatt_gpu_fabric_info", "state", gpu="0")), None),
    }
    c2c = seen.rows("rackwatt_gpu_c2c_slowest_bytes_per_second", "gpu")
    assert c2c == ({(str(gpu),): 44.712e9 for gpu in range(4)} if seen.name == "gb300" else {})
    assert bool(seen.rows("rackwatt_gpu_link_bytes_per_second", link="c2c")) is (seen.name == "gb300")


def test_t11_a_fabric_inside_one_node_is_complete_and_healthy_and_no_cluster(story):
    fabrics = {
        name: (
            [*each.rows("rackwatt_gpu_fabric_info", "cluster_uuid", "clique", gpu="0")],
            each.rows("rackwatt_gpu_fabric_healthy", gpu="0").get(()),
            [domain for (domain,) in each.rows("rackwatt_node_info", "domain")],
        )
        for name, each in story.items()
    }
    uuid = "5ac0ffee-0011-2233-4455-66778899aabb"

    assert fabrics == {
        "gb300": ([(uuid, "32766")], 1.0, [f"{uuid}.32766"]),
        "b200": ([("", "")], 1.0, [""]),
        "h100_pcie": ([], None, [""]),
        "geforce": ([], None, [""]),
        "uncounted": ([], None, [""]),
    }


ABSENT_ON_A_GAMING_CARD = (
    "rackwatt_gpu_ecc_errors_total",
    "rackwatt_gpu_remapped_rows",
    "rackwatt_gpu_memory_power_watts",
    "rackwatt_gpu_sm_active_ratio",
    "rackwatt_gpu_tensor_active_ratio",
    "rackwatt_gpu_memory_bandwidth_ratio",
    "rackwatt_gpu_placement_info",
    "rackwatt_gpu_module_power_limit_watts",
)


def test_what_a_gaming_card_cannot_tell_is_absent_and_what_others_can_is_there(story):
    told = {name: {m for m in ABSENT_ON_A_GAMING_CARD if each.rows(m)} for name, each in story.items()}

    assert told["geforce"] == set()
    assert told["gb300"] == set(ABSENT_ON_A_GAMING_CARD)
    assert told["b200"] == told["gb300"] - {"rackwatt_gpu_module_power_limit_watts"}
    assert told["h100_pcie"] == told["b200"] - {"rackwatt_gpu_placement_info"}
    assert [*story["geforce"].rows("rackwatt_gpu_temperature_celsius", "sensor")] == [("gpu",)]
    assert [*story["geforce"].rows("rackwatt_gpu_info", "serial", "product")] == [
        ("", "NVIDIA GeForce RTX 4090")
    ]


# ---- the commands


def test_once_says_what_the_machine_draws_at_every_boundary(seen):
    golden = GOLDEN / f"{seen.name}.once.txt"
    if os.environ.get("RACKWATT_UPDATE_GOLDENS") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(seen["again"]["once"] + "\n")

    assert seen["again"]["once"] + "\n" == golden.read_text()


DOCTOR = {
    "gb300": (
        "ok       hwmon: meters: cpu 0, cpu 1, grace 0, grace 1, module 0, module 1, sysio 0, sysio 1",
        "ok       GPU 0: NVIDIA GB300, .*; power: gpu 546 W/546 W, module 1222 W/1222 W, memory 115 W/-",
        "ok       GPU 2: chassis 1820000000001, slot 25, tray 15, .*, clique 32766, fabric completed",
        "ok       GPUs 0 to 3: NVLink links: 18 active, the slowest at 53\\.1 GB/s",
        "ok       GPUs 0 to 3: C2C links: 10 active, the slowest at 44\\.7 GB/s",
        "ok       redfish/bmc: .*boundary node: 3064 W by environment",
        "ok       boundaries: power is measured at: gpu \\(nvml\\), module \\(nvml\\), node \\(redfish\\)$",
    ),
    "b200": (
        "ok       hwmon: meters: dram 0, dram 1, package 0, package 1",
        "ok       GPU 7: NVIDIA B200, .*; power: gpu 436 W/436 W, memory 92 W/-$",
        "ok       GPU 7: host 1, module 8, fabric completed$",
        "ok       GPUs 0 to 7: NVLink links: 18 active, the slowest at 53\\.1 GB/s",
        "ok       GPUs 0 to 7: not offered by this GPU or driver .*average_watts module",
        "ok       redfish/bmc: .*boundary node: 6548 W by environment",
    ),
    "h100_pcie": (
        "ok       hwmon: meters: dram 0, dram 1, node 0, package 0, package 1",
        "ok       GPUs 0 to 3: tells no place in a rack",
        "ok       GPUs 0 to 3: NVLink links: 12 inactive$",
        "ok       boundaries: power is measured at: gpu \\(nvml\\), node \\(hwmon\\)$",
    ),
    "geforce": (
        "problem  hwmon: denied: RAPL counters are readable by root only",
        "         -> give this user the right to read /sys/class/powercap/\\*/energy_uj",
        "ok       GPU 0: NVIDIA GeForce RTX 4090, .*; power: gpu 143 W/143 W$",
        "ok       GPU 0: not offered by this GPU or driver .*nvmlGpmMetricsGet",
        "note     boundaries: power is measured at: gpu \\(nvml\\); nothing here measures the whole node",
    ),
    "uncounted": ("ok       GPU 0: not offered by this GPU or driver .*nvmlDeviceGetTotalEnergyConsumption",),
}


def test_the_doctor_says_what_the_machine_has_and_finds_only_what_is_wrong(seen):
    lines = [line for line in DOCTOR[seen.name] if not re.search(f"^{line}", seen["doctor"], re.MULTILINE)]

    assert lines == [], seen["doctor"]
    assert f"ok       node.gpus: all {seen.shape.gpus} GPUs answer\n" in seen["doctor"]
    assert re.findall(r"^problem  (\w+)", seen["doctor"], re.MULTILINE) == ["hwmon"] * (
        seen.name == "geforce"
    )
