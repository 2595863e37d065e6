"""A drop that comes with an NVLink that went away, or was trained down, is told by it."""

import pytest
from fakes.hand_node import HandNode

from agent.measure.incident import Cause

WELL = {"nvlinks": 18, "nvlink_bytes_per_second": 53.125e9}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"nvlinks": 16}, "GPU 0 has 16 active NVLinks, before 18"),
        (
            {"nvlink_bytes_per_second": 26.5625e9},
            "the slowest NVLink of GPU 0 carries 27 GB/s, before 53 GB/s",
        ),
    ],
)
def test_a_link_that_is_less_than_it_was_explains_a_drop(change, text):
    node = HandNode().gpu(**WELL).live(120).gpu(**change).live(40, rate=800.0)

    (drop,) = [each for each in node.incidents if each.kind == "drop"]
    assert (drop.cause, drop.gpu, drop.summary.endswith(text)) == (Cause.NVLINK, 0, True)


@pytest.mark.parametrize("usual", [WELL, {"nvlinks": 16}, {}])
def test_links_that_are_as_they_were_or_not_known_explain_nothing(usual):
    node = HandNode().gpu(**usual).live(120).live(40, rate=800.0)

    (drop,) = node.incidents
    assert drop.cause is Cause.UNKNOWN
