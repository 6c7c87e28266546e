"""What does not fit a schema is one sentence with file, place and value."""

from typing import Annotated

import pytest
from pydantic import Field

from rim_lightning.schema import FileName, Schema, checked


class Inner(Schema):
    thresholds: list[Annotated[float, Field(ge=-1, le=1)]]


class Card(Schema):
    calibration: Inner
    files: dict[FileName, int] | None = None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"calibration": {"thresholds": [0, 2]}},
            r"x: calibration.thresholds\[1\] is 2; it must be less than or equal",
        ),
        ({"calibration": {"thresholds": [float("nan")]}}, r"thresholds\[0\] is nan; it must be a finite number"),
        ({"calibration": {"thresholds": ["1"]}}, r"thresholds\[0\] is '1'; it must be a valid number"),
        ({"calibration": {"thresholds": [True]}}, r"thresholds\[0\] is True; it must be a valid number"),
        ({"calibration": {}}, "x has no calibration.thresholds: copy it"),
        ({}, "x has no calibration: copy it"),
        ({"calibration": [1]}, "x: calibration is a list of 1; it must be"),
        (
            {"calibration": {"thresholds": [], "more": 1}},
            "x has the entry calibration.more, which this version does not",
        ),
        ({"calibration": {"thresholds": []}, "files": {"../a": 1}}, r"'../a'; string should match"),
        ({"calibration": {"thresholds": "1" * 10**6}}, r"is '1{59}…; it must be a valid list"),
    ],
)
def test_what_does_not_fit_is_one_sentence(content, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        checked(Card, content, "x", "copy it")
    assert str(raised.value).endswith(": copy it.")
    assert "\n" not in str(raised.value)


def test_what_fits_is_returned():
    assert checked(Card, {"calibration": {"thresholds": [-1, 0.5]}}, "x", "").calibration.thresholds == [-1, 0.5]
