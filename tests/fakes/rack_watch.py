"""Watches an aggregator all the time, from outside: `/api/v1/rack` and `/metrics`, a few times a second."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from fakes.processes import http_get

LINE = re.compile(r"^(rackwatt_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
KEPT = "rackwatt_rack_"
LABEL = re.compile(r'(\w+)="([^"]*)"')
Series = tuple[str, str, str]
"""Name without its prefix, node, and kind of token or boundary; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look saw; nothing while the aggregator is away."""

    asked: float
    """Moment of the question, on the monotonic clock."""
    rack: dict[str, Any] | None
    metrics: dict[Series, float] | None
    at: float
    """When the rack was reckoned, on the monotonic clock; 0 without one."""
    end: float
    """When the window of its rates ended, on the same clock; 0 while there is none."""


def metrics_of(page: str) -> dict[Series, float]:
    """Series of a page that speak of the rack."""
    found = {}
    for name, labels, value in LINE.findall(page):
        if name.startswith(KEPT):
            told = dict(LABEL.findall(labels))
            what = told.get("kind", "") + told.get("boundary", "")
            found[name.removeprefix("rackwatt_"), told.get("node", ""), what] = float(value)
    return found


class Watch:
    """Looks at one aggregator in a thread until it is left."""

    def __init__(self, url: str, every_seconds: float) -> None:
        self.samples: list[Sample] = []
        self._url = url
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            asked = time.monotonic()
            body, page = self._get("/api/v1/rack"), self._get("/metrics")
            rack = None if body is None else json.loads(body)
            metrics = None if page is None else metrics_of(page.decode())
            ahead = time.time() - time.monotonic()
            at, end = (None, None) if rack is None else (rack["at"], rack["window_end"])
            on_clock = [0.0 if each is None else each - ahead for each in (at, end)]
            self.samples.append(Sample(asked, rack, metrics, *on_clock))

    def _get(self, path: str) -> bytes | None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it may be killed meanwhile
            status, body = http_get(f"{self._url}{path}", timeout_seconds=5.0)
            return body if status == 200 else None
        return None
