"""What a rack costs and emits, as text: apart, by boundary, and with a reason for what is missing."""

import json
from dataclasses import replace

import pytest
from fakes import scenes

from agent.measure.site import Site, Stated
from agent.measure.validity import Invalid, Validity
from agent.top.cells import plain
from agent.top.cost import cost_line, cost_lines, grams, money
from agent.top.frame import frame
from agent.top.head import Status
from agent.top.page import read
from agent.wire.rack_codec import to_json, to_plain


def texts(lines):
    return [plain(each).rstrip() for each in lines]


BILLED = read(to_json(scenes.billed()))
ENERGY_ALONE = Site(pue=Stated(1.2), currency="EUR", price_per_kwh=0.19)


def test_one_line_tells_the_outermost_boundary_and_the_gpus_apart():
    (said,) = texts(cost_line(BILLED, 160))

    assert said.split("  ") == [
        "COST energy 13.04 USD/h at rack, GPUs 237.60 USD/h",
        "1M tokens: energy 0.00329 USD, GPUs 0.0599 USD",
        "CO2e 65.2 kg/h, 16.4 g/1M",
    ]


def test_on_a_narrow_terminal_what_does_not_fit_whole_is_left_out():
    assert texts(cost_line(BILLED, 70)) == ["COST energy 13.04 USD/h at rack, GPUs 237.60 USD/h"]


def test_every_boundary_has_a_row_and_the_facility_none():
    assert texts(cost_lines(BILLED, 120)) == [
        "COST AT       /HOUR   /1M TOKENS  CO2E/HOUR  CO2E/1M  WHY NOT",
        "gpu        8.99 USD  0.00227 USD    45.0 kg   11.3 g",
        "module    10.88 USD  0.00275 USD    54.4 kg   13.7 g",
        "node      12.14 USD  0.00306 USD    60.7 kg   15.3 g",
        "rack      13.04 USD  0.00329 USD    65.2 kg   16.4 g",
        "72 GPUs  237.60 USD   0.0599 USD",
        "PRICES 0.08 USD/kWh, PUE 1.2 (report of 2026), 3.3 USD/GPU-hour, 400 g CO2e/kWh (supplier, 2026)",
        "the total of CO2e lacks 12.0% of the energy at rack: nobody knew its price or emissions",
    ]


def test_what_is_not_known_says_why():
    """T5: no meter of the rack may be divided by; nobody set the price of a GPU or an intensity."""
    whole = scenes.billed(site=ENERGY_ALONE)
    standing = Validity("rack_tokens_per_joule_rack", 10.0, frozenset({Invalid.METERS_DISAGREE}))
    kept = tuple(each for each in whole.validity if each.figure != standing.figure)
    million = {key: cost for key, cost in whole.site.per_million.items() if key[2] != "rack"}
    site = replace(whole.site, per_million=million, booked_joules={})
    page = read(to_json(replace(whole, validity=(*kept, standing), site=site)))
    lines = texts(cost_lines(page, 120))

    assert lines[4] == "rack     30.97 EUR            -          -        -  meters disagree"
    assert lines[6:] == [
        "no figure for GPUs: site.price_per_gpu_hour is not set",
        "no figure for CO2e: neither site.grams_co2e_per_kwh nor collectors.carbon is set",
    ]


def test_without_a_price_that_is_all_that_is_told():
    page = read(to_json(scenes.nvl72()))

    assert cost_line(page, 160) == []
    assert texts(cost_lines(page, 120)) == ["COST not told: no price is set (site)"]


def test_the_formulas_are_told_on_request_and_in_no_frame():
    formula = "energy per million tokens = 1e6 / tokens_per_joule / 3.6e6 * price_per_kwh * pue"

    assert formula in texts(cost_lines(BILLED, 160, formulas=True))
    assert formula not in frame(BILLED, Status("http://x", 0.0), 160)
    assert "COST AT" in frame(BILLED, Status("http://x", 0.0), 160)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (None, "-"),
        (0.0, "0.00 X"),
        (0.0022711, "0.00227 X"),
        (9.99, "9.99 X"),
        (237.6, "237.60 X"),
        (12345.6, "12,346 X"),
    ],
)
def test_money_is_written_as_people_write_it(amount, said):
    assert money(amount, "X") == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(None, "-"), (0.0, "0.00 g"), (113.0, "113 g"), (65_200.0, "65.2 kg"), (2.5e6, "2.50 t")],
)
def test_a_mass_has_the_unit_that_fits(amount, said):
    assert grams(amount) == said


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [7, None, {}], {"rack": "x"}, {"": None}])
@pytest.mark.parametrize("key", list(to_plain(scenes.billed())["site"]))
def test_whatever_a_server_says_of_its_costs_there_is_a_frame(key, value):
    told = json.loads(to_json(scenes.billed()))
    told["site"][key] = value

    assert "OUTPUT" in frame(read(json.dumps(told).encode()), Status("http://x", 0.0), 160)
