import json
from dataclasses import replace

from fakes.racks import ailing_rack

from agent.measure.reading import Moment
from agent.wire.rack_codec import to_json


def test_a_rack_with_kinds_and_boundaries_becomes_json():
    plain = json.loads(to_json(ailing_rack()))

    assert plain["nodes"] == {"expected": 17, "reporting": 16, "missing": ["tray-04"], "drained": ["tray-09"]}
    assert plain["members"][0]["tokens_per_joule"]["gpu"] == {"output": 12.5}


def test_the_end_of_the_window_is_told_in_unix_seconds_and_null_without_one():
    rack = replace(ailing_rack(), at=Moment(100.0, 5000.0), window_end_monotonic_seconds=98.5)

    assert json.loads(to_json(rack))["window_end"] == 4998.5
    assert json.loads(to_json(replace(rack, window_end_monotonic_seconds=None)))["window_end"] is None
