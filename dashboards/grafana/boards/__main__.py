"""Writes the boards: `python -m dashboards.grafana.boards`."""

from __future__ import annotations

from pathlib import Path

from agent import dashboards
from dashboards.grafana.boards import fleet, health, model, node, power, rack

FOLDER = Path(__file__).parents[1]
BOARDS = (rack.board(), node.board(), model.board(), power.board(), health.board(), fleet.board())


def texts() -> dict[Path, str]:
    """Return what is written where."""
    written = {}
    for board in BOARDS:
        path, text = FOLDER / f"{board.uid}.json", board.json()
        written[path] = text
        if "@{" in text:
            written[path.with_name(path.name + dashboards.TEMPLATE)] = text
            written[path] = dashboards.filled(text, dashboards.values_with({}))
    return written


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
