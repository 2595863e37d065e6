import json

from fakes.racks import ailing_rack

from agent.wire.rack_codec import to_json


def test_a_rack_with_kinds_and_boundaries_becomes_json():
    plain = json.loads(to_json(ailing_rack()))

    assert plain["nodes"] == {"expected": 17, "reporting": 16, "missing": ["tray-04"], "drained": ["tray-09"]}
    assert plain["members"][0]["tokens_per_joule"]["gpu"] == {"output": 12.5}
