"""What was not measured is said, by every way to ask, and one face without a threshold stops no others."""

import csv
import json
import signal
import subprocess
import sys

import pytest
from PIL import Image

from rim_lightning.case.record_folder import read_record
from rim_lightning.case.report_content import report_of
from rim_lightning.commands.page import Page
from rim_lightning.commands.serve_questions import FaceService, SentPicture
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.inference.calibration_file import write_calibration
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.case_records import recorded, rim, tiny_calibration, tiny_model, two_pictures
from tests.helpers.clips import drawn_frames, portrait, write_clip

SMALL = "the probe has 4 px: the rates are those of 8 px, the smallest size that was measured"
MANY = (
    "2 probes are pooled, and thresholds and rates are those of 1, the most that was measured: more strangers may pass"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with thresholds of single probes of 8 to 32 px; two people; a probe of blocks with 4 px of detail."""
    folder = tmp_path_factory.mktemp("range")
    tiny_model(folder / "model")
    two_pictures(folder)
    for person in (1, 2):
        (folder / "known" / f"person {person}").mkdir(parents=True)
        for view in (1, 2):
            place = folder / "known" / f"person {person}" / f"{view}.png"
            Image.fromarray(paint_face(person, view, 96, 16)[0]).save(place)
    face = Image.fromarray(paint_face(7, 1, 64, 8)[0])
    face.resize((4, 4), Image.Resampling.BOX).resize((64, 64), Image.Resampling.NEAREST).save(folder / "blocks.png")
    return folder


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("probe", "words", "sentence"),
    [
        ("blocks.png", ("--aligned", "probe"), SMALL),
        ("known/person 1", (), MANY),
    ],
)
def test_a_comparison_beyond_the_measurement_says_so_everywhere(folder, tmp_path, probe, words, sentence):
    ask = ("verify", "-m", folder / "model", folder / probe, folder / "sharp.png", *words)
    printed = rim(*ask)
    assert printed.stdout.startswith(f"{sentence}\n"), printed.output
    record, answer = recorded(tmp_path / "cases", *ask, "--csv", tmp_path / "answers.csv")
    assert answer["beyond"] == [sentence]
    assert sentence in answer["notes"]
    assert sentence in table(tmp_path / "answers.csv")[0]["notes"]
    first = report_of(record, read_record(record)).sections[0].blocks[0]
    assert (first.kind, first.text) == ("caution", f"{sentence[:1].upper()}{sentence[1:]}.")
    assert rim("replay", record, "-m", folder / "model").exit_code == 0
    uploads = [SentPicture(path.name, path.read_bytes()) for path in sorted((folder / probe).glob("*.png"))]
    uploads = uploads or [SentPicture(probe, (folder / probe).read_bytes())]
    service = FaceService(Recognizer.from_checkpoint(folder / "model"), None)
    if not words:
        sharp = SentPicture("sharp.png", (folder / "sharp.png").read_bytes())
        assert sentence in service.verify(uploads, [sharp], 1e-3, False)["notes"]


def test_a_comparison_within_the_measurement_says_nothing(folder):
    ask = ("verify", "-m", folder / "model", folder / "probe.png", folder / "sharp.png", "--size", "16", "--json")
    assert json.loads(rim(*ask).stdout)["beyond"] == []


def test_a_search_beyond_the_measurement_says_so(folder, tmp_path):
    pytest.importorskip("lancedb")
    assert rim("enroll", "-m", folder / "model", "-i", tmp_path / "index", folder / "known").exit_code == 0
    ask = ("identify", "-m", folder / "model", "-i", tmp_path / "index")
    small = (folder / "blocks.png", "--aligned", "probe")
    for words, sentence in ((small, SMALL), (("--pool", folder / "known" / "person 1"), MANY)):
        name = words[-1] if words[0] == "--pool" else words[0]
        assert f"{name}: {sentence}" in rim(*ask, *words).stderr
        done = rim(*ask, *words, "--json", "--csv", tmp_path / "hits.csv", "--overwrite")
        (answer,) = json.loads(done.stdout)["probes"]
        assert answer["beyond"] == [sentence]
        assert sentence in answer["notes"]
        assert {row["notes"].split("; ")[0] for row in table(tmp_path / "hits.csv")} == {sentence}
    record, _ = recorded(tmp_path / "cases", *ask, *small)
    assert report_of(record, read_record(record)).sections[0].blocks[0].text.startswith("The probe has 4 px")
    assert rim("replay", record, "-m", folder / "model", "-i", tmp_path / "index").exit_code == 0
    assert rim("enroll", "-m", folder / "model", "-i", tmp_path / "pooled", folder / "known", "--pool").exit_code == 0
    pooled = rim("identify", "-m", folder / "model", "-i", tmp_path / "pooled", folder / "probe.png", "--size", "16")
    assert MANY.replace("probes", "gallery pictures") in pooled.stderr


@pytest.fixture(scope="module")
def narrow(folder):
    """A calibration of probes of 8 to 12 px, which refuses others."""
    file = folder / "narrow.json"
    points = tiny_calibration()
    narrow = type(points)(**{**vars(points), "sizes": (8, 12), "not_acquired": (0.1, 0.1)})
    write_calibration(file, narrow, Recognizer.from_checkpoint(folder / "model").probe_fingerprint)
    return file


@pytest.fixture(scope="module")
def index(folder):
    pytest.importorskip("lancedb")
    assert rim("enroll", "-m", folder / "model", "-i", folder / "index", folder / "known").exit_code == 0
    return folder / "index"


@pytest.fixture(scope="module")
def mixed(folder):
    """A folder with a face of 12 px that has a threshold, and one of 96 px that has none, both aligned."""
    (folder / "mixed" / "a").mkdir(parents=True)
    (folder / "mixed" / "b").mkdir()
    face = Image.fromarray(paint_face(1, 1, 96, 16)[0])
    face.save(folder / "mixed" / "a" / "large.png")
    face.resize((12, 12)).save(folder / "mixed" / "b" / "small.png")
    return folder / "mixed"


def test_a_template_without_a_threshold_stops_no_others(folder, index, narrow, mixed):
    ask = ("identify", "-m", folder / "model", "-i", index, "--calibration", narrow, "--aligned", "probe", "--json")
    done = rim(*ask, "--pool", mixed / "a", mixed / "b")
    assert done.exit_code == 3, done.output
    answer = json.loads(done.stdout)
    assert [each["template"] for each in answer["probes"]] == [str(mixed / "b")]
    assert "measured on probes of 8 to 12 px" in answer["left_out"][str(mixed / "a")]


def test_watching_goes_on_behind_a_face_without_a_threshold(folder, index, narrow, mixed):
    words = ["-m", "rim_lightning.commands.rim.main", "watch", mixed, "-m", folder / "model", "-i", index]
    words += ["--calibration", narrow, "--aligned", "--interval", "0.1", "--json"]
    with subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        answers = [json.loads(process.stdout.readline() or '{"left_out": null, "probes": []}') for _ in range(2)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    large, small = sorted(answers, key=lambda answer: len(answer["probes"]))
    assert (large["picture"], small["picture"]) == (str(mixed / "a" / "large.png"), str(mixed / "b" / "small.png"))
    assert large["left_out"].startswith(f"{large['picture']}: The thresholds were measured on probes of 8 to 12 px")
    assert small["left_out"] is None


def test_the_page_answers_for_the_sizes_that_have_a_threshold(folder, index, narrow, tmp_path):
    from rim_lightning.gallery.index import Gallery
    from rim_lightning.inference.calibration_file import read_calibration

    recognizer = Recognizer.from_checkpoint(folder / "model")
    calibration = read_calibration(narrow, recognizer.probe_fingerprint)
    recognizer = Recognizer.from_checkpoint(folder / "model", calibration=calibration)
    page = Page(recognizer, Gallery(index, recognizer.fingerprint))
    answer = page.reduce(str(folder / "sharp.png"), 9, None)
    assert answer.figure.axes[0].lines[0].get_xdata().tolist() == [7, 8, 9, 10, 12, 14]  # 6.4 to 15 px
    refused = page.reduce(str(folder / "sharp.png"), 20, None)
    assert refused.refused
    assert "measured on probes of 8 to 12 px" in refused.lines[0]
    pytest.importorskip("av")
    clip = write_clip(tmp_path / "clip.mp4", drawn_frames(6, [(portrait(1, 44), lambda n: (4 + n, 8))]))
    (card,) = page.clip(str(clip), None).cards
    assert any("Not searched for: The thresholds were measured on probes of 8 to 12 px" in line for line in card.lines)


def test_a_copy_of_a_picture_is_no_second_one(folder, tmp_path):
    """Four copies of a probe are one probe, with its threshold and ratio; a picture compared with itself is named."""
    (tmp_path / "copies").mkdir()
    for number in range(4):
        (tmp_path / "copies" / f"{number}.png").write_bytes((folder / "probe.png").read_bytes())
    ask = ("verify", "-m", folder / "model", "--json")
    one = json.loads(rim(*ask, folder / "probe.png", folder / "sharp.png").stdout)
    four = json.loads(rim(*ask, tmp_path / "copies", folder / "sharp.png").stdout)
    assert one["beyond"] == []
    assert four["beyond"] == ["3 of 4 probes are copies and do not count"]
    same = ("similarity", "threshold", "ratio", "frr", "probes", "probe_size", "largest_probe_size")
    assert [four[name] for name in same] == [one[name] for name in same]
    record, _ = recorded(tmp_path / "cases", *ask[:-1], tmp_path / "copies", folder / "sharp.png")
    assert rim("replay", record, "-m", folder / "model").exit_code == 0
    itself = rim(*ask[:-1], folder / "probe.png", folder / "probe.png")
    sentence = "the probe and the gallery picture are the same picture, which no rate is about"
    assert itself.stdout.startswith(f"{sentence}\n")
    (tmp_path / "pairs.csv").write_text(f"probe,gallery\n{folder / 'probe.png'},{folder / 'probe.png'}\n")
    (row,) = json.loads(rim(*ask, "--pairs", tmp_path / "pairs.csv").stdout)["pairs"]
    assert sentence in row["notes"]
    picture = SentPicture("a.png", (folder / "probe.png").read_bytes())
    service = FaceService(Recognizer.from_checkpoint(folder / "model"), None)
    assert sentence in service.verify([picture], [picture], 1e-3, False)["notes"]


def test_a_search_counts_a_copy_once(folder, index, tmp_path):
    (tmp_path / "copies").mkdir()
    for number in range(2):
        (tmp_path / "copies" / f"{number}.png").write_bytes((folder / "probe.png").read_bytes())
    done = rim("identify", "-m", folder / "model", "-i", index, "--pool", tmp_path / "copies", "--json")
    answer = json.loads(done.stdout)
    assert answer["probes"][0]["probes"] == 1
    assert "1.png is a copy of " in answer["left_out"][str(tmp_path / "copies" / "1.png")]
