"""The table of nodes and its GPU cells, as text and tones."""

import pytest
from fakes.racks import LLAMA, OUTPUT, ailing_rack, away, gpu, member, rack

from agent.measure.limiter import Limit, Limiter
from agent.measure.rack_snapshot import DeploymentFigures
from agent.top.cells import Tone, cells_wide, plain
from agent.top.gpus import Paint, Scale, gpu_cells
from agent.top.models import model_table
from agent.top.node import find, gpu_table, node_lines
from agent.top.nodes import Choice, Sort, choices_of_boundary, keys_of, natural, node_table, ordered
from agent.top.page import read
from agent.wire.rack_codec import to_json


def page_of(*members, **changes):
    return read(to_json(rack(*members, **changes)))


def names(page, **choice):
    return [each.node for each in ordered(page, Choice(**choice))]


def cell(page, member_number, paint, *, wide=False):
    return gpu_cells(page.members[member_number], paint, Scale.of(page, "gpu"), wide=wide)


def test_the_worst_come_first_and_the_drained_last():
    page = page_of(
        member("fine", rate_to_median_ratio=1.0),
        away("drained", drained=True),
        member("idle", state="idle", rate_to_median_ratio=None),
        member("slow", rate_to_median_ratio=0.7),
        member("unread", state="unknown", rate_to_median_ratio=None),
        away("away"),
    )

    assert names(page) == ["away", "unread", "slow", "fine", "idle", "drained"]
    assert names(page, backwards=True)[0] == "drained"


def test_noise_does_not_make_rows_dance():
    page = page_of(*(member(f"n{i}", rate_to_median_ratio=1.02 - i / 100) for i in range(4)))

    assert names(page) == ["n0", "n1", "n2", "n3"]


def test_a_node_with_a_lost_gpu_comes_before_its_equals():
    lost = (gpu(0), gpu(1, up=False))

    assert names(page_of(member("a"), member("b", gpus=lost))) == ["b", "a"]


def test_other_orders_begin_with_the_highest_and_end_with_the_unknown():
    page = page_of(
        member("low", tokens_per_second={OUTPUT: 1.0}),
        away("away"),
        member("high", tokens_per_second={OUTPUT: 9.0}),
    )

    assert names(page, sort=Sort.RATE) == ["high", "low", "away"]
    assert names(page, sort=Sort.NAME) == ["away", "high", "low"]


def test_names_are_sorted_as_people_count():
    assert sorted(["n10", "n2", "n1"], key=natural) == ["n1", "n2", "n10"]


def test_a_narrow_table_fits_eighty_columns():
    table = node_table(read(to_json(ailing_rack())), Choice(), 79)
    widths = [max(cells_wide(plain(row[i])) for _, row in table.rows) for i in range(len(table.head))]

    assert table.head == ("NODE", "TOK/S", "MEDIAN", "kW module", "TOK/J", "GPUS", "NOTE")
    assert sum(max(w, len(h)) + 2 for w, h in zip(widths, table.head, strict=True)) <= 79


def test_a_row_tells_rate_share_power_efficiency_gpus_and_what_is_wrong():
    rows = {
        row[0][0].text: [plain(c) for c in row]
        for _, row in node_table(read(to_json(ailing_rack())), Choice(boundary="gpu"), 160).rows
    }

    assert rows["tray-04"] == [
        "tray-04",
        "MISSING",
        "-",
        "-",
        "-",
        "-",
        "-",
        "xxxx",
        "unreachable: cannot connect (Connection refused); last seen 95 s ago",
    ]
    assert rows["tray-12"][2:4] == ["44,000", "73 %"]
    assert rows["tray-12"][5:] == ["10.20", "91", "oo!o", f"throttled: hw_thermal_slowdown; {LLAMA}"]
    assert rows["tray-15"][7:] == ["ooox", f"1 GPU not up; {LLAMA}"]
    assert rows["tray-09"][8] == "drained by ops: new firmware"


def test_a_narrow_row_says_missing_in_words():
    (_, row), *_ = node_table(page_of(away("a")), Choice(), 120 - 20).rows

    assert plain(row[-1]).startswith("MISSING; unreachable")


@pytest.mark.parametrize(
    ("paint", "changes", "sign", "tone"),
    [
        (Paint.HEALTH, {}, "o", Tone.GOOD),
        (Paint.HEALTH, {"throttled": ("hw_slowdown",)}, "!", Tone.WARN),
        (Paint.HEALTH, {"up": False}, "x", Tone.BAD),
        (Paint.THROTTLE, {"throttled": None}, "?", Tone.DIM),
        (Paint.THROTTLE, {"throttled": ()}, "o", Tone.GOOD),
        (Paint.POWER, {"power_watts": 1400.0}, "█", Tone.GOOD),
        (Paint.POWER, {"power_watts": 100.0, "power_to_median_ratio": 0.1}, "▁", Tone.WARN),
        (Paint.POWER, {"power_watts": None}, "?", Tone.DIM),
        (Paint.TEMPERATURE, {"temperature_celsius": 90.0}, "█", Tone.BAD),
        (Paint.TEMPERATURE, {"temperature_celsius": 76.0}, "▆", Tone.WARN),
        (Paint.TEMPERATURE, {"temperature_celsius": 25.0}, "▁", Tone.GOOD),
        (Paint.TEMPERATURE, {"temperature_celsius": None}, "?", Tone.DIM),
    ],
)
def test_a_gpu_is_a_sign_that_needs_no_colour(paint, changes, sign, tone):
    page = page_of(member("a", gpus=(gpu(0, **changes),)))

    (span,) = cell(page, 0, paint)

    assert (span.text, span.tone) == (sign, tone)


