"""The live page under Textual's pilot, over a server that a test changes while it runs."""

import asyncio
import dataclasses

import pytest
from fakes.page_server import Answer, PageServer
from fakes.racks import PATH, ailing_rack, away, member, rack
from textual.widgets import Static

from agent.top.app import LinesScreen, NodeScreen, Rows, TopApp
from agent.top.ask import page_url
from agent.wire.http_config import HttpConfig
from agent.wire.rack_codec import to_json


@pytest.fixture
async def server():
    async with PageServer({PATH: Answer(to_json(ailing_rack()))}) as running:
        yield running


def app_for(server):
    return TopApp(page_url(server.url), HttpConfig())


async def until(pilot, condition):
    """Wait for a condition, however slow the machine."""
    async with asyncio.timeout(30):
        while not condition():
            await pilot.pause(0.05)


async def until_answered(pilot):
    await until(pilot, lambda: pilot.app.screen_stack[0].query_one("#nodes", Rows).row_count > 0)


def text(app, selector):
    return str(app.screen.query_one(selector, Static).render())


def column(app, number=0):
    table = app.screen_stack[0].query_one("#nodes", Rows)
    return [str(table.get_cell_at((row, number))) for row in range(table.row_count)]


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (30, 8)])
async def test_a_rack_fits_terminals_of_any_size(server, size):
    async with app_for(server).run_test(size=size) as pilot:
        await until_answered(pilot)

        lines = text(pilot.app, "#head").splitlines()
        assert all(len(each) <= size[0] for each in lines)
        assert lines[0].startswith("rack r12")
        assert column(pilot.app)[:3] == ["tray-04", "tray-12", "tray-15"]


async def test_a_tall_terminal_shows_models_below_and_a_low_one_on_demand(server):
    async with app_for(server).run_test(size=(80, 24)) as pilot:
        await until_answered(pilot)
        models = pilot.app.query_one("#models", Rows)
        before = models.display
        await pilot.press("m")

        assert (before, models.display, pilot.app.query_one("#nodes").display) == (False, True, False)
    async with app_for(server).run_test(size=(160, 50)) as pilot:
        await until_answered(pilot)

        assert pilot.app.query_one("#models").display
        assert pilot.app.query_one("#nodes").display


async def test_keys_change_order_cells_and_boundary(server):
    async with app_for(server).run_test(size=(120, 40)) as pilot:
        await until_answered(pilot)
        await pilot.press("s", "p", "b")

        assert column(pilot.app)[:2] == ["tray-01", "tray-02"]
        assert "GPUS by throttle:" in text(pilot.app, "#foot")
        labels = [str(each.label) for each in pilot.app.query_one("#nodes", Rows).ordered_columns]
        assert "kW gpu" in labels
        await pilot.press("r")
        assert column(pilot.app)[0] == "tray-18"


async def test_enter_opens_the_node_under_the_cursor_and_escape_closes_it(server):
    async with app_for(server).run_test(size=(100, 30)) as pilot:
        await until_answered(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, NodeScreen))
        await until(pilot, lambda: pilot.app.screen.query_one(Rows).row_count == 4)

        assert "tray-12" in text(pilot.app, "#node")
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, NodeScreen)


async def test_the_cursor_stays_with_its_node_when_the_order_changes(server):
    async with app_for(server).run_test(size=(100, 30)) as pilot:
        await until_answered(pilot)
        await pilot.press("down")
        table = pilot.app.query_one("#nodes", Rows)
        before = table.key_under_cursor
        members = list(ailing_rack().members)
        members[0] = away("tray-01")
        server.answers[PATH] = Answer(to_json(rack(*members, sequence=7)))
        await until(pilot, lambda: column(pilot.app)[0] == "tray-01")

        assert before.startswith("tray-12 ")
        assert table.key_under_cursor == before


async def test_help_and_why_open_and_close(server):
    async with app_for(server).run_test(size=(80, 24)) as pilot:
        await until_answered(pilot)
        await pilot.press("question_mark")
        opened = isinstance(pilot.app.screen, LinesScreen)
        await pilot.press("escape", "w")
        await pilot.pause()

        assert opened
        assert "no power published" in str(pilot.app.screen.query_one(Static).render())
        await pilot.press("q")
        assert not isinstance(pilot.app.screen, LinesScreen)


async def test_q_quits_with_exit_zero(server):
    app = app_for(server)
    async with app.run_test(size=(80, 24)) as pilot:
        await until_answered(pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)

    assert app.return_code == 0


async def test_a_server_that_is_denied_then_well_is_asked_until_it_answers(server):
    server.answers[PATH] = Answer(status="401 Unauthorized")
    async with app_for(server).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "set --credentials-file" in text(pilot.app, "#head"))
        head = text(pilot.app, "#head")
        server.answers[PATH] = Answer(to_json(ailing_rack()))
        await until_answered(pilot)

        assert "no answer yet" in head
        assert "asking again" in head
        assert "401 Unauthorized" not in text(pilot.app, "#head")


async def test_a_rack_that_stops_is_called_stale_and_greyed(server):
    async with app_for(server).run_test(size=(100, 30)) as pilot:
        await until_answered(pilot)
        await until(pilot, lambda: "STALE: " in text(pilot.app, "#head"))

        table = pilot.app.query_one("#nodes", Rows)
        assert {str(span.style) for span in table.get_cell_at((0, 0)).spans} == {"dim"}


async def test_markup_and_control_characters_of_a_server_are_only_text(server):
    hostile = "[red on white]x[/][@click=app.quit]q[/]"
    bad = dataclasses.replace(member(hostile), why="\x1b[2J", models=("[/]", "\x1b]0;t\x07"))
    server.answers[PATH] = Answer(to_json(rack(bad, away("b[/bold]"), rack="[blink]r[/]")))
    async with app_for(server).run_test(size=(200, 60)) as pilot:
        await until_answered(pilot)

        assert text(pilot.app, "#head").startswith("rack [blink]r[/]")
        assert column(pilot.app) == ["b[/bold]", hostile]
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, NodeScreen))
        assert hostile in text(pilot.app, "#node")


async def test_a_sends_the_next_request_at_once_during_back_off(server):
    server.answers[PATH] = Answer(status="503 Service Unavailable")
    async with app_for(server).run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: len(server.requests) >= 3)
        seen = len(server.requests)
        await pilot.press("a")
        await until(pilot, lambda: len(server.requests) > seen)

        assert pilot.app.seen.page is None
