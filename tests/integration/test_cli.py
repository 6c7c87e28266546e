"""The rim command: answers, exit codes, files, and one sentence for what is wrong."""

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from functools import partial

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import rim_lightning
from rim_lightning.commands.rim.main import main
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.inference.search_calibration import SearchCalibration
from rim_lightning.networks.rim import RIM
from tests.helpers.stores import noise_store
from tests.helpers.tiny import MODEL, perturbed


def network():
    torch.manual_seed(0)
    return perturbed(RIM(**MODEL)).eval()


def model_folder(path, threshold=0.0):
    thresholds = np.broadcast_to([threshold, 1.0], (1, 1, 2, 2))  # the second lies beyond every cosine here
    frrs = np.broadcast_to([0.25, 1.0], (1, 1, 2, 2))
    calibration = Calibration("made up", "0", 4, 4, 24, (1,), (8, 32), (1e-2, 1e-3), thresholds, frrs)
    write_model(path, network(), calibration, {}, False)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture
def faces(tmp_path):
    """A folder of three aligned faces, one of them in a folder of its own."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    folder = tmp_path / "faces"
    (folder / "more").mkdir(parents=True)
    for name, image in zip(("a.png", "b.jpg", "more/c.png"), pixels, strict=True):
        Image.fromarray(image).save(folder / name)
    return folder


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_verify_answers_in_words_and_by_its_exit_code(model, faces):
    call = ("verify", "-m", model, faces / "a.png", faces / "b.jpg", "--aligned")
    expected = Recognizer.from_checkpoint(model).verify(faces / "a.png", faces / "b.jpg", 1e-2, aligned=True)
    done = rim(*call, "--far", "1e-2")
    same = expected.similarity >= 0
    assert done.exit_code == (0 if same else 1)
    assert done.stdout.startswith(
        "above the threshold (FAR 1 in 100)" if same else "below the threshold (FAR 1 in 100)"
    )
    assert f"similarity {expected.similarity:.3f}, threshold 0.000" in done.output
    assert "12 px" in done.output
    refused = rim(*call)  # at 1e-3 the threshold is beyond every cosine
    assert refused.exit_code == 1
    assert refused.stdout.startswith("below the threshold (FAR 1 in 1,000)")


def test_verify_for_programs_and_folders_of_one_person(model, faces):
    done = rim("verify", "-m", model, faces, faces / "a.png", "--aligned", "--json")
    answer = json.loads(done.output)
    assert done.exit_code == 1
    assert not answer["accepted"]
    assert answer["threshold"] == 1.0
    assert answer["probe_faces"] == [0, 0, 0]
    assert answer["gallery_faces"] == [0]
    files = [faces / "a.png", faces / "b.jpg", faces / "more" / "c.png"]
    expected = Recognizer.from_checkpoint(model).verify(files, faces / "a.png", aligned=True)
    assert answer["similarity"] == pytest.approx(expected.similarity)
    assert (answer["probes"], answer["gallery"]) == (3, 1)
    printed = rim("verify", "-m", model, faces, faces / "a.png", "--aligned").output
    assert (
        "for a probe of 12 px (3 probes, 1 gallery picture, pooled): 1 of 1,000 strangers would pass, and all true "
        "pairs would be missed" in printed
    )


@pytest.fixture(scope="module")
def full_model(tmp_path_factory):
    """A model whose card has intervals and likelihood ratios of 100 people."""
    points, intervals = np.full((1, 1, 2, 2), 0.1), np.broadcast_to([0.0005, 0.0021, 0.2, 0.31], (1, 1, 2, 2, 4))
    ratios = np.broadcast_to([-1.0, 400.0, 2.0, 0.618, 0.6], (1, 1, 2, 5))
    about = ("made up", "0", 100, 4, 24, (1,), (8, 32), (1e-2, 1e-3))
    searched = np.broadcast_to([-0.999, 0.7, 0.02, 0.2, 0.6, 0.8], (2, 2, 1, 6))
    searches = SearchCalibration((8, 32), (1, 10), (0.1,), searched)
    calibration = Calibration(*about, points, points, False, intervals=intervals, ratios=ratios, searches=searches)
    folder = tmp_path_factory.mktemp("full") / "mine"
    write_model(folder, network(), calibration, {}, False)
    return folder


def test_the_answer_has_intervals_and_a_ratio(full_model, faces):
    call = ("verify", "-m", full_model, faces / "a.png", faces / "b.jpg", "--aligned")
    printed = rim(*call).stdout.splitlines()
    answer = json.loads(rim(*call, "--json").stdout)
    log10 = min(max(-1 + 400 * answer["similarity"], -2), 2)
    assert answer["ratio"] == {"log10": pytest.approx(log10), "bound": 2, "at_bound": True}
    most = "at least 100: moderately strong support for one person rather than two"
    least = "at most 1/100: moderately strong support for two people rather than one"
    assert printed == [
        f"{'above' if answer['similarity'] >= 0.1 else 'below'} the threshold (FAR 1 in 1,000)",
        f"similarity {answer['similarity']:.3f}, threshold 0.100",
        f"likelihood ratio {most if log10 > 0 else least}",
        "for a probe of 12 px: 1 of 1,000 strangers would pass (95 % interval: 5 to 21 of 10,000), and "
        "1 of 10 true pairs would be missed (95 % interval: 20 to 31 of 100)",
        "measured on photographs of 100 people (made up)",
    ]
    assert (answer["far_interval"], answer["frr_interval"]) == ([0.0005, 0.0021], [0.2, 0.31])


def test_info_has_intervals_and_costs(full_model):
    shown = rim("info", full_model).stdout
    assert "FAR 0.001: 5 to 21 of 10,000 strangers pass, 20 to 31 of 100 true pairs are missed" in shown
    assert "(Cllr; 0 is best, 1 says nothing): 8 px 0.62, 32 px 0.62" in shown


def test_a_search_by_the_share_of_strangers(full_model, faces, tmp_path):
    assert rim("enroll", "-m", full_model, "-i", tmp_path / "index", faces, "--aligned").exit_code == 0
    call = ("identify", "-m", full_model, "-i", tmp_path / "index", faces / "a.png", "--aligned")
    done = rim(*call, "--fpir", "0.1")
    assert done.exit_code == 0, done.output
    assert (
        "12 px, threshold -0.999 (about 1 of 10 searches for strangers give a false hit (95 % interval: 2 to 20 of "
        "100), and 7 of 10 searches for people of the gallery find nothing (95 % interval: 6 to 8 of 10))"
    ) in done.stdout
    assert "of 3 pictures\n" in done.stdout
    answer = json.loads(rim(*call, "--fpir", "0.1", "--json").stdout)
    assert answer["fpir"] == 0.1
    assert "far" not in answer
    assert answer["probes"][0]["fpir_interval"] == [0.02, 0.2]
    assert all(hit["accepted"] for hit in answer["probes"][0]["hits"])
    assert "a stranger passes for 0.003 of them on average" in rim(*call).stdout
    refused = rim(*call, faces / "b.png", "--fpir", "0.2")
    assert refused.exit_code == 2  # once, not a reason for each picture to be left out
    assert refused.stderr == "rim: There are no thresholds for an FPIR of 0.2: choose from 0.1.\n"
    assert rim(*call, "--fpir", "1").exit_code == 2
    assert "for single pictures" in " ".join(rim(*call, "--fpir", "0.1", "--pool").stderr.split())


def test_a_picture_without_a_threshold_is_named(full_model, faces, tmp_path, monkeypatch):
    """A threshold knows no picture: its error cannot name the one that it is missing for."""
    assert rim("enroll", "-m", full_model, "-i", tmp_path / "index", faces, "--aligned").exit_code == 0

    def none_for_the_size(*words):
        raise ValueError("There is none for this size.")

    monkeypatch.setattr("rim_lightning.commands.rim.gallery.question_of", none_for_the_size)
    done = rim("identify", "-m", full_model, "-i", tmp_path / "index", faces / "a.png", "--aligned")
    assert (done.exit_code, done.stderr) == (2, f"left out: {faces / 'a.png'}: There is none for this size.\n")


def test_hallucinate_a_folder(model, faces, tmp_path):
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned")
    assert done.exit_code == 0
    assert "3 of 3 faces written" in done.output
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["a.png", "b.png", "more/c.png"]
    expected = Recognizer.from_checkpoint(model).hallucinate(faces / "a.png", aligned=True).sr[0]
    image = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(image, (expected.permute(1, 2, 0) * 255).round().byte().numpy())


def test_a_broken_picture_is_left_out_and_named(model, faces, tmp_path):
    (faces / "broken.png").write_bytes(b"not a picture")
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned")
    assert done.exit_code == 3
    assert "3 of 4 faces written" in done.output
    assert "broken.png is not an image of a known format" in done.stderr
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned", "--json")
    assert done.exit_code == 2
    assert "a.png exists already: choose another place, or add --overwrite" in done.output
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned", "--json", "--overwrite")
    answer = json.loads(done.stdout)
    assert list(answer["left_out"]) == [str(faces / "broken.png")]
    assert len(answer["written"]) == 3
    assert {face["size"] for face in answer["written"]} == {12.0}


def test_what_is_read_is_never_written_over(model, faces):
    before = {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()}
    for target in (faces / "a.png", faces / "more" / ".." / "a.png"):
        done = rim("hallucinate", "-m", model, faces / "a.png", target, "--aligned", "--overwrite")
        assert done.exit_code == 2
        assert "is read, and would be overwritten" in done.output
    for target in (faces, faces / "out"):
        done = rim("hallucinate", "-m", model, faces, target, "--aligned", "--overwrite")
        assert done.exit_code == 2
        assert "whose pictures are read: choose another folder" in done.output
    assert before == {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()}


def test_a_face_that_cannot_be_written_is_left_out(model, faces, tmp_path):
    (tmp_path / "out" / "b.png").mkdir(parents=True)
    done = rim("hallucinate", "-m", model, faces, tmp_path / "out", "--aligned", "--overwrite")
    assert done.exit_code == 3
    assert "2 of 3 faces written" in done.output
    assert "b.png" in done.stderr
    assert (tmp_path / "out" / "more" / "c.png").is_file()
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_full_disk_ends_with_one_sentence(model, faces, tmp_path):
    """/dev/full takes no byte: whatever is written there fails as on a full disk."""
    out = tmp_path / "out"
    out.mkdir()
    (out / f".b.png.{os.getpid()}.part").symlink_to("/dev/full")
    done = rim("hallucinate", "-m", model, faces, out, "--aligned")
    assert done.exit_code == 2
    assert "b.png cannot be written: there is no space left. 1 of 3 faces were" in done.stderr
    assert [path.name for path in out.rglob("*")] == ["a.png"]


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_enrolled(model, faces, index):
    """2 KB are too little for the templates of one more block."""
    for number in range(20):
        Image.fromarray(np.full((9, 9, 3), number, np.uint8)).save(faces / f"{number}.png")
    call = ("enroll", "-m", model, "-i", index, faces, "--aligned")
    done = rim_with_small_files(*call)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be written: there is no space left. Earlier additions are kept. Remove the cause" in done.stderr
    assert len(Gallery(index, None)) == 3
    assert rim(*call, "--json").exit_code == 0
    assert len(Gallery(index, None)) == 23


def rim_with_small_files(*words):
    """The command in a process of which no file may grow beyond 2 KB."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2048, 2048))
    call = [sys.executable, "-m", "rim_lightning.commands.rim.main", *map(str, words)]
    return subprocess.run(call, preexec_fn=limit, capture_output=True, text=True)


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_model(tmp_path):
    done = rim_with_small_files("export", checkpoint(tmp_path), tmp_path / "exported", "--no-onnx")
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"rim: .*/exported: File too large\n", done.stderr), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_verify_leaves_out_what_it_cannot_use(model, faces):
    (faces / "more" / "torn.jpg").write_bytes(b"")
    done = rim("verify", "-m", model, faces / "more", faces / "a.png", "--aligned", "--json")
    answer = json.loads(done.output)
    assert done.exit_code in (0, 1)
    assert answer["probe_faces"] == [0]
    assert len(answer["left_out"]) == 1
    printed = rim("verify", "-m", model, faces / "more", faces / "a.png", "--aligned")
    assert "left out:" in printed.stderr
    assert "torn.jpg is empty" in printed.stderr
    assert "the gallery face has 12 px: the rates below are those of sharp ones, of 16 px or more" in printed.stderr
    (faces / "more" / "c.png").unlink()
    done = rim("verify", "-m", model, faces / "more", faces / "a.png", "--aligned")
    assert done.exit_code == 2
    assert "more holds no picture that can be used" in done.output