def test_tokens_are_told_by_node_so_all_its_gpus_show_its_share():
    page = page_of(member("a", rate_to_median_ratio=0.5), member("b", rate_to_median_ratio=None))

    assert plain(cell(page, 0, Paint.RATE)) == "▅▅▅▅"
    assert plain(cell(page, 1, Paint.RATE)) == "????"


def test_efficiency_is_never_compared_across_models():
    """T20."""
    page = page_of(
        member("a", tokens_per_joule={(OUTPUT, "gpu"): 10.0}),
        member("b", tokens_per_joule={(OUTPUT, "gpu"): 30.0}),
        member("c", models=("other",), tokens_per_joule={(OUTPUT, "gpu"): 1.0}),
    )

    assert plain(cell(page, 0, Paint.EFFICIENCY)) == "▅▅▅▅"
    assert plain(cell(page, 2, Paint.EFFICIENCY)) == "????"


def test_a_wide_terminal_shows_watts_and_degrees_as_numbers():
    page = page_of(member("a", gpus=(gpu(0), gpu(1, power_watts=None), gpu(2, up=False))))

    assert plain(cell(page, 0, Paint.POWER, wide=True)) == " 1200    -    x"
    assert plain(cell(page, 0, Paint.TEMPERATURE, wide=True)) == "   61   61    x"


def test_more_gpus_than_a_domain_has_are_counted():
    page = page_of(member("a", gpus=tuple(gpu(i) for i in range(80))))

    assert plain(cell(page, 0, Paint.HEALTH)).endswith("o +8")


def test_nodes_of_one_name_stay_apart():
    twins = (member("a"), member("a"))

    assert len(set(keys_of(twins))) == 2


def test_the_boundary_is_the_outermost_that_most_nodes_have_unless_chosen():
    page = page_of(member("a"), member("b", power_watts={"gpu": 1.0}), member("c", power_watts={"gpu": 1.0}))

    assert "kW gpu" in node_table(page, Choice(), 160).head
    assert "kW module" in node_table(page, Choice(boundary="module"), 160).head
    assert choices_of_boundary(page) == ["gpu", "module"]


def test_a_node_opened_shows_every_gpu_as_numbers():
    page = read(to_json(ailing_rack()))
    key = dict(zip((m.node for m in page.members), keys_of(page.members), strict=True))["tray-12"]
    opened = find(page, key)

    assert [plain(each) for each in gpu_table(opened).rows[2][1]][:9] == [
        "2",
        "up",
        "700",
        "1,400",
        "58 %",
        "91",
        "98 %",
        "1,920",
        "hw_thermal_slowdown",
    ]
    assert [plain(each) for each in node_lines(opened, 80)][2:4] == [
        "output 44,000 tokens/s  prompt 88,000 tokens/s",
        "of the median node 73 %  coverage 100.0 %  answered 0 s ago  rackwatt 0.1.0",
    ]
    assert find(page, "gone") is None


def test_power_that_the_racks_daemon_reads_of_a_node_is_told_as_such():
    read = member("a", power_watts={"gpu": 4800.0, "node": 6120.0}, power_sources={"node": "redfish@rack"})
    told = [plain(each).rstrip() for each in node_lines(page_of(read).members[0], 80)]

    assert [line.split()[-1] for line in told if line.startswith(("gpu", "node"))] == [
        "J/token",
        "redfish@rack",
    ]


def test_a_missing_node_opened_shows_no_old_figures():
    page = page_of(away("a"))

    text = "\n".join(plain(each) for each in node_lines(page.members[0], 80))

    assert "MISSING" in text
    assert "tokens/s" not in text
    assert "kW" not in text


def test_models_are_told_with_their_requests_and_what_bounds_them():
    served = (
        DeploymentFigures("chat", LLAMA, limiter=Limiter(Limit.KV_MEMORY, 0.99)),
        DeploymentFigures("batch", LLAMA, limiter=Limiter(Limit.DEMAND, None)),
        DeploymentFigures("other", LLAMA),
    )
    table = model_table(page_of(member("a"), member("b"), deployments=served), "gpu")

    assert [plain(each) for each in table.rows[0][1]] == [
        LLAMA,
        "2",
        "120,000",
        "240,000",
        "12.50",
        "4,608",
        "12",
        "kv memory, demand",
    ]
