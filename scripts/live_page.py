"""Takes the README's picture of the live page: `rackwatt demo`, in its third minute, in Chromium.

`make live-page` runs it (three minutes) and writes docs/live-page.png; by then a tray is too hot.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
CHROMIUM = ROOT / ".cache" / "chromium" / "chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
LISTEN = "127.0.0.1:9747"
URL = f"http://{LISTEN}/"
AFTER_SECONDS = 150.0
SIZE = {"width": 1440, "height": 900}
START_SECONDS = 60.0


def wait_until_served() -> None:
    """Wait for the daemon of the rack."""
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{URL}api/v1/rack", timeout=5):  # noqa: S310 - our own address
                return
        except (OSError, urllib.error.URLError):
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def take(out: Path, seconds: float) -> None:
    """Open the page, look at it for a while, and take the picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(URL)
        page.locator("#rack .cell").first.wait_for()
        page.wait_for_timeout(1000.0 * seconds)
        page.screenshot(path=out, full_page=True)
        browser.close()


def main() -> int:
    """Run the demo for as long as it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "live-page.png")
    parser.add_argument("--after", type=float, default=AFTER_SECONDS, metavar="SECONDS")
    options = parser.parse_args()
    command = [sys.executable, "-P", "-m", "agent.cli", "demo", "--listen", LISTEN]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as demo:  # noqa: S603 - ours
        try:
            wait_until_served()
            take(options.out, options.after)
        finally:
            demo.terminate()
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
