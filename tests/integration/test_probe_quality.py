"""Low quality of a probe is said before the verdict, by every way to ask; a card without it says nothing."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

from rim_lightning.case.record_folder import read_record
from rim_lightning.case.report_content import report_of
from rim_lightning.commands.page import Page
from rim_lightning.commands.page_clip import FollowedFace
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.calibration_file import write_calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.quality import QualityModel
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.search_calibration import search_cautions
from rim_lightning.networks.probe_signals import SIGNALS
from rim_lightning.networks.rim import RIM
from tests.helpers.case_records import recorded, rewritten, rim, tiny_calibration, two_pictures
from tests.helpers.tiny import MODEL, perturbed

SIZE = ("--size", 16)
LOW_POOLED = "low quality of each of the 2 probes, alone; "
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


@pytest.fixture(scope="module")
def track(pair, tmp_path_factory):
    """Two small pictures of one person."""
    folder = tmp_path_factory.mktemp("track")
    for number, picture in enumerate(pair):
        with Image.open(picture) as opened:
            opened.resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


def test_pooled_probes_have_the_quality_of_each_alone(low, high, pair, track, tmp_path):
    """Terminal, JSON, table, record and report say best and mean, and no share of missed pairs."""
    pictures = sorted(track.iterdir())
    scores = []
    for picture in pictures:
        alone = json.loads(rim("verify", "-m", low, picture, pair[1], *SIZE, "--json").stdout)
        assert alone["pooled_quality"] is None
        scores.append(alone["quality"]["score"])
    words = ("verify", "-m", low, track, pair[1], *SIZE)
    folder, answer = recorded(tmp_path / "cases", *words, "--csv", tmp_path / "answer.csv")
    assert answer["quality"] is None
    assert answer["pooled_quality"]["scores"] == pytest.approx(scores, rel=1e-5)
    assert answer["pooled_quality"]["best"] == pytest.approx(max(scores), rel=1e-5)
    assert answer["pooled_quality"]["mean"] == pytest.approx(sum(scores) / 2, rel=1e-5)

    (row,) = csv.DictReader((tmp_path / "answer.csv").open())
    assert (row["quality"], row["missed"]) == ("", "")
    assert float(row["best_quality"]) == pytest.approx(max(scores), rel=1e-4)
    assert float(row["mean_quality"]) == pytest.approx(sum(scores) / 2, rel=1e-4)
    assert row["notes"].startswith(LOW_POOLED)

    first, *rest = rim(*words).stdout.splitlines()
    line = f"each alone: best {max(scores):.2f}, mean {sum(scores) / 2:.2f} (0 is worst); pooled: not measured"
    assert first.startswith(LOW_POOLED)
    assert f"quality of the 2 probes, {line}" in rest
    assert not any("low quality" in text for text in rim("verify", "-m", high, *words[3:]).stdout.splitlines())

    record = read_record(folder)
    assert record.verifications[0].pooled_quality.model_dump() == answer["pooled_quality"]
    blocks = report_of(folder, record).sections[0].blocks
    assert [block.kind for block in blocks[:3]] == ["caution", "caution", "answer"]  # two pictures were not measured
    assert blocks[0].text.casefold().startswith(LOW_POOLED)
    assert any(getattr(block, "text", "").endswith(f"{line}.") for block in blocks)
    (table,) = (block.rows for block in blocks if getattr(block, "head", ("",))[0] == "probe")
    assert table == tuple(
        (str(picture), f"{score:.2f}")
        for picture, score in zip(pictures, answer["pooled_quality"]["scores"], strict=True)
    )
    assert rim("replay", folder, "-m", low).stdout.strip() == "the same bits"
    rewritten(folder, lambda content: content["verifications"][0].pop("pooled_quality"))
    assert read_record(folder).verifications[0].pooled_quality is None  # a record of an earlier version
    assert "verifications[0].pooled_quality: recorded nothing, now " in rim("replay", folder, "-m", low).stdout


def test_a_copy_has_the_score_of_its_picture_and_does_not_count(low, pair, track, tmp_path):
    folder = tmp_path / "copied"
    shutil.copytree(track, folder)
    (folder / "0.png").rename(folder / "2.png")  # behind the other
    shutil.copy(folder / "2.png", folder / "0.png")
    one, copied = (rim("verify", "-m", low, place, pair[1], *SIZE, "--json").stdout for place in (track, folder))
    first, second = json.loads(one)["pooled_quality"]["scores"]
    answer = json.loads(copied)
    assert answer["probes"] == 2
    assert answer["pooled_quality"]["scores"] == pytest.approx([first, second, first], rel=1e-5)
    assert answer["pooled_quality"]["mean"] == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_page_says_it_of_a_track(low, high, pair, track, tmp_path):
    pytest.importorskip("lancedb")
    for model, warned in ((low, True), (high, False)):
        recognizer = Recognizer.from_checkpoint(model)
        gallery = Gallery(tmp_path / model.name, recognizer.fingerprint, recognizer.embedding_size, create=True)
        faces = [replace(face, size=16.0) for face in recognizer.align(sorted(track.iterdir()))]
        card, *_ = Page(recognizer, gallery)._track_cards(
            FollowedFace("Track 1", "Track 1: in 9 frames", [], faces), 1e-2
        )
        assert any(line.startswith(f"Caution: {LOW_POOLED}") for line in card.lines) == warned
        assert sum(line.startswith("Quality of the 2 probes, each alone: best ") for line in card.lines) == 1


def test_a_search_for_pooled_probes_says_the_same(low, pair, track, tmp_path):
    pytest.importorskip("lancedb")
    (tmp_path / "known").mkdir()
    Image.open(pair[1]).save(tmp_path / "known" / "ana.png")
    assert rim("enroll", "-m", low, "-i", tmp_path / "index", tmp_path / "known").exit_code in (0, 3)
    words = ("identify", "-m", low, "-i", tmp_path / "index", "--pool", track, *SIZE)
    (answer,) = json.loads(rim(*words, "--json").stdout)["probes"]
    quality = json.loads(rim("verify", "-m", low, track, pair[1], *SIZE, "--json").stdout)["pooled_quality"]
    assert answer["pooled_quality"] == quality
    done = rim(*words, "--csv", tmp_path / "hits.csv")
    assert f"{track}: {LOW_POOLED}" in done.stderr
    assert f"quality of the 2 probes, each alone: best {quality['best']:.2f}, mean" in done.stdout
    (row,) = csv.DictReader((tmp_path / "hits.csv").open())
    assert float(row["mean_quality"]) == pytest.approx(quality["mean"], rel=1e-4)


def test_a_search_for_a_single_face_says_what_verify_says(low, high, pair, tmp_path):
    """Terminal, JSON, table, record, report, replay and watch."""
    pytest.importorskip("lancedb")
    (tmp_path / "known").mkdir()
    Image.open(pair[1]).save(tmp_path / "known" / "ana.png")
    for name, model in (("low", low), ("high", high)):
        assert rim("enroll", "-m", model, "-i", tmp_path / name, tmp_path / "known").exit_code in (0, 3)
    verified = json.loads(rim("verify", "-m", low, *pair, *SIZE, "--json").stdout)
    words = ("identify", "-m", low, "-i", tmp_path / "low", pair[0], *SIZE)
    folder, found = recorded(tmp_path / "cases", *words, "--top", 3, "--csv", tmp_path / "hits.csv")
    (answer,) = found["probes"]
    assert answer["quality"] == pytest.approx(verified["quality"], rel=1e-5)
    caution = f"{LOW}{round(100 * answer['quality']['missed'])} would be missed"
    assert answer["notes"][0] == caution
    (row,) = csv.DictReader((tmp_path / "hits.csv").open())
    assert float(row["quality"]) == pytest.approx(answer["quality"]["score"], rel=1e-4)
    assert row["notes"].startswith(caution)
    assert f"{pair[0]}: {caution}" in rim(*words).stderr
    assert LOW not in rim("identify", "-m", high, "-i", tmp_path / "high", pair[0], *SIZE).stderr

    record = read_record(folder)
    assert record.searches[0].quality.model_dump() == answer["quality"]
    first, second = report_of(folder, record).sections[0].blocks[:2]
    assert (first.kind, first.text.casefold(), second.kind) == ("caution", f"{caution}.", "answer")
    assert rim("replay", folder, "-m", low, "-i", tmp_path / "low").stdout.strip() == "the same bits"
    rewritten(folder, lambda content: content["searches"][0].pop("quality"))
    assert read_record(folder).searches[0].quality is None


def test_a_search_by_fpir_names_the_rate_of_its_caution():
    answer = {"quality": {"score": 0.08, "missed": 0.92}, "fpir": 0.03, "beyond": ["further"]}
    low = "low quality of the probe: of 100 true pairs with such a probe, about 92 would be missed"
    assert search_cautions(answer) == [f"{low} (FAR 1 in 100)", "further"]
    assert search_cautions(answer | {"fpir": None})[0] == low
    assert search_cautions(answer | {"quality": None}) == ["further"]