def test_no_failure_looks_like_the_answer_no(model, faces, monkeypatch):
    call = ("verify", "-m", model, faces / "a.png", faces / "b.jpg", "--aligned")
    for error, code in ((KeyError("x"), 70), (RuntimeError("x"), 70), (KeyboardInterrupt(), 130), (OSError("x"), 2)):

        def broken(*_, error=error, **__):
            raise error

        monkeypatch.setattr(Recognizer, "verify", broken)
        assert rim(*call).exit_code == code


def test_a_name_that_is_no_text_is_left_out(model, faces, tmp_path):
    strange = os.fsencode(faces) + b"/caf\xe9.png"
    with open(strange, "wb") as file:
        file.write((faces / "a.png").read_bytes())
    done = rim("enroll", "-m", model, "-i", tmp_path / "index", faces, "--aligned")
    assert done.exit_code == 3
    assert "3 pictures added" in done.output
    assert "is not UTF-8 text: rename the file or folder" in done.stderr


def test_a_strip_shows_the_six_pictures(model, faces, tmp_path):
    done = rim("hallucinate", "-m", model, faces / "a.png", tmp_path / "a.png", "--aligned", "--strip")
    assert done.exit_code == 0
    assert Image.open(tmp_path / "a.png").size == (6 * 196 - 4, 192 + 18 + 18)  # under them the legend


