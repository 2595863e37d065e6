"""Draws the boards with Grafana's published UI libraries over a rack of the twin: `make boards-render`.

Needs npm, node and .cache/chromium. Starts a demo and a Prometheus with the shipped rules, waits, leaves a
picture of each board in .cache/boards, says what went wrong while drawing, and fails then. It is not Grafana:
docs/grafana.md tells what of it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fakes import beside
from fakes.processes import LOOPBACK, Program, free_port, wait_http
from fakes.prometheus import Prometheus
from playwright.sync_api import Page, sync_playwright

from agent import dashboards

HERE = Path(__file__).parent
HOUSE = HERE.parents[1]
BUILT = HOUSE / ".cache" / "grafana-render"
PICTURES = HOUSE / ".cache" / "boards"
BOARDS = dashboards.source_folder() / "grafana"
SIZE = {"width": 1600, "height": 2200}
SETTLED_SECONDS = 5
SOONER = {"thermal_throttle_for": "20s", "node_missing_for": "20s"}
SCENARIO = """
about: Eight trays; one overheats, one is off for a while, demand falls, an engine is restarted.
record: azure-gb300-llama2-70b
rack:
  {name: r12, trays: 8, meters: true, models: [llama2-70b-fp4], tokens_per_second: 61000, cached_share: 0.3}
load: {level: 0.9, wave: {share: 0.05, period: 300s}, noise: 0.01}
events:
  - {kind: demand, at: 2m, lasts: 60s, factor: 0.5}
  - {kind: engine_restart, at: 4m, trays: [3]}
  - {kind: node_down, at: 5m, lasts: 40s, trays: [2]}
  - {kind: thermal, at: 7m, lasts: 10m, trays: [6], degrees: 42}
"""


def build() -> None:
    """Install the packages once and build the page."""
    BUILT.mkdir(parents=True, exist_ok=True)
    shutil.copytree(HERE, BUILT, dirs_exist_ok=True)
    quiet = {**os.environ, "NPM_CONFIG_LOGLEVEL": "error"}
    install = ["npm", "install", "--legacy-peer-deps", "--no-package-lock", "--no-audit", "--no-fund"]
    for command in (install, ["npm", "run", "build"]):
        subprocess.run(command, cwd=BUILT, env=quiet, check=True, stdout=subprocess.DEVNULL)


def draw(page: Page, url: str, board: str, since: str, theme: str) -> list[str]:
    """Draw one board; return what went wrong."""
    page.goto(f"{url}/?board={board}.json&from={since}&theme={theme}")
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    page.screenshot(path=PICTURES / f"{board}-{theme}.png")
    seen = page.evaluate("window.seen")
    untold = page.locator("[data-empty=untold]").count()
    wrong = [f"{board}: {problem}" for problem in seen["problems"]]
    return wrong + ([f"{board}: {untold} panels have no data and no word for it"] if untold else [])


def main() -> int:
    """Run everything, say where the pictures are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.5, help="of the rack's story before the pictures")
    options = parser.parse_args()
    build()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rackwatt-boards-") as folder:
        wrong = over_a_rack(Path(folder), options.minutes)
    print("\n".join(wrong) or f"nothing went wrong; pictures are in {PICTURES.relative_to(HOUSE)}")
    return 1 if wrong else 0


def over_a_rack(folder: Path, minutes: float) -> list[str]:
    """Start a rack and its Prometheus, and draw all boards after some minutes."""
    (folder / "scenario.yaml").write_text(SCENARIO)
    listen = f"{LOOPBACK}:{free_port()}"
    demo = [sys.executable, "-P", "-m", "agent.cli", "demo", "--listen", listen]
    with Program([*demo, "--scenario", str(folder / "scenario.yaml")], log=folder / "demo.log") as running:
        told = json.loads(wait_http(f"http://{listen}/api/v1/rack", running, 60))
        nodes = [each["url"].removeprefix("http://") for each in told["members"]]
        rules = written_rules(folder)
        with beside.page_of("beside", "r12") as page:
            del page.gauges['rackwatt_gpu_fabric_trouble{gpu="0",trouble="degraded_bandwidth"}']
            targets = {"rackwatt": [listen, *nodes, page.address]}
            with Prometheus(
                targets, scrape_interval="5s", evaluation_interval="5s", rule_files=rules
            ) as server:
                time.sleep(minutes * 60)
                return pictures(folder, server.url, f"now-{minutes:.0f}m")


def written_rules(folder: Path) -> list[Path]:
    """Write the shipped rules, with alerts that do not wait for longer than the story is."""
    written = []
    for path, text in dashboards.files_with(SOONER):
        if path.parent == Path("rules") and path.suffix == ".yml":
            written.append(folder / path.name)
            written[-1].write_text(text)
    return written


def pictures(folder: Path, prometheus: str, since: str) -> list[str]:
    """Draw all boards, and the first again in light."""
    port = free_port()
    serve = ["node", str(BUILT / "node_modules/vite/bin/vite.js"), "preview", str(BUILT), "--port", str(port)]
    env = {"PROMETHEUS": prometheus, "BOARDS": str(BOARDS)}
    url = f"http://{LOOPBACK}:{port}"
    names = sorted(path.stem for path in BOARDS.glob("*.json"))
    with Program(serve, log=folder / "vite.log", env=env) as served, sync_playwright() as playwright:
        wait_http(url, served, 30)
        browser = playwright.chromium.launch(
            executable_path=HOUSE / ".cache/chromium/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE)
        wrong = [line for name in names for line in draw(page, url, name, since, "dark")]
        return wrong + draw(page, url, "rackwatt-rack", since, "light")


if __name__ == "__main__":
    sys.exit(main())
