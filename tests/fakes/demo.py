"""`make demo`: the real agent on a fake GB300 tray and a real llama.cpp server under load.

The daemon, its collectors, its arithmetic and its pages are the shipped ones. What stands outside is a
double: the driver library (no GPU is needed; its joules are the exact integral of a made-up power) and a
random 437 KB model, whose tokens are real but meaningless.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fakes.engines.client import LoadClient
from fakes.engines.llamacpp import MODEL_ALIAS, LlamaCpp
from fakes.nvml.driver import FakeDriver
from fakes.processes import Program, http_get, wait_http

WAVE_SECONDS = 60.0
LINE_SECONDS = 2.0


async def offer_load(engine: LlamaCpp, driver: FakeDriver) -> None:
    """Requests whose number swells and ebbs over a minute; the GPUs' load follows."""
    began = time.monotonic()
    client = LoadClient(engine.url, MODEL_ALIAS)
    while True:
        share = 0.55 - 0.45 * math.cos(2 * math.pi * (time.monotonic() - began) / WAVE_SECONDS)
        driver.load("*", round(share, 2))
        client.seed += 1
        working = time.monotonic()
        await client.run(total_requests=6, concurrency=max(1, round(4 * share)), max_tokens=200)
        await asyncio.sleep((time.monotonic() - working) * (1.0 - share))


def line(node: dict[str, Any]) -> str:
    """One line of the live figures; what is not known yet says why."""
    rate = node["tokens_per_second"].get("output")
    ratio = node["tokens_per_joule"].get("gpu", {}).get("output")
    watts = node["power_watts"].get("gpu")
    standing = node["figures"].get("node_tokens_per_joule_gpu", {"reasons": ["starting"]})
    up = sum(gpu["state"] == "ok" for gpu in node["gpus"])
    return (
        f"{node['state']:8} {'-' if rate is None else f'{rate:.0f}':>7} output tokens/s   "
        f"{'-' if watts is None else f'{watts / 1000:.2f}':>6} kW at 4 GPUs   "
        f"{'-' if ratio is None else f'{ratio:.4f}':>7} tokens/J   "
        f"{up}/{len(node['gpus'])} GPUs   {', '.join(standing['reasons']) or 'valid'}"
    )


async def show(url: str, seconds: float | None) -> None:
    """Print a line now and then, until the time is over."""
    ends = math.inf if seconds is None else time.monotonic() + seconds
    while time.monotonic() < ends:
        await asyncio.sleep(LINE_SECONDS)
        status, body = await asyncio.to_thread(http_get, f"{url}/api/v1/node")
        if status == 200:
            print(line(json.loads(body)), flush=True)


async def run(options: argparse.Namespace) -> None:
    """Start everything, show it, stop everything."""
    with tempfile.TemporaryDirectory(prefix="rackwatt-demo-") as folder, LlamaCpp() as engine:
        driver = FakeDriver(Path(folder), preset="gb300")
        config = Path(folder, "rackwatt.yaml")
        settings = {
            "listen": options.listen,
            "state_dir": f"{folder}/state",
            "node": {"name": "demo-tray"},
            "collectors": {"nvml": {}, "engines": {"targets": [{"url": f"{engine.url}/metrics"}]}},
        }
        config.write_text(json.dumps(settings))  # JSON is YAML
        command = [sys.executable, "-P", "-m", "agent.cli", "run", "--config", str(config)]
        with Program(command, env=driver.env) as agent:
            url = f"http://{options.listen}"
            wait_http(f"{url}/-/ready", agent)
            print(__doc__, f"rackwatt is at {url} (metrics: {url}/metrics); Ctrl-C ends the demo\n", sep="\n")
            load = asyncio.create_task(offer_load(engine, driver))
            try:
                await show(url, options.seconds)
            finally:
                load.cancel()


def main() -> int:
    """Run the demo until Ctrl-C or for --seconds."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9744", help="address of the agent")
    parser.add_argument("--seconds", type=float, help="end by itself after this time")
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        asyncio.run(run(parser.parse_args()))
    except KeyboardInterrupt:
        print("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