@pytest.fixture
def index(model, faces, tmp_path):
    """A gallery of three people: a, b and, in a folder of that name, more."""
    done = rim("enroll", "-m", model, "-i", tmp_path / "index", faces, "--aligned")
    assert done.exit_code == 0
    assert "3 pictures added, 0 were known; 3 people in" in done.output
    return tmp_path / "index"


def test_enrolling_again_adds_what_is_new(model, faces, index):
    call = ("enroll", "-m", model, "-i", index, faces, "--aligned", "--json")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(faces / "more" / "d.png")
    (faces / "more" / "torn.jpg").write_bytes(b"")
    done = rim(*call)
    answer = json.loads(done.stdout)
    assert done.exit_code == 3
    assert list(answer.pop("left_out")) == [str(faces / "more" / "torn.jpg")]
    assert answer.pop("small") == [str(faces / "more" / "d.png")]  # 9 px are not sharp
    assert answer.pop("single") == ["a.png", "b.jpg"]
    assert [face["picture"] for face in answer.pop("pictures")] == [str(faces / "more" / "d.png")]
    counts = {"added": 1, "known": 3, "templates": 4, "people": 3, "undated": 0, "synced": False}
    assert answer == counts | {
        "unused": {},
        "several": [],
        "differences": [],
        "disagreements": [],
        "pooled": False,
        "hidden": [],
        "shared": [],
        "alike": [],
        "turned": {},
    }


