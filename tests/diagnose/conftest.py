"""Scenarios of the twin lived through in virtual time by the real code."""

from dataclasses import dataclass

import pytest

from agent.twin import scenario
from benchmarks.virtual_tray import WALL_SECONDS, VirtualNode

FAULT_AT = 150


@dataclass
class Lived:
    """What was told of a scenario, and what was true."""

    incidents: tuple
    """Each as it stood last, the oldest first."""
    seen: list
    """(second, kind, cause, severity) whenever one of them changed."""
    lost: float
    """Tokens that were asked for, could have been made, and were not."""

    @property
    def loud(self):
        """Those that somebody must look at."""
        return [each for each in self.incidents if each.severity != "info"]

    def started(self, incident):
        """Second of the twin at which one began."""
        return incident.started - WALL_SECONDS


@pytest.fixture
def live():
    """Live through one event at second 150 of a tray; return what was told."""

    def run(event="", seconds=300, load="{level: 0.9, noise: 0.02}", rack=""):
        events = f"\nevents:\n  - {event}" if event else ""
        text = f"seed: 3\nrack: {{trays: 1{rack}}}\nload: {load}{events}\n"
        node, seen, last, lost = VirtualNode(scenario.parse(text, "test")), [], {}, 0.0
        for truth, incidents in node.run(seconds):
            lost = truth.lost_tokens
            for each in incidents:
                now = (each.kind, each.cause, each.severity)
                before = last.get(each.id)
                if before is None or (before.kind, before.cause, before.severity) != now:
                    seen.append((truth.seconds, *now))
                last[each.id] = each
        return Lived(tuple(sorted(last.values(), key=lambda each: each.started)), seen, lost)

    return run
