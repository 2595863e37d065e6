"""Records that are made quickly are what dataclass makes of them."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from agent.measure.quick import changed, quick


@quick
@dataclass(frozen=True, slots=True)
class Record:
    """A record."""

    name: str
    value: float
    more: dict = field(default_factory=dict)
    count: int = 3


def test_its_fields_may_be_given_by_place_or_by_name_or_left_out():
    assert repr(Record("a", value=2.0)).endswith("Record(name='a', value=2.0, more={}, count=3)")


def test_what_a_factory_makes_is_made_anew_each_time():
    assert Record("a", 1.0).more is not Record("a", 1.0).more


def test_what_is_given_for_it_is_taken_as_it_is():
    given = {"x": 1}

    assert Record("a", 1.0, given).more is given


def test_nothing_of_it_can_be_changed():
    record = Record("a", 1.0)

    with pytest.raises(FrozenInstanceError):
        record.value = 2.0
    with pytest.raises(FrozenInstanceError):
        del record.value
    with pytest.raises((AttributeError, TypeError)):
        record.other = 1


def test_two_are_equal_by_their_fields_and_only_within_their_class():
    assert Record("a", 1.0) == Record("a", 1.0)
    assert Record("a", 1.0) != Record("a", 2.0)
    assert type(Record("a", 1.0)) is Record


def test_a_changed_copy_leaves_the_first_alone():
    first = Record("a", 1.0)
    second = replace(first, value=2.0)

    assert (first.value, second.value, second.name) == (1.0, 2.0, "a")


def test_it_may_be_copied_with_changes_and_the_copy_is_as_frozen():
    first = Record("a", 1.0, {"x": 1})
    second = changed(first, value=2.0)

    assert (second, first.value) == (Record("a", 2.0, {"x": 1}), 1.0)
    assert type(second) is Record
    with pytest.raises(FrozenInstanceError):
        second.value = 3.0


def test_a_change_of_what_it_has_not_is_refused():
    with pytest.raises(AttributeError, match="other"):
        changed(Record("a", 1.0), other=1)


def test_it_lacks_what_was_not_given():
    with pytest.raises(TypeError, match="value"):
        Record("a")


def test_it_can_be_packed_and_unpacked():
    assert pickle.loads(pickle.dumps(Record("a", 1.0))) == Record("a", 1.0)