def test_identify_finds_whom_the_python_interface_finds(model, faces, index):
    done = rim("identify", "-m", model, "-i", index, faces, "--aligned", "--far", "1e-2", "--top", "2", "--json")
    answer = json.loads(done.output)
    recognizer = Recognizer.from_checkpoint(model)
    files = [faces / "a.png", faces / "b.jpg", faces / "more" / "c.png"]
    cosine = recognizer.embed_probes(files, aligned=True) @ recognizer.embed_gallery(files, aligned=True).T
    assert answer["templates"] == 3
    assert len(answer["probes"]) == 3
    for probe, row in zip(answer["probes"], cosine, strict=True):
        order = row.argsort(descending=True)[:2]
        assert [hit["person"] for hit in probe["hits"]] == [("a", "b", "more")[i] for i in order]
        assert [hit["similarity"] for hit in probe["hits"]] == pytest.approx(row[order].tolist(), abs=1e-5)
        assert [hit["accepted"] for hit in probe["hits"]] == (row[order] >= 0).tolist()
    assert done.exit_code == (0 if (cosine.topk(2).values >= 0).any() else 1)


def test_identify_takes_pictures_and_folders(model, faces, index):
    done = rim("identify", "-m", model, "-i", index, faces / "b.jpg", faces / "more", "--aligned", "--json")
    probes = json.loads(done.output)["probes"]
    assert [probe["picture"] for probe in probes] == [str(faces / "b.jpg"), str(faces / "more" / "c.png")]
    assert rim("identify", "-m", model, "-i", index).exit_code == 2


