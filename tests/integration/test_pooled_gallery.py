"""`rim enroll --pool`: a search gives the answers of `rim verify` with all pictures of each person."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.case_records import recorded, rim
from tests.helpers.tiny import MODEL, perturbed

pytest.importorskip("lancedb")
FARS = (1e-1, 1e-3)
PICTURES = {"ana": (1, 2, 3), "ben": (1, 2), "zoe": (1,)}


def write(folder, *per_count):
    """Write a model with these thresholds for one, two and four gallery pictures."""
    torch.manual_seed(0)
    thresholds = np.broadcast_to(np.array(per_count)[None, :, None, None], (3, 3, 2, 2)).copy()
    calibration = Calibration(
        *("made up", "0" * 64, 4, 4, 24, (1, 2, 4), (8, 32), FARS, thresholds, (thresholds + 1) / 2, False),
        intervals=np.broadcast_to([0.0005, 0.002, 0.2, 0.3], (3, 3, 2, 2, 4)),
        ratios=np.broadcast_to([-1.0, 4.0, 2.0, 0.5, 0.4], (3, 3, 2, 5)),
    )
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("models") / "mine", 0.1, 0.2, 0.6)


@pytest.fixture
def known(tmp_path):
    for number, (person, views) in enumerate(PICTURES.items()):
        (tmp_path / "known" / person).mkdir(parents=True)
        for view in views:
            Image.fromarray(paint_face(number, view, 96, 12)[0]).save(tmp_path / "known" / person / f"{view}.png")
    Image.fromarray(paint_face(1, 9, 40, 8)[0]).save(tmp_path / "probe.png")
    return tmp_path / "known"


@pytest.fixture
def enroll(model, known, tmp_path):
    return lambda *words: rim("enroll", "-m", model, "-i", tmp_path / "index", known, *words)


@pytest.fixture
def pooled(enroll):
    done = enroll("--pool")
    assert done.exit_code == 0, done.output
    assert "6 pictures added, 0 were known; 3 people in" in done.stdout
    assert "each by all their pictures" in done.stdout


@pytest.fixture
def search(model, tmp_path):
    return lambda *words: rim("identify", "-m", model, "-i", tmp_path / "index", tmp_path / "probe.png", *words)


def check_answers(done, model, tmp_path, known, far=1e-3):
    """Compare the hits of a search with what Python says of the folders of the people."""
    recognizer = Recognizer.from_checkpoint(model)
    (answer,) = json.loads(done.stdout)["probes"]
    people = {folder.name: sorted(map(str, folder.iterdir())) for folder in known.iterdir()}
    assert {hit["person"] for hit in answer["hits"]} == set(people)
    for hit in answer["hits"]:
        pictures = people[hit["person"]]
        expected = recognizer.verify(tmp_path / "probe.png", pictures, far)
        assert hit["similarity"] == pytest.approx(expected.similarity, abs=1e-5)
        assert hit["threshold"] == pytest.approx(expected.threshold)
        assert (hit["pooled"], hit["accepted"]) == (len(pictures), expected.accepted)
        single = [recognizer.verify(tmp_path / "probe.png", picture, far).similarity for picture in pictures]
        assert hit["source"] == pictures[int(np.argmax(single))]
    assert [hit["similarity"] for hit in answer["hits"]] == sorted(
        (h["similarity"] for h in answer["hits"]), reverse=True
    )
    return answer


def test_a_search_gives_the_answers_of_verify(pooled, search, model, tmp_path, known):
    done = search("--json")
    answer = check_answers(done, model, tmp_path, known)
    assert {hit["threshold"] for hit in answer["hits"]} > {0.1, 0.2}
    assert answer["threshold"] == pytest.approx(0.1)
    assert (json.loads(done.stdout)["templates"], json.loads(done.stdout)["pooled"]) == (3, True)
    check_answers(search("--json", "--far", "1e-1"), model, tmp_path, known, 1e-1)


def test_a_search_says_how_many_pictures_and_which_threshold(pooled, search, tmp_path):
    done = search("--csv", tmp_path / "hits.csv")
    assert "of 3 people, each by all their pictures; a stranger passes for 0.003 of them on average" in done.stdout
    assert re.search(r"ben .*\(2 pictures, threshold 0\.200; nearest: \S+[12]\.png, ", done.stdout)
    assert re.search(r"zoe .*\(\S+/1\.png, ", done.stdout)
    with (tmp_path / "hits.csv").open(newline="") as file:
        rows = {row["person"]: (row["pooled"], row["threshold"]) for row in csv.DictReader(file)}
    assert rows["ben"] == ("2", "0.2")
    assert rows["zoe"] == ("1", "0.1")
    assert rows["ana"][0] == "3"


def test_templates_follow_the_folder(pooled, enroll, search, model, tmp_path, known):
    """An added, a removed and a replaced picture, a person who is forgotten; the same pictures again change nothing."""
    before = search("--json").stdout
    again = enroll()  # that the gallery pools is remembered
    assert "0 pictures added, 6 were known" in again.stdout
    assert search("--json").stdout == before
    Image.fromarray(paint_face(2, 5, 96, 12)[0]).save(known / "zoe" / "2.png")
    assert "1 pictures added" in enroll().stdout
    check_answers(search("--json"), model, tmp_path, known)
    (known / "ana" / "3.png").unlink()
    Image.fromarray(paint_face(1, 6, 96, 12)[0]).save(known / "ben" / "1.png")
    assert enroll().exit_code == 3
    assert enroll("--sync", "--pool").exit_code == 0
    check_answers(search("--json"), model, tmp_path, known)
    shutil.rmtree(known / "ana")
    assert rim("forget", "-i", tmp_path / "index", "ana").exit_code == 0
    (known / "ben" / "2.png").unlink()
    assert rim("forget", "-i", tmp_path / "index", "--picture", known / "ben" / "2.png").exit_code == 0
    check_answers(search("--json"), model, tmp_path, known)


def test_a_template_of_probes_is_compared_with_templates_of_people(pooled, model, tmp_path, known):
    (tmp_path / "track").mkdir()
    for view in (7, 8):
        Image.fromarray(paint_face(1, view, 40, 8)[0]).save(tmp_path / "track" / f"{view}.png")
    done = rim("identify", "-m", model, "-i", tmp_path / "index", "--pool", tmp_path / "track", "--json")
    (answer,) = json.loads(done.stdout)["probes"]
    recognizer = Recognizer.from_checkpoint(model)
    for hit in answer["hits"]:
        pictures = sorted(map(str, (known / hit["person"]).iterdir()))
        expected = recognizer.verify(sorted(map(str, (tmp_path / "track").iterdir())), pictures, 1e-3)
        assert hit["similarity"] == pytest.approx(expected.similarity, abs=1e-5)
        assert (hit["threshold"], hit["accepted"]) == (pytest.approx(expected.threshold), expected.accepted)


def test_the_choice_holds_for_the_whole_gallery(enroll, search, model, tmp_path):
    assert enroll().exit_code == 0
    before = search("--json").stdout
    for words in (["--pool"], ["--pool", "--dry-run"]):
        refused = enroll(*words)
        assert refused.exit_code == 2
        assert "has a template for each picture" in refused.stderr
    assert search("--json").stdout == before
    assert {hit["pooled"] for hit in json.loads(before)["probes"][0]["hits"]} == {1}


def test_a_list_says_that_a_gallery_pools(pooled, tmp_path):
    assert "6 pictures of 3 people in" in (listed := rim("gallery", "list", "-i", tmp_path / "index").stdout)
    assert listed.rstrip().endswith("those of each person are one template")
    assert json.loads(rim("gallery", "list", "-i", tmp_path / "index", "--json").stdout)["pooled"] is True


def test_rates_of_searches_were_not_measured_for_it(pooled, search):
    done = search("--fpir", "0.1")
    assert done.exit_code == 2
    assert "The FPIR was measured for single pictures" in done.stderr


def test_people_whose_pictures_look_like_two_are_named(known, tmp_path):
    """At a threshold of 1 everybody with two pictures is two people, at −1 nobody; other galleries say nothing."""
    strict, mild = write(tmp_path / "strict", 1, 1, 1), write(tmp_path / "mild", -1, -1, -1)
    plain = json.loads(rim("enroll", "-m", strict, "-i", tmp_path / "a", known, "--pool", "--json").stdout)
    assert [row["person"] for row in plain["disagreements"]] == ["ana", "ben"]
    for row in plain["disagreements"]:
        own = [str(known / row["person"] / f"{view}.png") for view in PICTURES[row["person"]]]
        assert sorted(path for group in row["groups"] for path in group) == own
        assert row["similarity"] < row["threshold"] == 1
        assert row["far"] == 1e-1
    again = rim("enroll", "-m", strict, "-i", tmp_path / "a", known)
    assert "ben: its pictures look like two people" in again.stderr
    assert again.exit_code == 0
    for index, words in (("b", ["-m", mild, "--pool"]), ("c", ["-m", strict])):
        done = rim("enroll", "-i", tmp_path / index, known, *words)
        assert done.exit_code == 0
        assert "look like two people" not in done.stderr


def test_a_record_of_such_a_search_is_replayed_and_reported(pooled, search, model, tmp_path, known):
    words = ("identify", "-m", model, "-i", tmp_path / "index", tmp_path / "probe.png", "--top", "3")
    folder, answer = recorded(tmp_path / "cases", *words)
    content = json.loads((folder / "record.json").read_text())
    assert (content["gallery"]["templates"], content["gallery"]["people"]) == (6, 3)
    for hit, expected in zip(content["searches"][0]["hits"], answer["probes"][0]["hits"], strict=True):
        assert hit["pooled"] == expected["pooled"]
        assert hit["threshold"] == (None if expected["pooled"] == 1 else expected["threshold"])
    assert rim("replay", folder, "-m", model, "-i", tmp_path / "index").stdout.strip() == "the same bits"
    assert rim("report", folder, tmp_path / "report.html").exit_code == 0
    text = (tmp_path / "report.html").read_text()
    assert "The gallery has 6 pictures of 3 people; the pictures of each are one template" in text
    assert "the nearest of 2 pictures of one template, whose threshold is 0.200" in text
    assert "n a gallery of 3 people, a stranger passes for 0.003 of them on average" in text
    plain_index = tmp_path / "plain"
    assert rim("enroll", "-m", model, "-i", plain_index, known).exit_code == 0
    other = rim("replay", folder, "-m", model, "-i", plain_index)
    assert other.exit_code == 1
    assert "gallery.people: recorded 3, now nothing" in other.stdout


def people_table(known, people=PICTURES):
    """Write a table of the pictures, in another order than that of the folder."""
    rows = [f"known/{person}/{view}.png,{person}\n" for person, views in reversed(people.items()) for view in views]
    (known.parent / "people.csv").write_text("".join(["picture,person\n", *rows]))
    return known.parent / "people.csv"


def rows_of(index):
    """Return person, path, digest, alignment, detector, faces and the bytes of the embedding of every template."""
    gallery = Gallery(index, None)
    rows = [
        (
            row.person,
            row.source,
            row.digest,
            row.alignment,
            row.detector,
            row.faces,
            template.embedding.numpy().tobytes(),
        )
        for templates in gallery.templates_of({row.digest for row in gallery.enrolled()}).values()
        for template in templates
        for row in [template.picture]
    ]
    return sorted(rows), gallery.is_pooled


def test_a_table_and_a_folder_make_the_same_gallery(pooled, model, known, tmp_path, search):
    table = people_table(known)
    done = rim("enroll", "-m", model, "-i", tmp_path / "by_table", table, "--pool")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "6 pictures added, 0 were known; 3 people in" in done.stdout
    assert rows_of(tmp_path / "by_table") == rows_of(tmp_path / "index")
    assert len(rows_of(tmp_path / "index")[0]) == 6
    by_table = rim("identify", "-m", model, "-i", tmp_path / "by_table", tmp_path / "probe.png", "--json")
    (first,), (second,) = (json.loads(answer.stdout)["probes"] for answer in (by_table, search("--json")))
    for hits in (first["hits"], second["hits"]):
        for hit in hits:
            hit.pop("enrolled")  # the time
    assert first == second


def test_a_gallery_follows_its_table(model, known, tmp_path):
    """A line that is taken out is a picture that was removed; another name is a picture that was moved."""
    enroll = ("enroll", "-m", model, "-i", tmp_path / "index")
    assert rim(*enroll, people_table(known), "--pool").exit_code == 0
    assert "0 pictures added, 6 were known" in rim(*enroll, people_table(known)).stdout
    table = people_table(known, {"ana": (1, 2), "ben": (1, 2)})
    table.write_text(table.read_text().replace("ben/2.png,ben", "ben/2.png,Benno"))
    dry = rim(*enroll, table, "--dry-run", "--json")
    assert dry.exit_code == 3
    kinds = {(row["kind"], Path(row["source"]).parts[-2:]) for row in json.loads(dry.stdout)["differences"]}
    assert kinds == {("moved", ("ben", "2.png")), ("removed", ("ana", "3.png")), ("removed", ("zoe", "1.png"))}
    assert rim(*enroll, table, "--sync").exit_code == 0
    assert Gallery(tmp_path / "index", None).people() == {"ana": 2, "ben": 1, "Benno": 1}
    assert (
        "1 templates of known/ben/1.png removed"
        in rim("forget", "-i", tmp_path / "index", "--picture", "known/ben/1.png").stdout
    )
    assert "3 templates of" in rim("forget", "-i", tmp_path / "index", "--folder", table).stdout


def test_a_wrong_table_is_refused_before_the_model_is_loaded(known, model, tmp_path, monkeypatch):
    monkeypatch.setattr(Recognizer, "from_checkpoint", lambda *_, **__: pytest.fail("work has begun"))
    table = tmp_path / "people.csv"
    table.write_text("picture,person\nknown/ana/1.png,ana\nknown/ana/9.png,ana\n")
    for words in ([], ["--dry-run"]):
        done = rim("enroll", "-m", model, "-i", tmp_path / "index", table, *words)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr == (
            f"rim: {table} line 3 names the picture known/ana/9.png, which does not exist: "
            "correct or remove the line.\n"
        )
    assert not (tmp_path / "index").exists()
