"""The live page: asks once a second, draws what it knows, follows the keys."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from agent.measure.reading import SourceError
from agent.top.ask import Asker, server_of
from agent.top.cells import cells_wide, greyed, line, plain
from agent.top.gpus import Paint
from agent.top.layout import HELP, foot_lines, head_lines, tall, why_lines
from agent.top.models import model_table
from agent.top.node import find, gpu_table, node_lines
from agent.top.nodes import Choice, Sort, boundary_of, choices_of_boundary, node_table
from agent.top.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from agent.top.cells import Line
    from agent.top.nodes import Table
    from agent.wire.http_config import HttpConfig

STYLES = {"plain": "", "strong": "bold", "good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim"}
DRAW_SECONDS = 1.0
SCROLLBAR_COLUMNS = 1
Choosable = TypeVar("Choosable")
CLOSE: list[Any] = [Binding("escape,q,enter", "dismiss", "close")]


def text_of(spans: Line, *, right: bool = False) -> Text:
    """Return a line for the terminal; nothing in it is read as markup."""
    text = Text(justify="right" if right else "left", no_wrap=True, end="")
    for span in spans:
        text.append(span.text, STYLES[span.tone])
    return text


def text_of_all(lines: Sequence[Line]) -> Text:
    """Return lines one below the other."""
    return Text("\n").join(text_of(each) for each in lines)


class Rows(DataTable[Text]):
    """A table that is drawn anew every second under a cursor that stays with its row."""

    def __init__(self, *, cursor: bool = True, **options: Any) -> None:
        super().__init__(
            cursor_type="row" if cursor else "none", cursor_foreground_priority="renderable", **options
        )
        self._shape: tuple[Any, ...] = ()
        self._shown: list[list[Line]] = []

    def show(self, table: Table, *, stale: bool = False) -> None:
        """Show what has changed since the last time."""
        rows = [[greyed(cell) if stale else cell for cell in cells] for _, cells in table.rows]
        widths = [
            max([cells_wide(head), *(cells_wide(plain(row[i])) for row in rows)])
            for i, head in enumerate(table.head)
        ]
        keys = [key for key, _ in table.rows]
        shape = (table.head, widths, keys)
        if shape != self._shape:
            self._rebuild(table, rows, widths, keys)
        else:
            self._update(table, rows)
        self._shape, self._shown = shape, rows

    def _rebuild(self, table: Table, rows: list[list[Line]], widths: list[int], keys: list[str]) -> None:
        """Begin anew, with the cursor on the same row as before and as far scrolled."""
        under_cursor, offset = self.key_under_cursor, self.scroll_offset
        self.clear(columns=True)
        for position, (head, width) in enumerate(zip(table.head, widths, strict=True)):
            label = Text(head, justify="right" if position in table.numeric else "left")
            self.add_column(label, width=width)
        for key, row in zip(keys, rows, strict=True):
            self.add_row(*(text_of(cell, right=i in table.numeric) for i, cell in enumerate(row)), key=key)
        if under_cursor in keys and under_cursor != keys[0]:
            self.move_cursor(row=keys.index(under_cursor), scroll=False)
        self.scroll_to(offset.x, offset.y, animate=False)

    def _update(self, table: Table, rows: list[list[Line]]) -> None:
        for number, (row, before) in enumerate(zip(rows, self._shown, strict=True)):
            for position, (cell, old) in enumerate(zip(row, before, strict=True)):
                if cell != old:
                    text = text_of(cell, right=position in table.numeric)
                    self.update_cell_at((number, position), text)  # type: ignore[arg-type]  # a pair is a Coordinate

    @property
    def key_under_cursor(self) -> str | None:
        """Return the key of the row that the cursor is on."""
        keys = self._shape[2] if self._shape else []
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None


class LinesScreen(ModalScreen[None]):
    """Lines over everything else: help, reasons."""

    BINDINGS = CLOSE
    DEFAULT_CSS = """
    LinesScreen { align: center middle; }
    LinesScreen > VerticalScroll { width: auto; max-width: 96%; height: auto; max-height: 90%;
        border: round $secondary; padding: 0 1; background: $surface; }
    LinesScreen Static { width: auto; max-width: 88; }
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Place the lines."""
        with VerticalScroll():
            yield Static(text_of_all(self._lines), markup=False)


class NodeScreen(ModalScreen[None]):
    """One node with its GPUs, as fresh as the page below it."""

    BINDINGS = CLOSE
    DEFAULT_CSS = """
    NodeScreen { background: $background; }
    NodeScreen > Static { height: auto; }
    NodeScreen > DataTable { height: 1fr; margin-top: 1; }
    """

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key

    def compose(self) -> ComposeResult:
        """Place the figures, the GPUs and the way back."""
        yield Static(id="node", markup=False)
        yield Rows(id="gpus", cursor=False)
        yield Static("escape closes", id="foot", markup=False)

    def on_mount(self) -> None:
        """Draw at once."""
        self.query_one(Rows).focus()
        if isinstance(self.app, TopApp):
            self.draw(self.app.seen, time.monotonic())

    def draw(self, watch: Watch, now: float) -> None:
        """Show the node as it is by now."""
        member = None if watch.page is None else find(watch.page, self._key)
        status, stale = watch.status(now), watch.stale(now)
        if member is None:
            self.query_one("#node", Static).update(text_of(line("the rack no longer knows this node")))
            return
        lines = node_lines(member, self.app.size.width)
        if stale:
            age = line(f"STALE: {status.age_seconds or 0:.0f} s old")
            lines = [age, *map(greyed, lines)]
        self.query_one("#node", Static).update(text_of_all(lines))
        self.query_one(Rows).show(gpu_table(member), stale=stale)


class TopApp(App[None]):
    """`rackwatt top`."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = [
        Binding("q,ctrl+c", "quit", "quit", priority=False),
        Binding("question_mark,h,f1", "help", "help"),
        Binding("s", "sort", "sort"),
        Binding("r", "backwards", "sort backwards"),
        Binding("p", "paint", "GPU cells"),
        Binding("b", "boundary", "boundary"),
        Binding("m", "models", "models"),
        Binding("w", "why", "why"),
        Binding("a", "ask", "ask again"),
    ]
    CSS = """
    Screen { background: $background; }
    #head, #foot { height: auto; }
    #nodes { height: 1fr; margin-top: 1; }
    #models { height: auto; max-height: 9; margin-top: 1; }
    .low #nodes, .low #models { margin-top: 0; }
    .low #models { display: none; }
    .low.of-models #nodes { display: none; }
    .low.of-models #models { display: block; height: 1fr; max-height: 100%; }
    DataTable { background: $background; scrollbar-size: 1 1; scrollbar-gutter: stable; }
    DataTable > .datatable--cursor { background: $foreground 18%; text-style: bold; }
    DataTable > .datatable--header { background: $background; color: $foreground 60%; text-style: none; }
    """

    def __init__(self, url: str, config: HttpConfig) -> None:
        super().__init__()
        self.seen = Watch(server_of(url))
        self.choice = Choice()
        self._asker = Asker(url, config)
        self._hurry = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Place head, tables and foot."""
        yield Static(id="head", markup=False)
        yield Rows(id="nodes")
        yield Rows(id="models", cursor=False)
        yield Static(id="foot", markup=False)

    def on_mount(self) -> None:
        """Begin to ask and to draw."""
        self.query_one("#nodes").focus()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
            for ending in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(ending, self.exit)
        self.set_interval(DRAW_SECONDS, self._tick)
        self.run_worker(self._ask_for_ever(), exclusive=True)
        self.draw()

    async def on_unmount(self) -> None:
        """Hang up."""
        await self._asker.close()

    async def _ask_for_ever(self) -> None:
        while True:
            began = time.monotonic()
            try:
                page = await self._asker.ask()
                wait = self.seen.came(page, time.monotonic()) - (time.monotonic() - began)
            except SourceError as error:
                wait = self.seen.failed(error.detail, time.monotonic())
            self.draw()
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), max(0.05, wait))

    def _tick(self) -> None:
        self.seen.tick(time.monotonic())
        self.draw()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def draw(self) -> None:
        """Draw everything that is known by now."""
        if not self.is_running or not self.screen_stack:
            return
        base, now = self.screen_stack[0], time.monotonic()
        columns, rows = self.size
        page, stale = self.seen.page, self.seen.stale(now)
        base.set_class(not tall(rows), "low")
        base.query_one("#head", Static).update(
            text_of_all(head_lines(self.seen, self.choice, (columns, rows), now))
        )
        base.query_one("#foot", Static).update(text_of_all(foot_lines(page, self.choice, columns)))
        if page is not None:
            base.query_one("#nodes", Rows).show(
                node_table(page, self.choice, columns - SCROLLBAR_COLUMNS), stale=stale
            )
            boundary = boundary_of(page, self.choice)
            base.query_one("#models", Rows).show(model_table(page, boundary), stale=stale)
        if isinstance(self.screen, NodeScreen) and self.screen.is_mounted:
            self.screen.draw(self.seen, now)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open the node that enter was pressed on."""
        if event.data_table.id == "nodes" and event.row_key.value is not None:
            self.push_screen(NodeScreen(event.row_key.value))

    def action_help(self) -> None:
        """Show what the keys do and the words mean."""
        self.push_screen(LinesScreen([line(text) for text in HELP.splitlines()]))

    def action_why(self) -> None:
        """Show every reason and caveat in full."""
        if self.seen.page is not None:
            self.push_screen(LinesScreen(why_lines(self.seen.page, min(88, self.size.width - 8))))

    def action_sort(self) -> None:
        """Sort by the next measure."""
        self._choose(sort=_next(list(Sort), self.choice.sort))

    def action_backwards(self) -> None:
        """Turn the order round."""
        self._choose(backwards=not self.choice.backwards)

    def action_paint(self) -> None:
        """Let the cells show the next quantity."""
        self._choose(paint=_next(list(Paint), self.choice.paint))

    def action_boundary(self) -> None:
        """Show power and efficiency of the next boundary."""
        page = self.seen.page
        if page is not None and (there := choices_of_boundary(page)):
            self._choose(boundary=_next(there, boundary_of(page, self.choice)))

    def action_models(self) -> None:
        """Show models in place of nodes, or the other way round, where there is room for one only."""
        base = self.screen_stack[0]
        base.toggle_class("of-models")
        shown = "#models" if base.has_class("of-models") and base.has_class("low") else "#nodes"
        base.query_one(shown).focus()

    def action_ask(self) -> None:
        """Ask again without waiting."""
        self._hurry.set()

    def _choose(self, **what: Any) -> None:
        self.choice = dataclasses.replace(self.choice, **what)
        self.draw()


def _next(choices: Sequence[Choosable], current: Choosable) -> Choosable:
    position = choices.index(current) + 1 if current in choices else 0
    return choices[position % len(choices)]