def test_identify_in_words(model, faces, index):
    done = rim("identify", "-m", model, "-i", index, faces / "a.png", "--aligned")
    assert done.exit_code == 1
    assert "a.png: 12 px, threshold 1.000" in done.output
    assert "accepted" not in done.output
    assert "of 3 pictures; a stranger passes for 0.003 of them" in done.output


def test_forget_removes_a_person(index):
    assert rim("forget", "-i", index, "nobody").exit_code == 1
    done = rim("forget", "-i", index, "more")
    assert done.exit_code == 0
    assert "1 templates of more removed" in done.output
    assert rim("forget", "-i", index, "more").exit_code == 1


def checkpoint(folder):
    rim = network()
    path = folder / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    state = {f"rim.{name}": value for name, value in rim.state_dict().items()}
    torch.save({"architecture": "rim", "model_arguments": MODEL, "state_dict": state}, path)
    (folder / "run" / "config.yaml").write_text("name: test")
    (folder / "run" / "metrics.json").write_text('{"verification/lfw/16/accuracy": 0.9}')
    return path


def test_export_makes_a_model_that_knows_its_thresholds(faces, tmp_path):
    names = [f"{index}.png" for index in range(12)]
    noise_store(tmp_path / "people_32", names, list("aabbccddeeff"), {"ibug68": 68}, split="val", hr_size=32)
    target = tmp_path / "exported"
    path = checkpoint(tmp_path)
    kind = ("--degradation", "camera", "--misalignment", "detector")
    done = rim("export", path, target, "--no-onnx", *kind)
    assert (done.exit_code, "add --people" in done.output) == (2, True)
    done = rim("export", path, target, "--people", tmp_path / "people_32", "--no-onnx", *kind)
    assert done.exit_code == 0, done.output
    card = json.loads(rim("info", target, "--json").output)
    assert card["metrics"] == {"verification/lfw/16/accuracy": 0.9}
    assert card["calibration"]["people"] == 6
    assert card["calibration"]["impostors"] == 120
    shown = rim("info", target).output
    assert "pooled into templates" not in shown  # nobody has four images
    assert "RIM, 8 -> 32 px" in shown
    assert "6 people of people_32, val, 12 genuine and 120 impostor pairs" in shown
    answer = rim("verify", "-m", target, faces / "a.png", faces / "a.png", "--far", "0.1", "--aligned", "--json")
    assert json.loads(answer.output)["threshold"] <= 1
    assert json.loads(answer.output)["chosen_on"]["probes"] == "camera, moved as by a detector's points"


def test_a_checkpoint_answers_too_but_not_without_thresholds(faces, tmp_path):
    path = checkpoint(tmp_path)
    assert rim("hallucinate", "-m", path, faces / "a.png", tmp_path / "a.png", "--aligned").exit_code == 0
    done = rim("verify", "-m", path, faces / "a.png", faces / "a.png", "--aligned")
    assert done.exit_code == 2
    assert "The model has no thresholds" in done.output
    done = rim("export", path, tmp_path / "bare", "--no-onnx")
    assert done.exit_code == 0
    assert "It has no thresholds: give --people" in done.output
    assert "no thresholds: rim export --people chooses them" in rim("info", tmp_path / "bare").output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("verify", "-m", "nowhere", "a.png", "b.jpg"), "rim: There is no checkpoint at nowhere, and no model folder."),
        (("verify", "-m", "MODEL", "FACES/nowhere.png", "b.jpg"), "rim: There is no image .*nowhere.png."),
        (
            ("verify", "-m", "MODEL", "FACES/a.png", "FACES/b.jpg", "--aligned", "--far", "0.5"),
            "choose from 0.01, 0.001",
        ),
        (("verify", "-m", "MODEL", "FACES/a.png", "FACES/b.jpg"), "a.png shows no face that could be found"),
        (("verify", "-m", "FACES", "a.png", "b.jpg"), "is not a model folder: it has no card.json"),
        (("hallucinate", "-m", "MODEL", "FACES/a.png", "face.jpg"), "face.jpg does not end in .png"),
        (("hallucinate", "-m", "MODEL", "EMPTY", "out"), "holds no image: files must end in"),
        (("hallucinate", "-m", "MODEL", "TWINS", "out"), "twin.jpg and .*twin.png would both be written to"),
        (("export", "MODEL/card.json", "out"), "is not a checkpoint of rim-train, or is damaged"),
        (("export", "nowhere", "MODEL"), "exists already: choose another folder"),
        (("info", "FACES"), "is not a model folder"),
        (("export", "FACES", "out"), "is a folder: give a checkpoint, such as checkpoints/last.ckpt of a run"),
        (("identify", "-m", "MODEL", "-i", "nowhere", "a.png"), "There is no gallery at nowhere: rim enroll makes one"),
        (("enroll", "-m", "MODEL", "-i", "index", "EMPTY"), "holds no image: files must end in"),
        (("enroll", "-m", "MODEL", "-i", "index", "FACES/a.png"), "There is no folder .*a.png"),
        (("verify", "-m", "MODEL", "FACES/a.png", "FACES/b.jpg", "--device", "gpu"), "is not a device of PyTorch"),
        (("verify", "-m", "MODEL", "FACES/a.png", "FACES/b.jpg", "--device", "meta"), "is not a device of PyTorch"),
    ],
)
def test_wrong_input_gets_a_sentence_and_exit_code_2(model, faces, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "twins").mkdir()
    for name in ("twin.png", "twin.jpg"):
        (tmp_path / "twins" / name).write_bytes((faces / "a.png").read_bytes())
    places = {"MODEL": model, "FACES": faces, "EMPTY": tmp_path / "empty", "TWINS": tmp_path / "twins"}
    for name, place in places.items():
        words = tuple(word.replace(name, str(place)) for word in words)
    done = rim(*words)
    assert done.exit_code == 2, done.output
    assert done.output.count("\n") == 1, done.output
    assert not (tmp_path / "index").exists()
    assert not (tmp_path / "nowhere").exists()
    assert re.search(sentence, done.output), done.output


