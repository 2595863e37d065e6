"""The order of the test files: the longest first, so that all workers are busy until the end."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

settings.register_profile("rackwatt", deadline=None)  # how fast a busy machine is proves nothing
settings.load_profile("rackwatt")

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "rack/test_story.py",
    "dashboards/test_alerts_fire.py",
    "known_truth/test_at_rest.py",
    "test_otlp.py",
    "test_faults.py",
    "known_truth/test_rates.py",
    "known_truth/test_under_load.py",
    "diagnose/test_replays.py",
    "twin/test_demo.py",
    "dashboards/test_recording_live.py",
    "test_real_input.py",
    "test_real_incidents.py",
    "test_rack.py",
    "web/test_rude_clients.py",
    "measure/test_rack_properties.py",
    "test_cli.py",
    "twin/test_run.py",
    "dashboards/test_boards_live.py",
    "measure/test_totals_properties.py",
    "diagnose/test_drops.py",
    "test_discovery.py",
    "test_web.py",
    "diagnose/test_quiet_hours.py",
    "dashboards/test_alerts.py",
    "test_dcgm_drop_in.py",
    "test_deploy.py",
    "test_flight.py",
    "test_security_docs.py",
    "recorder/test_recording.py",
    "test_dcgm_engine.py",
    "twin/test_ladder.py",
    "web/test_closed.py",
    "test_systemd.py",
    "browser/test_page.py",
    "test_fake_engines.py",
    "collectors/test_nvml_faults.py",
    "collectors/test_nvml.py",
    "twin/test_process.py",
    "test_fake_nvml.py",
    "rack/test_demo_rack.py",
    "top/test_command.py",
)
"""By what they took in one run; the rest takes seconds. It must be the same in every worker."""


def pytest_collection_modifyitems(items):
    place = {str(HERE / name): number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(str(item.path), len(place)))
