"""The twin as the world sees it: the rack on the machine's clocks, and every page that it answers."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson

from agent.twin import truth
from agent.twin.gpu_page import PICOJOULES_PER_MILLIJOULE, GpuPage
from agent.twin.grid import NANO, STEPS_PER_SECOND
from agent.twin.rack import Rack, TooFarError
from agent.twin.vllm_page import Page

if TYPE_CHECKING:
    from agent.twin.scenario import Scenario
    from agent.twin.tray import Tray

SCHEMA = 1
LATEST_SECONDS = 1e12
"""No machine is up for longer; a larger number is not worth reckoning with."""


class World:
    """One scenario, begun now."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rack = Rack(scenario)
        self.epoch_ns = time.monotonic_ns()
        self._epoch_unix = time.time()
        shape = scenario.rack
        first = [self.rack.tray(number, 0)[0] for number in range(shape.trays)]
        self._pages = [
            [Page(shape.model(number), engine.histograms) for engine in tray.engines]
            for number, tray in enumerate(first)
        ]
        self._gpu_pages = [GpuPage(scenario, number) for number in range(shape.trays)]

    def tray(self, number: int) -> tuple[Tray, int, int]:
        """Return a tray as it is now, the rest of its step, and now."""
        now_ns = time.monotonic_ns()
        tray, rest_ns = self.rack.tray(number, now_ns - self.epoch_ns)
        return tray, rest_ns, now_ns

    def engine_page(self, number: int, place: int) -> bytes:
        """Return the metrics page of one engine."""
        tray, rest_ns, _ = self.tray(number)
        engine = tray.engines[place]
        started = round(self._epoch_unix + engine.started_step / STEPS_PER_SECOND, 2)
        alive_seconds = (tray.step - engine.started_step) / STEPS_PER_SECOND
        return self._pages[number][place].render(engine, rest_ns, started, alive_seconds)

    def gpus(self, number: int) -> bytes:
        """Return the GPUs of one tray."""
        tray, rest_ns, now_ns = self.tray(number)
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "tray": number,
            "monotonic_ns": now_ns,
            "gpus": self._gpu_pages[number].plain(tray, rest_ns, self.epoch_ns),
        }
        if self.scenario.rack.meters and not tray.effects.meter_dead:
            told["meters"] = [{"part": "node", "unit": "0", "power_milliwatts": tray.mean_mw(rest_ns)}]
        return orjson.dumps(told)

    def shelves(self) -> bytes:
        """Return the meter of the whole rack: with a counter, which those of the trays have not."""
        now_ns = time.monotonic_ns()
        trays = [self.rack.tray(number, now_ns - self.epoch_ns) for number in range(len(self.rack))]
        told = truth.of_shelves(trays, now_ns - self.epoch_ns)
        meter = {
            "part": "rack",
            "unit": "0",
            "power_milliwatts": told.mean_mw,
            "energy_millijoules": told.energy_pj // PICOJOULES_PER_MILLIJOULE,
        }
        page = {"schema": SCHEMA, "monotonic_ns": now_ns, "gpus": [], "meters": [meter]}
        return orjson.dumps(page)

    def truth(self, at: str | None) -> bytes:
        """Return the ground truth of now, or of a moment of the monotonic clock. Raises TooFarError."""
        at_ns = time.monotonic_ns() if at is None else _nanoseconds(at)
        trays, states = [], []
        for number in range(len(self.rack)):
            if at is None:
                tray, rest_ns = self.rack.tray(number, at_ns - self.epoch_ns)
            else:
                self.tray(number)
                tray, rest_ns = self.rack.recalled(number, at_ns - self.epoch_ns)
            trays.append(truth.of_tray(number, tray, rest_ns))
            states.append((tray, rest_ns))
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "monotonic_seconds": at_ns / NANO,
            "seconds": (at_ns - self.epoch_ns) / NANO,
            "scenario": self.scenario.name,
            **truth.of_rack(trays, truth.of_shelves(states, at_ns - self.epoch_ns)),
            "trays": trays,
        }
        return orjson.dumps(told)


def _nanoseconds(text: str) -> int:
    """Read seconds of the monotonic clock, exactly."""
    try:
        if not abs(float(text)) < LATEST_SECONDS:
            raise ValueError(text)
        return int(Decimal(text) * NANO)
    except (InvalidOperation, ValueError):
        raise TooFarError(f"at: {text[:40]!a} is not seconds of the monotonic clock") from None