def test_an_empty_path_is_no_place(model, faces):
    done = rim("verify", "-m", model, "", faces / "a.png")
    assert done.exit_code == 2
    assert "the path is empty" in done.output


def test_figures_of_another_checkpoint_are_none_of_the_card_s(tmp_path):
    path = checkpoint(tmp_path)
    path.rename(path.with_name("best.ckpt"))
    assert rim("export", path.with_name("best.ckpt"), tmp_path / "best", "--no-onnx").exit_code == 0
    assert json.loads(rim("info", tmp_path / "best", "--json").output)["metrics"] == {}


def test_a_gallery_of_another_model_is_refused(model, faces, index, tmp_path):
    torch.manual_seed(1)
    write_model(tmp_path / "other", RIM(**MODEL), None, {}, False)
    done = rim("enroll", "-m", tmp_path / "other", "-i", index, faces, "--aligned")
    assert done.exit_code == 2
    assert "embeddings of two models do not mix" in done.output


def test_a_device_that_is_not_there(model, faces, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    done = rim("verify", "-m", model, faces / "a.png", faces / "b.jpg", "--device", "cuda:1")
    assert done.exit_code == 2
    assert "finds no such CUDA device here: set --device cpu" in done.output
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    done = rim("faces", faces / "b.jpg", "--device", "mps")
    assert done.exit_code == 2
    assert "--device mps, but PyTorch finds no such MPS device here: set --device cpu" in done.output


def examples():
    for command in (main, *main.commands.values()):
        for line in command.help.splitlines():
            if line.strip().startswith("rim "):
                yield shlex.split(line)[1:]


@pytest.mark.parametrize("words", list(examples()), ids=" ".join)
def test_the_examples_of_the_help_are_commands(words):
    command = main.commands[words[0]]
    context = click.Context(command)
    command.parse_args(context, list(words[1:]))  # raises for an option or argument that is not there


def test_help_names_the_exit_codes():
    for words in ((), *((name,) for name in main.commands)):
        shown = rim(*words, "--help").output
        assert "Exit codes:" in shown
        assert "Example" in shown


def test_python_m_rim_lightning_is_the_command():
    done = subprocess.run([sys.executable, "-m", "rim_lightning", "verify"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: rim verify [OPTIONS] PROBE GALLERY")
    assert rim("--version").stdout == f"rim, version {rim_lightning.__version__}\n"


def test_the_help_needs_no_torch():
    code = (
        "import sys, rim_lightning.commands.rim.main; "
        "print([name for name in ('torch', 'numpy', 'PIL', 'hydra', 'omegaconf', 'importlib.metadata') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
