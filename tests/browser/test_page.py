"""The live page in a real browser, fed by the real web application with scripted scenes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from fakes import scenes
from playwright.sync_api import expect

import agent
from agent.measure.validity import Invalid, Validity
from agent.wire.rack_codec import to_plain

SHOTS = Path(agent.__file__).parents[1] / ".cache" / "screenshots"
SIZES = {"phone": (390, 844), "desk": (1440, 900), "wall": (2560, 1440)}
SCENES = {
    "record": scenes.billed,
    "troubles": scenes.with_troubles,
    "incidents": scenes.with_incidents,
    "one": scenes.workstation,
    "shared": scenes.shared,
    "many": lambda sequence, seconds: scenes.many(200, sequence, seconds),
}
LONGEST_MILLISECONDS = 30_000
DASH = "\u2013"


def shown(page):
    page.locator("#rack .cell").first.wait_for()
    return page


def exact(page, selector):
    return page.locator(selector).get_attribute("title")


def number_of(text):
    return float(text.split()[0].replace(",", ""))


def test_it_comes_up_without_a_complaint_and_asks_only_its_own_daemon(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())
    page.locator("#troubles-list li").first.wait_for()

    assert page.complaints == []
    assert page.asked
    assert [url for url in page.asked if not url.startswith(server.url)] == []


def test_its_figures_are_those_of_the_rack(server, opened):
    told = to_plain(server.publish(scenes.nvl72()))
    page = shown(opened())

    assert number_of(exact(page, "#card-rate .big")) == pytest.approx(told["tokens_per_second"]["output"])
    assert number_of(exact(page, "#card-total .big")) == pytest.approx(told["tokens_total"]["output"])
    rows = page.locator("#card-ladder tbody tr")
    assert rows.count() == 2
    for row, boundary in ((rows.nth(0), "gpu"), (rows.nth(1), "module")):
        cells = [number_of(row.locator("td").nth(i).get_attribute("title")) for i in (0, 2, 3, 4)]
        ratio = told["tokens_per_joule"][boundary]["output"]
        assert cells == pytest.approx(
            [told["power_watts"][boundary], ratio, 1 / ratio, told["energy_joules_total"][boundary]]
        )


def test_big_figures_are_read_as_people_say_them(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())

    expect(page.locator("#card-rate .big")).to_have_text("1.10M tok/s")
    expect(page.locator("#card-rate .standing")).to_have_text("valid · 100\u202f% covered · last 10\u202fs")
    expect(page.locator("#card-reporting .big")).to_have_text("18of 18 nodes")


def test_a_record_is_compared_with_never_claimed(server, opened):
    """T20."""
    server.publish(scenes.nvl72())
    page = shown(opened())
    card = page.locator("#card-record")

    expect(card.locator(".big")).to_have_text("100.0\u202f%of 1.10\u202fM tok/s")
    expect(card.locator(".standing").first).to_contain_text("compared with Azure ND GB300 v6")
    expect(card.locator(".caveats li")).to_have_text(list(scenes.RECORD.caveats))
    assert "MLPerf result" not in page.locator("body").inner_text()


def test_what_is_not_quite_all_is_not_shown_as_all(server, opened):
    whole = scenes.nvl72()
    server.publish(replace(whole, coverage=0.99996, record=replace(whole.record, ratio=0.99996)))
    page = shown(opened())

    expect(page.locator("#card-record .big")).to_contain_text("99.9\u202f%")
    expect(page.locator("#card-rate .standing")).to_contain_text("99.9\u202f% covered")


def cells_of(row):
    return [cell.strip() for cell in row.locator("td .number").all_inner_texts()]


def test_cost_and_emissions_stand_by_boundary_with_capacity_apart(server, opened):
    told = to_plain(server.publish(scenes.billed()))["site"]
    page = shown(opened())
    rows = page.locator("#cost-table tbody tr")

    expect(rows.locator("th span:first-child")).to_have_text(["gpu", "module", "node", "rack", "GPUs"])
    expect(rows.locator("th .source")).to_have_text([*["energy"] * 4, "72 expected"])
    rack, gpus = rows.nth(3), rows.nth(4)
    per_hour = next(row["amount"] for row in told["cost_per_hour"] if row["boundary"] == "rack")
    assert number_of(rack.locator("td").nth(0).get_attribute("title")) == pytest.approx(per_hour, rel=1e-5)
    assert cells_of(rack) == ["13.04", "0.00329", "65.2", "16.4", "3.62", "15.9"]
    assert cells_of(gpus) == ["237.60", "0.0599", "", "", "66.00", ""]
    expect(rack.locator("td").nth(3)).to_have_attribute("title", re.compile("0.0000164 g a token"))


def test_inputs_formulas_and_what_is_missing_stand_beside_the_cost(server, opened):
    server.publish(scenes.billed())
    page = shown(opened())
    card = page.locator("#cost")

    expect(card.locator(".standing")).to_have_text(
        "0.08\u202fUSD a kWh · PUE 1.2 (report of 2026) · 3.3\u202fUSD a GPU-hour · "
        "400\u202fg CO₂e a kWh (supplier, 2026)"
    )
    expect(card.locator(".warn li")).to_have_text(
        "CO₂e so far lacks 12.0\u202f% of the energy at rack (16.3\u202fMJ): nobody knew what it emitted"
    )
    card.get_by_text("How it is reckoned").click()
    expect(card.locator(".formulas")).to_contain_text(
        "energy per million tokens = 1e6 / tokens_per_joule / 3.6e6 * price_per_kwh * pue"
    )


def test_what_does_not_cost_anything_knowable_says_why(server, opened):
    """A node alone, with a price for energy and nothing else; of its tokens nothing is valid at `module`."""
    alone = scenes.shared()
    invalid = Validity("rack_tokens_per_joule_module", 10.0, frozenset({Invalid.METERS_DISAGREE}))
    per_million = {key: cost for key, cost in alone.site.per_million.items() if key[2] != "module"}
    site = replace(alone.site, per_million=per_million)
    server.publish(replace(alone, validity=(*alone.validity[:2], invalid), site=site))
    page = shown(opened())
    card = page.locator("#cost")
    module = card.locator("tbody tr", has_text="module")

    expect(card.locator(".warn li")).to_have_text(
        [
            "no figure for GPUs: site.price_per_gpu_hour is not set",
            "no figure for CO₂e: neither site.grams_co2e_per_kwh nor collectors.carbon is set",
        ]
    )
    assert cells_of(module)[:4] == [cells_of(module)[0], DASH, DASH, DASH]
    expect(module.locator("td").nth(1)).to_contain_text("meters disagree")
    expect(card.locator("thead th").last).to_be_hidden()


def test_where_no_price_is_set_that_is_said_and_nothing_shown(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())

    expect(page.locator("#cost")).to_be_hidden()
    expect(page.locator("#card-ladder .standing")).to_contain_text("no cost: no price is set (site)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_boundary_has_a_line_of_its_own(server, opened, scheme):
    feed(server, scenes.billed)
    page = shown(opened(color_scheme=scheme))
    power = page.locator("#plots .plot").nth(1)
    expect(power.locator(".line")).to_have_count(5)
    looks = power.locator(".line").evaluate_all(
        "all => all.map((line) => [getComputedStyle(line).stroke, getComputedStyle(line).strokeDasharray])"
    )

    assert len({colour for colour, _ in looks}) == 5
    assert len({dashes for _, dashes in looks}) >= 4
    names = [text.split()[0] for text in power.locator(".plot-readout .key").all_inner_texts()]
    assert names == ["gpu", "module", "node", "rack", "facility"]


def test_without_members_of_a_record_no_record_is_shown(server, opened):
    server.publish(scenes.workstation())
    page = shown(opened())

    expect(page.locator("#card-record")).to_be_hidden()


def test_a_node_alone_shows_what_the_clients_of_its_models_wait(server, opened):
    server.publish(scenes.shared())
    page = shown(opened())
    row = page.locator("#latency-table tbody tr", has_text="Qwen")

    expect(page.locator("#latency-title")).to_have_text("Latency, p50 \u00b7 p99 of the last 60\u202fs")
    expect(row.locator("td").nth(0)).to_have_text("70.8\u202fms \u00b7 744\u202fms")
    expect(row.locator("td").nth(2)).to_have_text(f"4.92\u202fs \u00b7 {DASH}")
    expect(row.locator("td").nth(2)).to_have_attribute("title", "p50: 4.92 s\np99: unknown")


def test_deployments_that_share_a_node_are_told_apart(server, opened):
    server.publish(scenes.shared())
    page = shown(opened())
    rows = page.locator("#deployments-table tbody tr")

    expect(rows.locator("th")).to_have_text(["chat-batch", "chat-live", "coder"])
    expect(rows.nth(1).locator("td")).to_have_text(
        [
            "meta-llama/Llama-3.3-70B-Instruct",
            "4",
            "5.84\u202fk tok/s",
            "1.13 gpu",
            "146 + 0",
            "demand",
            "118\u202fms \u00b7 1.24\u202fs",
        ]
    )
    expect(rows.nth(2).locator("td").nth(3)).to_have_text("unattributed")


def test_what_bounds_a_model_is_told_with_the_figures_that_say_so(server, opened):
    server.publish(scenes.shared())
    page = shown(opened())
    bound = page.locator("#models-table tbody tr", has_text="Llama").locator("td").nth(6)

    expect(bound).to_have_text("kv memory, demand")
    expect(bound).to_have_attribute("title", re.compile("the KV cache is 98% full and 14 requests wait"))


def test_a_rack_of_nodes_shows_no_latency_and_a_deployment_that_is_its_model_is_not_told_twice(
    server, opened
):
    """T5: quantiles of nodes make none of their rack."""
    server.publish(scenes.shared())
    page = shown(opened())
    expect(page.locator("#latency-table")).to_be_visible()
    server.publish(replace(scenes.nvl72(seconds=1001.0), deployments=scenes.workstation().deployments))

    expect(page.locator("#latency")).to_be_hidden()
    expect(page.locator("#deployments")).to_be_hidden()


def test_deployments_of_a_rack_have_no_column_of_latency(server, opened):
    server.publish(scenes.shared())
    page = shown(opened())
    titles = page.locator("#deployments-table thead th")
    expect(titles.filter(has_text="First token")).to_be_visible()
    bare = tuple(replace(each, service=None) for each in scenes.shared().deployments)
    server.publish(replace(scenes.nvl72(seconds=1001.0), deployments=bare))

    expect(titles).to_have_text(
        ["Deployment", "Model", "GPUs", "Output", "Tokens/J", "Run + wait", "Bound by"]
    )
    expect(page.locator("#deployments-table tbody tr")).to_have_count(3)


def test_a_tray_that_goes_missing_is_named_with_why_and_since_when(server, opened):
    """T10."""
    server.publish(scenes.nvl72())
    page = shown(opened())
    expect(page.locator("#notices")).to_be_hidden()
    server.publish(scenes.with_troubles(seconds=1001.0))
    notices = page.locator("#notices")

    expect(notices).to_contain_text("tray-07 is missing: timed out: no answer within 0.9 s; not heard since")
    expect(notices).to_contain_text("(1\u202fmin 12\u202fs)")
    expect(notices).to_contain_text("Drained on purpose, not expected: tray-11")
    expect(page.locator("#card-reporting .big")).to_have_text("16of 17 nodes")
    expect(page.get_by_role("button", name="tray-07 GPU 0: does not report: timed out")).to_be_visible()
    expect(page.locator("#nodes-table tbody tr").first).to_contain_text("tray-07")
    expect(page.locator("#nodes-table tbody tr").nth(1)).to_contain_text("tray-15")
    expect(page.locator("#nodes-table tbody tr").last).to_contain_text("tray-11")


def test_what_is_absent_is_a_dash_with_its_reason(server, opened):
    """T4: unknown is never shown as zero."""
    server.publish(scenes.with_troubles())
    page = shown(opened())
    rung = page.locator("#card-ladder tbody tr").first

    expect(rung.locator("td").nth(2).locator(".number")).to_have_text(DASH)
    expect(rung.locator("td").nth(2).locator(".why")).to_have_text("member missing")
    expect(page.locator("#card-rate .standing")).to_contain_text("not valid: member missing")


def test_a_rack_that_knows_nothing_shows_no_zero(server, opened):
    bare = scenes.rack_of(())
    server.publish(
        replace(bare, tokens_per_second={}, tokens_total={}, power_watts={}, record=None, models=())
    )
    page = opened()

    expect(page.locator("#card-rate .big")).to_have_text(DASH)
    expect(page.locator("#card-total .big")).to_have_text(DASH)
    expect(page.locator("#card-rate .standing")).to_contain_text("not valid: member missing · \u2013 covered")
    assert page.complaints == []


def test_a_lost_stream_is_said_plainly_and_comes_back(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())
    server.hang_up()

    expect(page.locator("#stale")).to_contain_text("Stale: last figures", timeout=LONGEST_MILLISECONDS)
    expect(page.locator("#stale")).to_contain_text("the connection is lost; reconnecting")
    expect(page.locator("body")).to_contain_class("stale")
    server.listen()
    server.publish(scenes.with_troubles(seconds=1020.0))
    expect(page.locator("#stale")).to_be_hidden(timeout=LONGEST_MILLISECONDS)
    expect(page.locator("#card-reporting .big")).to_have_text("16of 17 nodes")


def test_a_daemon_that_answers_without_new_figures_is_stale_too(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())

    expect(page.locator("#stale")).to_contain_text(
        "the daemon answers but has no new figures", timeout=LONGEST_MILLISECONDS
    )
    with page.expect_request("**/api/v1/stream", timeout=LONGEST_MILLISECONDS):
        pass  # it connects anew, and is told the same old snapshot
    page.wait_for_timeout(1000)
    assert page.locator("#stale").is_visible()  # at once: it must not have been live in between
    expect(page.locator("#stale")).to_be_in_viewport()


def test_hostile_names_are_text_and_nothing_else(server, opened):
    server.publish(scenes.hostile())
    page = shown(opened())
    page.locator("#models-table tbody tr").first.wait_for()
    page.locator("#rack .cell").first.hover()

    assert page.evaluate("window.owned") is None
    assert (
        page.evaluate("document.querySelectorAll('img, body script, [onerror], a[href^=javascript]').length")
        == 0
    )
    for table in ("models", "latency", "deployments"):
        expect(page.locator(f"#{table}-table tbody th")).to_contain_text("<script>window.owned=1</script>")
    page.get_by_role("button", name="Evidence").click()
    expect(page.locator("#incidents .evidence li")).to_contain_text("<script>window.owned=1</script>")
    expect(page.locator("#incidents .what")).to_contain_text("<script>window.owned=1</script>")
    assert page.complaints == []


def test_the_rack_is_walked_by_keyboard(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())
    page.locator("#quantity").focus()
    page.keyboard.press("Tab")
    focused = page.locator("#rack .cell:focus")

    expect(focused).to_have_accessible_name("tray-01 GPU 0: 1.27\u202fkW, reports")
    expect(page.locator("#readout")).to_contain_text("GPU 0")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#readout")).to_contain_text("tray-02")
    expect(page.locator("#readout")).to_contain_text("GPU 1")
    page.keyboard.press("End")
    expect(page.locator("#readout")).to_contain_text("tray-18")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#readout")).to_contain_text("tray-18")
    assert page.locator("#rack [tabindex='0']").count() == 1


def test_a_throttled_gpu_is_told_by_more_than_colour(server, opened):
    server.publish(scenes.with_troubles())
    page = shown(opened())
    cell = page.get_by_role("button", name="tray-03 GPU 2: 980\u202fW, clocks held down")

    expect(cell).to_have_text("980!")
    page.locator("#quantity").select_option("throttle")
    expect(page.get_by_role("button", name="tray-03 GPU 2: clocks held down")).to_have_text("!")
    cell.or_(page.locator("[data-state=throttled][data-key]")).first.hover()
    expect(page.locator("#readout")).to_contain_text("clocks held down: hw thermal slowdown")


@pytest.mark.parametrize(
    ("quantity", "low", "cell"),
    [
        ("temperature", "25\u202f°C", "48"),
        ("rate", "30.5\u202fk tok/s", "61.1 k"),
        ("rate_ratio", "80\u202f%", "99"),
        ("utilization", "0\u202f%", "97"),
    ],
)
def test_a_chosen_quantity_colours_the_rack_with_its_unit_in_the_legend(server, opened, quantity, low, cell):
    server.publish(scenes.nvl72())
    page = shown(opened())
    page.locator("#quantity").select_option(quantity)

    expect(page.locator("#legend .range")).to_contain_text(low)
    expect(page.locator("#rack .cell").first).to_have_text(cell)


def test_the_choice_of_quantity_and_theme_is_kept(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened(color_scheme="light"))
    page.locator("#quantity").select_option("health")
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.reload()
    shown(page)

    expect(page.locator("#quantity")).to_have_value("health")
    expect(page.locator("#theme")).to_have_text("Theme: dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 22)"


def test_without_an_incident_lately_there_is_no_section_of_them(server, opened):
    server.publish(scenes.with_troubles())
    page = shown(opened())

    expect(page.locator("#incidents")).to_be_hidden()
    expect(page.locator("#rack .cell[data-incident]")).to_have_count(0)


def test_incidents_stand_worst_first_and_those_that_ended_last(server, opened):
    server.publish(scenes.with_incidents(seconds=600.0))
    page = shown(opened())
    items = page.locator("#incidents-list > li")

    expect(page.get_by_role("region", name="Incidents: 3 now, 2 ended within 15\u202fmin")).to_be_visible()
    expect(items.locator(".what b")).to_have_text(
        ["critical", "warning", "warning", "over (critical)", "over (info)"]
    )
    expect(items.nth(2).locator(".what span")).to_have_text(
        "tray-03: meta-llama/Llama-2-70b-chat-hf makes 31 % fewer tokens than it should: "
        "GPU 2 has a power limit of 800 W, before 1400 W"
    )
    since = page.evaluate("new Date(1800000400000).toLocaleTimeString('en-GB')")
    expect(items.nth(2).locator(".facts > span")).to_have_text(
        [
            "tray-03 GPU 2",
            "drop, power cap",
            f"since {since} (3\u202fmin 20\u202fs)",
            "1.23\u202fM tokens lost",
            "cause: clear",
        ]
    )
    expect(items.nth(4).locator(".facts")).to_contain_text("cause not known")
    expect(items.nth(3)).to_have_class("ended")


def test_what_a_stop_has_cost_is_told_in_joules_and_money(server, opened):
    server.publish(scenes.with_incidents())
    page = shown(opened())
    facts = page.locator("#incidents-list li", has_text="127.0.0.1:8000").first.locator(".facts span")

    expect(facts.filter(has_text="for nothing")).to_have_text("57.3\u202fkJ for nothing")
    expect(facts.filter(has_text="USD")).to_have_text("0.31\u202fUSD")
    expect(facts.filter(has_text="USD")).to_have_attribute(
        "title", "energy and time of GPUs, between 0.300\u202fUSD and 0.320\u202fUSD"
    )


def test_what_nobody_knows_to_be_lost_is_not_told_as_lost(server, opened):
    server.publish(scenes.with_incidents(seconds=600.0))
    page = shown(opened())

    expect(page.locator("#incidents-list > li", has_text="tray-07").locator(".facts")).not_to_contain_text(
        "lost"
    )


def test_an_incident_links_to_its_recording_here_or_at_its_node(server, opened):
    rack = scenes.with_incidents(seconds=600.0)
    places = (
        "",
        "/api/v1/incidents/tray-03/x/1/recording",
        "http://tray-07:9744/api/v1/incidents/y/recording",
    )
    told = [replace(each, recording=place) for each, place in zip(rack.incidents, places, strict=False)]
    server.publish(replace(rack, incidents=tuple(told)))
    page = shown(opened())
    links = page.locator("#incidents-list a.recording:visible")
    links.first.wait_for()

    assert sorted(link.evaluate("link => link.href") for link in links.all()) == sorted(
        [f"{server.url}{places[1]}", places[2]]
    )


def test_evidence_is_opened_by_keyboard_and_stays_open_while_figures_come(server, opened):
    server.publish(scenes.with_incidents(seconds=600.0))
    page = shown(opened())
    button = page.get_by_role("button", name="Evidence: drop, power cap, tray-03 GPU 2")
    evidence = page.locator("#incidents-list > li").nth(2).locator(".evidence")
    expect(evidence).to_be_hidden()
    button.focus()
    page.keyboard.press("Enter")

    expect(button).to_have_attribute("aria-expanded", "true")
    expect(evidence.locator("li")).to_have_count(2)
    expect(evidence.locator("li").nth(1)).to_have_text(
        "GPU 2 has a power limit of 800 W, before 1400 W1.40\u202fkW \u2192 800\u202fW"
    )
    server.publish(scenes.with_incidents(seconds=601.0))
    expect(page.locator("#incidents-list > li").nth(2).locator(".facts")).to_contain_text(
        "3\u202fmin 21\u202fs"
    )
    expect(evidence).to_be_visible()
    expect(button).to_be_focused()


def test_the_cells_of_what_an_incident_is_about_are_marked_and_say_so(server, opened):
    server.publish(scenes.with_incidents(seconds=600.0))
    page = shown(opened())

    expect(page.locator("#rack .cell[data-incident=warning]")).to_have_count(1 + 4)
    expect(page.locator("#rack .cell[data-incident=critical]")).to_have_count(4)
    cell = page.get_by_role("button", name="tray-03 GPU 2: 980\u202fW, clocks held down; incident: power cap")
    cell.hover()
    expect(page.locator("#readout")).to_contain_text("tray-03 GPU 2: drop, power cap")


def test_the_time_of_an_incident_is_marked_in_every_plot_and_read_at_its_moment(server, opened):
    feed(server, scenes.with_incidents)
    page = shown(opened())

    for number in range(3):
        expect(page.locator("#plots .plot").nth(number).locator(".wrongs g")).to_have_count(5)
    page.locator("#cursor").focus()
    for _ in range(3):
        page.keyboard.press("PageDown")
    spoken = page.locator("#cursor").get_attribute("aria-valuetext")
    assert "; incident: " in spoken


def test_a_screen_reader_is_told_of_an_incident(server, opened):
    server.publish(scenes.with_incidents(seconds=600.0))
    page = shown(opened())

    expect(page.locator("#announcer")).to_contain_text("3 incidents: tray-12: ")


def feed(server, scene, before_seconds=600.0):
    """A history with a gap of half a minute, then the present."""
    for second in range(0, int(before_seconds), 2):
        if not 200 < second < 230:
            server.agent.history.take(scene(1, float(second)))
    return server.publish(scene(1, before_seconds))


def test_a_gap_in_the_history_stays_a_gap(server, opened):
    feed(server, scenes.nvl72)
    page = shown(opened())
    line = page.locator("#plots .plot").first.locator("path.line-0")
    line.wait_for(state="attached")

    assert line.get_attribute("d").count("M") == 2


def test_the_plots_are_read_at_any_moment_by_keyboard(server, opened):
    feed(server, scenes.nvl72)
    page = shown(opened())
    page.locator("#cursor").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")

    expect(page.locator("#history-moment")).to_contain_text("10\u202fs ago")
    spoken = page.locator("#cursor").get_attribute("aria-valuetext")
    assert "output tokens per second 1.10\u202fM tok/s; power gpu" in spoken
    page.keyboard.press("Home")
    expect(page.locator("#history-moment")).to_contain_text("15\u202fmin 0\u202fs ago")
    assert "output tokens per second \u2013" in page.locator("#cursor").get_attribute("aria-valuetext")


def test_what_is_not_covered_is_shaded_not_drawn_as_a_drop(server, opened):
    """T10."""
    feed(server, scenes.with_troubles)
    page = shown(opened())

    expect(page.locator("#plots .plot").first.locator(".bands rect").first).to_be_attached()


def test_hundreds_of_nodes_are_a_cell_each(server, opened):
    server.publish(scenes.many(200))
    page = shown(opened())

    expect(page.locator("#rack .cell")).to_have_count(200)
    expect(page.locator("#rack .cell[data-state=gone]")).to_have_count(3)
    expect(page.locator("#nodes-table tbody tr")).to_have_count(40)
    page.get_by_role("button", name="Show all 200").click()
    expect(page.locator("#nodes-table tbody tr")).to_have_count(200)


def test_a_hall_keeps_its_nodes_while_only_the_figures_of_its_rack_come(server, opened):
    server.publish(scenes.many(300))
    page = shown(opened())
    for second in range(2):
        server.publish(scenes.many(300, seconds=2000.0 + second))
    expect(page.locator("#link-text")).to_contain_text("live, each second, nodes each 5 s")

    expect(page.locator("#rack .cell")).to_have_count(300)
    expect(page.locator("#link-text")).to_contain_text("nodes each 5 s · ")
    assert page.complaints == []


def test_a_thousand_nodes_are_drawn_well_within_a_second(server, opened):
    """Not a benchmark: a page that cannot keep up with one event a second would be many times over this."""
    server.publish(scenes.many(1000))
    page = shown(opened())
    for second in range(3):
        server.publish(scenes.many(1000, seconds=2000.0 + second))
    expect(page.locator("#rack .cell")).to_have_count(1000)

    expect(page.locator("#nodes-table tbody tr").first).to_contain_text("n0017")
    assert page.complaints == []


def test_a_node_alone_shows_its_gpus(server, opened):
    server.publish(scenes.workstation())
    page = shown(opened())

    expect(page.locator("h1")).to_have_text("deskbox")
    expect(page.locator("#nodes-title")).to_have_text("GPUs")
    expect(page.locator("#nodes-table tbody tr")).to_have_count(1)
    expect(page.locator("#card-ladder .standing")).to_have_text(
        "no meter at: module, node, rack, facility · no cost: no price is set (site)"
    )
    expect(page.locator("#readout")).to_contain_text("throttling unknown")


def test_troubles_of_the_daemons_own_sources_are_listed(server, opened):
    server.publish(scenes.nvl72())
    page = shown(opened())

    expect(page.locator("#troubles-list")).to_contain_text(
        "engines 127.0.0.1:8000: timed out: no page within 1 s; last answered"
    )


def test_a_screen_reader_is_told_changes_only(server, opened):
    server.publish(scenes.with_troubles())
    page = shown(opened())
    told = page.locator("#announcer")

    expect(told).to_have_text(
        "16 of 17 nodes report. Missing: tray-07. Figures are not valid: member missing."
    )
    page.evaluate(
        "window.said = 0; new MutationObserver(() => window.said++).observe("
        "document.getElementById('announcer'), {childList: true, characterData: true, subtree: true})"
    )
    for second in range(3):
        server.publish(scenes.with_troubles(seconds=1001.0 + second))
        page.wait_for_timeout(300)
    assert page.evaluate("window.said") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("scene", SCENES)
def test_an_accessibility_checker_finds_nothing(server, opened, scene, scheme):
    feed(server, SCENES[scene])
    page = shown(opened(color_scheme=scheme, viewport={"width": 1440, "height": 900}))
    page.wait_for_timeout(500)  # colours fade in

    found = Axe().run(page)
    assert [f"{v['id']}: {[n['html'] for n in v['nodes'][:3]]}" for v in found.response["violations"]] == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_wider_than_the_screen(server, opened, scene, size):
    """The screenshots lie in .cache/screenshots, to be looked at."""
    width, height = SIZES[size]
    feed(server, SCENES[scene])
    SHOTS.mkdir(parents=True, exist_ok=True)
    page = shown(opened(viewport={"width": width, "height": height}))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(400)
        page.screenshot(path=SHOTS / f"{scene}-{size}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
