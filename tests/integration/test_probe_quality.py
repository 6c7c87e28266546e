"""Low quality of a probe is said before the verdict, by every way to ask; a card without it says nothing."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from rim_lightning.case.record_folder import read_record
from rim_lightning.case.report_content import report_of
from rim_lightning.commands.page import Page
from rim_lightning.inference.calibration_file import write_calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.quality import QualityModel
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.probe_signals import SIGNALS
from rim_lightning.networks.rim import RIM
from tests.helpers.case_records import recorded, rewritten, rim, tiny_calibration, two_pictures
from tests.helpers.tiny import MODEL, perturbed

SIZE = ("--size", 16)
LOW = "low quality of the probe: of 100 true pairs with such a probe, about "


def model_with(folder, rise):
    """A model whose card says of every probe that the log odds of a miss are so much higher than for its size."""
    means, spreads = ((-rise, 0.0, 0.0),) * 2, ((1.0, 1e3, 1e3),) * 2
    quality = QualityModel(SIGNALS, (8, 32), means, spreads, (1.0, 0.0, 0.0))
    torch.manual_seed(0)
    calibration = replace(tiny_calibration(), quality=quality)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return two_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def low(tmp_path_factory):
    return model_with(tmp_path_factory.mktemp("models") / "low", 4.0)


@pytest.fixture(scope="module")
def high(tmp_path_factory):
    return model_with(tmp_path_factory.mktemp("models") / "high", -4.0)


def test_the_quality_is_that_of_the_signals(low, pair):
    recognizer = Recognizer.from_checkpoint(low)
    (face,) = recognizer.align(pair[0])
    _, signals = recognizer.embed_with_signals([replace(face, size=16.0)])
    answer = recognizer.verify(*pair, size=16)
    rise = float(signals[0, 0]) + 4
    odds = 0.25 / 0.75 * torch.tensor(rise).exp()
    assert answer.quality.missed == pytest.approx(float(odds / (1 + odds)), rel=1e-5)
    assert answer.quality.score == pytest.approx(float(1 / (1 + odds)), rel=1e-5)  # the rates of all FARs are 0.25
    assert recognizer.verify(list(pair), pair[1], size=16).quality is None
    assert recognizer.verify(*pair, size=60).quality is None


def test_low_quality_stands_before_the_verdict(low, high, pair):
    warned, not_warned = (rim("verify", "-m", model, *pair, *SIZE) for model in (low, high))
    first, second, *_ = warned.stdout.splitlines()
    assert first.startswith(LOW)
    assert " the threshold (FAR" in second
    assert not_warned.stdout == warned.stdout.partition("\n")[2]
    answer = json.loads(rim("verify", "-m", low, *pair, *SIZE, "--json").stdout)
    assert first == f"{LOW}{round(100 * answer['quality']['missed'])} would be missed"


def test_a_calibration_without_quality_says_nothing_of_it(low, pair, tmp_path):
    recognizer = Recognizer.from_checkpoint(low)
    write_calibration(tmp_path / "own.json", tiny_calibration(), recognizer.probe_fingerprint)
    answer = rim("verify", "-m", low, *pair, *SIZE, "--calibration", tmp_path / "own.json", "--json")
    assert json.loads(answer.stdout)["quality"] is None


def test_tables_have_it(low, pair, tmp_path):
    alone = json.loads(rim("verify", "-m", low, *pair, *SIZE, "--json").stdout)["quality"]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"probe,gallery\n{pair[0]},{pair[1]}\n")
    rim("verify", "-m", low, *pair, *SIZE, "--csv", tmp_path / "one.csv")
    rim("verify", "-m", low, "--pairs", pairs, *SIZE, "--csv", tmp_path / "list.csv")
    for table in ("one.csv", "list.csv"):
        (row,) = csv.DictReader((tmp_path / table).open())
        assert float(row["quality"]) == pytest.approx(alone["score"], rel=1e-4)
        assert float(row["missed"]) == pytest.approx(alone["missed"], rel=1e-4)
        assert row["notes"].startswith(LOW)


def test_a_record_keeps_it_and_its_report_says_it_first(low, pair, tmp_path):
    folder, answer = recorded(tmp_path / "cases", "verify", "-m", low, *pair, *SIZE)
    record = read_record(folder)
    assert record.verifications[0].quality.model_dump() == answer["quality"]
    blocks = report_of(folder, record).sections[0].blocks
    assert [block.kind for block in blocks[:2]] == ["caution", "answer"]
    assert blocks[0].text.casefold().startswith(LOW)
    assert rim("replay", folder, "-m", low).exit_code == 0


def test_a_record_of_an_earlier_version_is_read(low, pair, tmp_path):
    folder, _ = recorded(tmp_path / "cases", "verify", "-m", low, *pair, *SIZE)
    rewritten(folder, lambda content: content["verifications"][0].pop("quality"))
    assert read_record(folder).verifications[0].quality is None


def test_the_page_says_it_above_the_card(low, high, pair, tmp_path):
    low_page, high_page = (Page(Recognizer.from_checkpoint(model), None) for model in (low, high))
    probe, sharp = str(tmp_path / "small.png"), str(pair[1])
    Image.open(pair[0]).resize((40, 40), Image.Resampling.BICUBIC).save(probe)
    assert [line.startswith(f"Caution: {LOW}") for line in low_page.verify(probe, sharp, None).lines] == [True]
    assert high_page.verify(probe, sharp, None).lines == []


def test_info_names_the_signals(low):
    assert "quality of a probe: length +1.00, residual +0.00, spread +0.00 at 8 to 32 px" in rim("info", low).stdout
