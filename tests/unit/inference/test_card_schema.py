"""A card with a value that cannot be is refused by name; the card of the shipped model is accepted."""

import hashlib
import json
import math
import re
import shutil

import pytest

from rim_lightning.inference.card import CARD, CARD_DIGEST, read_card
from rim_lightning.inference.default_model import SHIPPED
from rim_lightning.inference.model_folder import read_model

POINT = ("calibration", "points", 0, 0, 0, 0)
NAN = "calibration.points[0][0][0][0][0] is {}, which is no number"


def changed(tmp_path, place, value):
    """Write the card of the shipped model with another value, and its digest anew."""
    card = json.loads((SHIPPED / CARD).read_text())
    part = card
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    (tmp_path / CARD).write_text(json.dumps(card))
    (tmp_path / CARD_DIGEST).write_text(hashlib.sha256((tmp_path / CARD).read_bytes()).hexdigest())
    return tmp_path


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ((*POINT, 0), -math.inf, NAN.format("-Infinity")),
        ((*POINT, 0), math.nan, NAN.format("NaN")),
        ((*POINT, 0), -2, "calibration.points[0][0][0][0] is a list of 6; it must be a threshold between -1 and 1"),
        ((*POINT, 1), 1.5, "calibration.points[0][0][0][0] is a list of 6; it must be a threshold and a rate between"),
        ((*POINT, 0), 0.9, "thresholds and false reject rates in points must rise where the false accept rate falls"),
        (("calibration", "points", 0), [], "points must be 3 x 3 x 12 x 4 entries"),
        (("calibration", "sizes", 1), 7, "calibration.sizes is a list of 12; its numbers must ascend"),
        (("calibration", "sizes", 0), True, "calibration.sizes[0] is True; it must be a valid integer"),
        (("calibration", "fars", 0), 0, "calibration.fars[0] is 0; it must be greater than 0"),
        (("calibration", "people"), -1, "calibration.people is -1; it must be greater than or equal to 1"),
        (("calibration", "counts"), [], "calibration.counts is a list of 0; list should have at least 1 item"),
        (("calibration", "more"), 1, "has the entry calibration.more, which this version does not know"),
        (
            ("calibration", "quality", "signals"),
            ["length"],
            "calibration.quality is a mapping of 5; signals must be length,",
        ),
        (
            ("calibration", "quality", "weights"),
            [1.0],
            "calibration.quality is a mapping of 5; means and spreads must have",
        ),
        (
            ("calibration", "quality", "means", 0),
            [],
            "calibration.quality is a mapping of 5; means and spreads must have a",
        ),
        (
            ("calibration", "quality", "sizes", 1),
            8,
            "calibration.quality.sizes is a list of 5; its numbers must ascend",
        ),
        (("calibration", "quality", "spreads", 0, 1), 0, "calibration.quality.spreads[0][1] is 0; it must be greater"),
        (("usage", "shift"), 0.5, "usage.shift is 0.5; it must be less than or equal to 0.25"),
        (("usage", "reduced_gallery"), None, "usage.reduced_gallery is None; it must be a valid list"),
        (("usage", "mixture", 1, 0), 2, "usage.mixture is a list of 2; it must be sizes and as many weights between"),
        (("usage", "mixture", 0, 0), 9, "usage.mixture is a list of 2; its numbers must ascend"),
        (("usage", "mixture"), [[7]], "usage.mixture is a list of 1; list should have at least 2 items"),
        (("files", "../model"), "0" * 64, "'../model'; string should match pattern"),
        (("fingerprint",), "x", "fingerprint is 'x'; string should match pattern"),
        (("format",), 3, "is not a card of format 1 or 2"),
        (("architecture", "name"), "gan", "architecture.name is 'gan'; it must be 'rim'"),
    ],
)
def test_a_value_that_cannot_be_is_named(tmp_path, place, value, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        read_card(changed(tmp_path, place, value))
    assert str(raised.value).startswith(str(tmp_path / CARD))
    assert str(raised.value).endswith(": copy the whole folder again, or export the model again from its checkpoint.")


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("architecture", "arguments", "hr_size"), 10**6, "architecture.arguments.hr_size is 1000000; it must be less"),
        (
            ("architecture", "arguments", "hallucination", "coarse", "blocks"),
            [10**7],
            "architecture.arguments.hallucination.coarse.blocks[0] is 1e+07; it must be from 0 to 100",
        ),
        (
            ("architecture", "arguments", "hallucination", "integrator", "widths"),
            [2048, 2048],
            "model.safetensors holds 6,",
        ),
    ],
)
def test_a_network_that_cannot_be_is_refused_before_it_is_built(tmp_path, place, value, sentence):
    for name in ("model.safetensors", "NOTICE"):
        shutil.copy(SHIPPED / name, tmp_path / name)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_model(changed(tmp_path, place, value))


def test_a_notice_that_was_changed_is_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "model")
    (tmp_path / "model" / "NOTICE").write_text("public domain")
    with pytest.raises(ValueError, match="NOTICE is damaged: its content is not what was written"):
        read_model(tmp_path / "model")


def test_the_shipped_card_is_accepted_and_so_is_one_of_an_earlier_version(tmp_path):
    card = json.loads((SHIPPED / CARD).read_text())
    assert read_card(SHIPPED) == card
    earlier = {key: card[key] for key in ("architecture", "fingerprint", "files", "limits")}
    calibration = {key: card["calibration"][key] for key in card["calibration"] if key not in ("synthetic", "probes")}
    earlier |= {"format": 1, "licence": "MIT", "calibration": calibration}
    (tmp_path / CARD).write_text(json.dumps(earlier))
    assert read_card(tmp_path)["license"] == "MIT"
