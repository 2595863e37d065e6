"""The order of the test files: the longest first, so that both workers are busy until the end."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "rack/test_story.py",
    "dashboards/test_alerts_fire.py",
    "test_known_truth.py",
    "dashboards/test_recording_live.py",
    "test_faults.py",
    "browser/test_page.py",
    "test_real_input.py",
    "test_real_incidents.py",
    "test_fake_engines.py",
    "test_rack.py",
    "dashboards/test_alerts.py",
    "web/test_rude_clients.py",
    "twin/test_process.py",
    "web/test_closed.py",
    "collectors/test_nvml_faults.py",
    "twin/test_demo.py",
    "test_otlp.py",
    "collectors/test_nvml.py",
    "test_fake_nvml.py",
    "rack/test_demo_rack.py",
    "dashboards/test_boards_live.py",
    "test_web.py",
    "test_cli.py",
    "twin/test_run.py",
    "top/test_command.py",
)
"""By what they took in one run; the rest takes seconds. It must be the same in every worker."""


def pytest_collection_modifyitems(items):
    place = {str(HERE / name): number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(str(item.path), len(place)))
