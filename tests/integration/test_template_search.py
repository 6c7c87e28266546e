"""`rim identify` by templates, and `rim watch`, give the answers that Python gives."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from tests.helpers.clips import drawn_frames, portrait, write_clip
from tests.helpers.tiny import MODEL, perturbed

pytest.importorskip("lancedb")
FARS = (1e-1, 1e-3)


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose thresholds at 1e-3 are −.9 for one probe, −.95 for two and −.98 for four."""
    torch.manual_seed(0)
    per_count = np.array([-0.9, -0.95, -0.98])
    thresholds = np.broadcast_to(per_count[:, None, None, None], (3, 3, 2, 2)).copy()
    calibration = Calibration("made up", "0", 4, 4, 24, (1, 2, 4), (8, 32), FARS, thresholds, (thresholds + 1) / 2)
    folder = tmp_path_factory.mktemp("models") / "mine"
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False)
    return folder


@pytest.fixture(scope="module")
def index(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    for person in (1, 2, 3):
        (folder / f"person_{person}").mkdir()
        Image.fromarray(paint_face(person, 5, 96, 12)[0]).save(folder / f"person_{person}" / "a.png")
    done = rim("enroll", "-m", model, "-i", folder.parent / "index", folder)
    assert done.exit_code == 0, done.output
    return folder.parent / "index"


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    steps = drawn_frames(12, [(portrait(1, 44), lambda n: (4 + 6 * n, 8)), (portrait(2, 44), lambda n: (110, 70))])
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", steps)


@pytest.fixture(scope="module")
def tracked(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "tracks"
    assert rim("tracks", clip, out).exit_code == 0
    return out


@pytest.fixture
def search(model, index):
    return lambda *words: rim("identify", "-m", model, "-i", index, *words)


def test_a_table_gets_the_answer_of_python_for_each_track(search, tracked, model, index):
    plain = json.loads(search(tracked / "tracks.csv", "--json").stdout)
    with (tracked / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    recognizer = Recognizer.from_checkpoint(model)
    assert [answer["track"] for answer in plain["probes"]] == ["1", "2"]
    for answer in plain["probes"]:
        own = [row for row in rows if row["track"] == answer["track"]]
        assert [picture["time"] for picture in answer["pictures"]] == [row["time"] for row in own]
        boxes = [tuple(map(float, row["face"].split(","))) for row in own]
        probes = [recognizer.align(tracked / row["picture"], face=box)[0] for row, box in zip(own, boxes, strict=True)]
        for hit in answer["hits"]:
            expected = recognizer.verify(probes, hit["source"], 1e-3)
            assert hit["similarity"] == pytest.approx(expected.similarity, abs=1e-5)
            assert answer["threshold"] == pytest.approx(expected.threshold) == -0.98
        assert answer["probes"] == 4
        assert len(answer["hits"]) == 3


def test_a_clip_gets_the_answers_of_its_table(search, tracked, clip):
    by_table = json.loads(search(tracked / "tracks.csv", "--json").stdout)["probes"]
    by_clip = json.loads(search(clip, "--json").stdout)["probes"]
    assert [answer["hits"] for answer in by_clip] == [answer["hits"] for answer in by_table]
    times = [[picture["time"] for picture in answer["pictures"]] for answer in by_clip]
    assert times == [[picture["time"] for picture in answer["pictures"]] for answer in by_table]
    assert by_clip[0]["pictures"][0]["picture"] == f"{clip} at {times[0][0]}"
    shown = search(clip, "--top", 1)
    assert shown.exit_code == 0
    assert f"{clip}, track 1, {times[0][0]} to {times[0][-1]} (4 pictures, pooled):" in shown.stdout


def test_pooled_folders_are_one_template_each(search, tracked, model):
    folders = [tracked / "track_0001", tracked / "track_0002"]
    plain = json.loads(search("--pool", *folders, "--json").stdout)
    recognizer = Recognizer.from_checkpoint(model)
    assert [answer["template"] for answer in plain["probes"]] == list(map(str, folders))
    for answer, folder in zip(plain["probes"], folders, strict=True):
        expected = recognizer.verify(sorted(map(str, folder.iterdir())), answer["hits"][0]["source"], 1e-3)
        assert answer["hits"][0]["similarity"] == pytest.approx(expected.similarity, abs=1e-5)
        assert answer["threshold"] == pytest.approx(expected.threshold)
    assert len(json.loads(search(*folders, "--json").stdout)["probes"]) == 8  # without --pool: each picture


def test_pictures_that_cannot_be_used_are_left_out_of_their_template(search, tracked, tmp_path):
    out = tmp_path / "tracks"
    shutil.copytree(tracked, out)
    one, other = sorted((out / "track_0001").iterdir())[:2]
    one.write_bytes(b"no picture")
    other.unlink()
    for picture in (out / "track_0002").iterdir():
        picture.unlink()
    done = search(out / "tracks.csv", "--json")
    plain = json.loads(done.stdout)
    assert done.exit_code == 3
    assert [(answer["track"], answer["probes"]) for answer in plain["probes"]] == [("1", 2)]
    assert plain["probes"][0]["threshold"] == pytest.approx(-0.95)
    assert "has no picture that can be used" in plain["left_out"][f"{out / 'tracks.csv'}, track 2"]
    assert str(one) in plain["left_out"]


def test_two_people_in_one_template_are_said(search, tracked, tmp_path, monkeypatch):
    from rim_lightning.inference import templates

    def split(embeddings, faces, calibration):
        return templates.Disagreement(([0, 1, 2], [3]), 0.1, 0.3, 1e-1)

    monkeypatch.setattr(templates, "disagreement", split)
    done = search("--pool", tracked / "track_0001", "--top", 1)
    last = max(map(str, (tracked / "track_0001").iterdir()))
    assert (
        f"{tracked / 'track_0001'}: its pictures look like two people (similarity 0.100, less than 0.300 at FAR 1 in "
        f"10): look at {last}, and divide them" in done.stderr
    )
    plain = json.loads(search("--pool", tracked / "track_0001", "--json").stdout)["probes"][0]
    assert plain["disagreement"]["groups"][1] == [last]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{clip}", "--face", "2"], "The faces of a clip or table are known: leave --face and --box out."),
        (["{clip}", "--aligned"], "leave --aligned out"),
        (["{clip}", "--every", "2", "--fps", "5"], "Give one of --every and --fps."),
        (["{clip}", "--fps", "0"], "0 is no number of frames per second"),
        (["--pool", "{folder}", "--faces", "all"], "leave --faces out"),
        (["{folder}", "--fps", "5"], "None of PROBES is a clip: leave --every, --fps and --best out."),
        (["{folder}", "--best", "2"], "None of PROBES is a clip"),
        (["missing.csv"], "missing.csv"),
        (["missing.mp4"], "There is no clip missing.mp4"),
    ],
)
def test_wrong_words_are_one_sentence(search, clip, tracked, words, said):
    done = search(*[word.format(clip=clip, folder=tracked / "track_0001") for word in words])
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_clip_without_a_face_answers_no(search, tmp_path):
    clip = write_clip(tmp_path / "empty.mp4", drawn_frames(5, []))
    done = search(clip)
    assert done.exit_code == 1
    assert f"no face was found in 5 of 5 frames of {clip}" in done.output


def ended_lines(process, count, seconds=60):
    """The first lines of a process; they must come in time."""
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout.readline() for _ in range(count)), daemon=True)
    reader.start()
    reader.join(seconds)
    assert len(lines) == count
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_watched_folder_is_answered_as_its_pictures_arrive_and_never_twice(model, index, tracked, tmp_path, ending):
    frames = tmp_path / "frames"
    frames.mkdir()
    pictures = sorted((tracked / "track_0001").iterdir())
    shutil.copy(pictures[0], frames / "0.png")
    words = ["-m", "rim_lightning.commands.rim.main", "watch", frames, "-m", model, "-i", index, "--json"]
    command = [sys.executable, *map(str, words), "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        (first,) = ended_lines(process, 1)
        content = pictures[1].read_bytes()
        (frames / "1.png").write_bytes(content[:100])  # it is written slowly
        (damaged,) = ended_lines(process, 1)
        (frames / "1.png").write_bytes(content)
        (second,) = ended_lines(process, 1)
        time.sleep(0.3)  # the line of the last answer is in the memory
        process.send_signal(ending)
        _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    assert process.returncode == (-ending if ending == signal.SIGKILL else 128 + ending)
    expected = json.loads(rim("identify", "-m", model, "-i", index, frames, "--json").stdout)["probes"]
    assert [first["probes"][0]["hits"], second["probes"][0]["hits"]] == [answer["hits"] for answer in expected]
    assert (damaged["probes"], "1.png" in damaged["left_out"]) == ([], True)
    shutil.copy(pictures[2], frames / "2.png")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        (third,) = ended_lines(process, 1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert third["picture"].endswith("2.png")
    assert f"2 pictures of {frames} were answered before" in errors


def test_watching_no_folder_is_one_sentence(model, index, tmp_path):
    done = rim("watch", tmp_path / "none", "-m", model, "-i", index)
    assert (done.exit_code, "There is no folder" in done.output) == (2, True)
