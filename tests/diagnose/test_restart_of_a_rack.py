"""A rack's daemon that begins anew: what only it sees goes on, and is opened no second time."""

import json
from dataclasses import replace

import pytest
from fakes.rack_moments import GPU, away, member, rack

from agent.incident_desk import IncidentDesk
from agent.measure.engine import TokenKind
from agent.measure.incident import Kind

OUTPUT_OF_GPUS = (TokenKind.OUTPUT, "gpu")
CAPPED = (replace(GPU, power_limit_watts=1000.0),)


def thrifty(number, ratio=1.0, **changes):
    return member(number, tokens_per_joule={OUTPUT_OF_GPUS: ratio}, waiting=10.0, **changes)


FOUR = tuple(thrifty(number) for number in range(4))
WRONG = {
    "straggler": member(3, 900.0, waiting=10.0, gpus=CAPPED),
    "efficiency": thrifty(3, 0.8, gpus=CAPPED),
    "gap": away(3),
}
NOBODY = tuple(away(number) for number in range(4))
UNKNOWN = tuple(replace(each, tokens_per_second={}, tokens_per_joule={}) for each in FOUR)
"""They answer, and their windows are not full."""


class Desk(IncidentDesk):
    """Looks at a rack each second."""

    told = ()

    def see(self, first, last, members):
        for second in range(first, last):
            self.told = self.examined_rack(rack(second, *members)).incidents
        return self

    def restarted(self):
        desk = Desk()
        desk.load_standing(json.loads(json.dumps(self.dump_standing())))
        return desk


@pytest.mark.parametrize("wrong", WRONG)
def test_what_only_a_rack_sees_goes_on_as_the_same_though_rates_are_not_known_at_first(wrong):
    members = (*FOUR[:3], WRONG[wrong])
    desk = Desk().see(0, 10, FOUR).see(10, 120, members)
    (before,) = desk.told
    started = NOBODY[3:] if wrong == "gap" else UNKNOWN[3:]
    after = desk.restarted().see(125, 127, NOBODY).see(127, 140, UNKNOWN[:3] + started).see(140, 260, members)

    (told,) = after.told
    assert (told.id, told.kind, told.cause) == (before.id, before.kind, before.cause)
    assert (told.started, told.detected, told.ended) == (before.started, before.detected, None)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_was_mended_while_nobody_looked_is_over(wrong):
    desk = Desk().see(0, 10, FOUR).see(10, 120, (*FOUR[:3], WRONG[wrong])).restarted()
    after = desk.see(125, 135, UNKNOWN).see(135, 200, FOUR)

    assert [each.ended is not None for each in after.told] == [True]


def test_what_a_straggler_loses_is_counted_on_from_what_it_had_lost():
    members = (*FOUR[:3], WRONG["straggler"])
    desk = Desk().see(0, 101, members)
    assert desk.told[0].lost_tokens == pytest.approx(100.0 * 100)

    (told,) = desk.restarted().see(300, 401, members).told
    assert told.lost_tokens == pytest.approx(100.0 * 200)


def test_what_an_earlier_version_kept_of_a_rack_is_read():
    desk = Desk().see(0, 101, (*FOUR[:3], WRONG["straggler"]))
    kept = json.loads(json.dumps(desk.dump_standing()))
    del kept["rack"]["behind"]
    after = Desk()
    after.load_standing(kept)

    (told,) = after.see(110, 180, (*FOUR[:3], WRONG["straggler"])).told
    assert (told.kind, told.ended) == (Kind.STRAGGLER, None)


@pytest.mark.parametrize("wrong", ["straggler", "efficiency"])
def test_a_moment_in_which_its_rate_is_not_known_ends_nothing(wrong):
    members = (*FOUR[:3], WRONG[wrong])
    desk = Desk().see(0, 100, members)
    (before,) = desk.told

    for first in range(100, 130, 10):
        (told,) = desk.see(first, first + 3, (*members[:3], UNKNOWN[3])).told
        assert (told.id, told.ended, told.detected) == (before.id, None, before.detected)
        desk.see(first + 3, first + 10, members)
    (told,) = desk.see(130, 165, (*members[:3], UNKNOWN[3])).told
    assert told.ended is not None
