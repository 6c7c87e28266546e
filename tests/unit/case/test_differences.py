"""Differences of two records are those of their bits."""

import math

import pytest

from rim_lightning.case.differences import differences


def places(recorded, now):
    return [(entry.place, entry.recorded, entry.now) for entry in differences(recorded, now)]


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        (0.1, 0.1, True),
        (0.1, math.nextafter(0.1, 1), False),
        (0.0, -0.0, False),
        (1, 1.0, False),
        (True, 1, False),
        (None, 0.0, False),
        ("a", "a", True),
    ],
)
def test_values_are_compared_bit_for_bit(recorded, now, same):
    assert places({"a": [recorded]}, {"a": [now]}) == ([] if same else [("a[0]", recorded, now)])


def test_what_is_missing_or_too_many_is_named():
    assert places({"a": 1, "b": 2}, {"b": 2, "c": 3}) == [("a", 1, None), ("c", None, 3)]
    assert places({"a": [1, 2]}, {"a": [3]}) == [("number of a", 2, 1), ("a[0]", 1, 3)]
    assert places({"a": {"x": 1}}, {"a": None}) == [("a", {"x": 1}, None)]


def test_pictures_for_people_and_files_of_galleries_are_not_compared():
    assert places({"illustrations": 1, "state": "unchanged"}, {"illustrations": 2, "state": "gone"}) == []
