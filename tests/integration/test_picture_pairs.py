"""`rim verify --pairs` gives the answers of `rim verify` one by one, reads each picture once, and resumes."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim import verify_pairs
from rim_lightning.commands.rim.main import main
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.inference.calibration import Calibration
from rim_lightning.inference.faces import FaceAligner
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.picture_pairs import PairComparer
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.json_files import checked_line
from rim_lightning.networks.rim import RIM
from rim_lightning.networks.usage import SizeCurve, Usage
from tests.helpers.hostile import special_files
from tests.helpers.tiny import MODEL, perturbed

FARS = (1e-1, 1e-3)
PAIRS = [
    ("1.png", "a/2.png"),
    ("2.png", "a/2.png"),
    ("none.png", "a/2.png"),
    ("1.png", "a/1.png"),
    ("wall.png", "1.png"),
]


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def model_of(folder, usage=None):
    torch.manual_seed(0)
    points = np.broadcast_to([0.9, 0.99], (1, 1, 2, 2)).copy()
    ratios = np.broadcast_to([-3.0, 4.0, 2.5, 0.2, 0.1], (1, 1, 2, 5)).copy()
    calibration = Calibration("made up", "0", 4, 4, 24, (1,), (8, 32), FARS, points, points / 2, ratios=ratios)
    write_model(folder, perturbed(RIM(**MODEL)).eval(), calibration, {}, onnx=False, usage=usage)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_of(tmp_path_factory.mktemp("models") / "mine")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "a").mkdir()
    for person in (1, 2):
        Image.fromarray(paint_face(person, 1, 96, 16)[0]).resize((40, 40)).save(folder / f"{person}.png")
        Image.fromarray(paint_face(person, 2, 96, 16)[0]).save(folder / "a" / f"{person}.png")
    Image.new("RGB", (90, 60), "gray").save(folder / "wall.png")
    return folder


@pytest.fixture
def listed(pictures):
    """Write a list beside the pictures."""
    files = []

    def write(rows, header="probe,gallery", name="pairs.csv"):
        file = pictures / name
        file.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
        files.append(file)
        return file

    yield write
    for file in files:
        file.unlink(missing_ok=True)


def table_of(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_pair_gets_the_answer_that_it_gets_alone(model, pictures, listed, tmp_path):
    file = listed([(*pair, f"case {number}") for number, pair in enumerate(PAIRS)], "probe,gallery,id")
    done = rim("verify", "-m", model, "--pairs", file, "--csv", tmp_path / "answers.csv", "--far", 0.1)
    assert done.exit_code == 3, done.output
    assert "3 of 5 pairs answered;" in done.stdout
    rows = table_of(tmp_path / "answers.csv")
    assert [(row["probe"], row["gallery"]) for row in rows] == PAIRS
    assert [row["id"] for row in rows] == [f"case {number}" for number in range(5)]
    for row, (probe, gallery) in zip(rows, PAIRS, strict=True):
        alone = rim("verify", "-m", model, pictures / probe, pictures / gallery, "--json", "--far", 0.1)
        answer = json.loads(alone.stdout)
        if "error" in answer:
            assert row["error"] == answer["error"]
            assert row["similarity"] == row["accepted"] == ""
            continue
        assert row["error"] == ""
        for column in ("similarity", "threshold", "far", "frr", "probe_size", "gallery_size"):
            assert float(row[column]) == pytest.approx(answer[column], rel=1e-5)
        assert float(row["log10_ratio"]) == pytest.approx(answer["ratio"]["log10"], rel=1e-4)
        assert row["accepted"] == ("yes" if answer["accepted"] else "no")
    assert not list(tmp_path.glob(".*"))  # nothing is left beside the table
    assert "wall.png shows no face" in rows[4]["error"]


def test_lines_and_json_say_the_same(model, pictures, listed):
    file = listed(PAIRS)
    printed = rim("verify", "-m", model, "--pairs", file)
    plain = json.loads(rim("verify", "-m", model, "--pairs", file, "--json").stdout)
    assert printed.exit_code == 3
    for line, row in zip(printed.stdout.splitlines(), plain["pairs"], strict=False):
        assert line.startswith(f"{row['probe']}, {row['gallery']}: ")
        assert (row["error"] or f"similarity {row['similarity']:.3f}, threshold 0.990") in line
    assert plain["chosen_on"]["name"] == "made up"
    assert rim("verify", "-m", model, "--pairs", listed(PAIRS[:2])).exit_code == 0  # also if all are below
    assert rim("verify", "-m", model, "--pairs", listed([PAIRS[2]])).exit_code == 2


def test_a_model_that_looks_at_the_gallery_again_gives_its_own_answers(pictures, tmp_path):
    model = model_of(tmp_path / "model", Usage(flip=True, reduced_gallery=SizeCurve((8, 32), (0.5, 0.25))))
    recognizer = Recognizer.from_checkpoint(model)
    paths = [(pictures / probe, pictures / gallery) for probe, gallery in PAIRS if probe in ("1.png", "2.png")]
    answers = PairComparer(recognizer, 0.1).answers(paths)
    for answer, (probe, gallery) in zip(answers, paths, strict=True):
        expected = recognizer.verify(probe, gallery, 0.1)
        assert answer.verification.similarity == pytest.approx(expected.similarity, abs=1e-6)
        assert answer.verification._replace(similarity=0, ratio=None) == expected._replace(similarity=0, ratio=None)


@pytest.mark.parametrize(("kept", "reads"), [(None, 4), (0, 8)])
def test_each_picture_is_read_once(model, pictures, monkeypatch, kept, reads):
    read = []
    chosen = FaceAligner._chosen_face
    monkeypatch.setattr(
        FaceAligner, "_chosen_face", lambda self, picture: read.append(picture.name) or chosen(self, picture)
    )
    comparer = PairComparer(Recognizer.from_checkpoint(model), 0.1, kept=kept)
    pairs = [(pictures / f"{probe}.png", pictures / f"a/{gallery}.png") for probe in (1, 2) for gallery in (1, 2)]
    together = comparer.answers(pairs[:2]) + comparer.answers(pairs[2:])
    assert len(read) == (reads if kept is None else 6)
    assert all(answer.error is None for answer in together)


def interrupted(monkeypatch, after):
    """Answers end like a killed process after so many chunks."""
    answers, calls = PairComparer.answers, []

    def some(self, pairs):
        calls.append(len(pairs))
        if len(calls) > after:
            raise KeyboardInterrupt
        return answers(self, pairs)

    monkeypatch.setattr(PairComparer, "answers", some)
    return calls


def test_the_same_command_goes_on_where_it_was_stopped(model, listed, tmp_path, monkeypatch):
    file = listed(PAIRS)
    monkeypatch.setattr(verify_pairs, "CHUNK", 2)
    whole, table = tmp_path / "whole.csv", tmp_path / "answers.csv"
    rim("verify", "-m", model, "--pairs", file, "--csv", whole)
    words = ("verify", "-m", model, "--pairs", file, "--csv", table)
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        assert rim(*words).exit_code == 130
    assert not table.exists()
    journal = tmp_path / ".answers.csv.answers.jsonl"
    content = journal.read_bytes()
    forged = [[3, ["x"] * 10], [4, [None] * 10], [99, [None] * 9 + ["an error"]], {}, [3]]
    nested = b"[" * 100_000
    lines = [checked_line(line) for line in forged] + [b"%08x %s\n" % (zlib.crc32(nested), nested)]
    journal.write_bytes(content + b"".join(lines) + content[-40:-20])  # the power failed in the middle of a line
    with monkeypatch.context() as patch:
        calls = interrupted(patch, 9)
        done = rim(*words)
    assert done.exit_code == 3
    assert calls == [2, 1]
    assert "2 of 5 pairs were answered before" in done.stderr
    assert table.read_bytes() == whole.read_bytes()
    assert not journal.exists()
    again = rim(*words)
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    assert rim(*words, "--overwrite").exit_code == 3
    assert table.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("list", "was begun with another content of the list"),
        ("model", "was begun with another model"),
        ("far", "was begun with another value of --far"),
        ("aligned", "was begun with another value of --aligned"),
        ("damaged", "is damaged: remove it"),
    ],
)
def test_another_question_is_no_continuation(model, listed, tmp_path, monkeypatch, change, said):
    file, table = listed(PAIRS), tmp_path / "answers.csv"
    monkeypatch.setattr(verify_pairs, "CHUNK", 2)
    with monkeypatch.context() as patch:
        interrupted(patch, 1)
        rim("verify", "-m", model, "--pairs", file, "--csv", table)
    journal = tmp_path / ".answers.csv.answers.jsonl"
    before = journal.read_bytes()
    other, more = model, []
    if change == "list":
        listed(PAIRS[:3])
    elif change == "model":
        other = model_of(tmp_path / "other", Usage(flip=True))
    elif change == "damaged":
        journal.write_bytes(b"not ours\n" + before)
    else:
        more = ["--far", 0.1] if change == "far" else ["--aligned", "gallery"]
    words = ("verify", "-m", other, "--pairs", file, "--csv", table, *more)
    done = rim(*words)
    assert done.exit_code == 2
    assert said in done.output
    assert journal.read_bytes().endswith(before)  # nothing is lost
    assert rim(*words, "--overwrite").exit_code == 3
    assert len(table_of(table)) == (3 if change == "list" else 5)


def test_a_full_disk_is_named_and_nothing_is_lost(model, listed, tmp_path, monkeypatch):
    file, table = listed(PAIRS), tmp_path / "answers.csv"
    monkeypatch.setattr(verify_pairs, "CHUNK", 2)
    words = ("verify", "-m", model, "--pairs", file, "--csv", table)
    full, fsync = [], verify_pairs.os.fsync
    with monkeypatch.context() as patch:

        def refuse(descriptor):
            full.append(descriptor)
            if len(full) == 4:  # the file and its folder when it is made, then each chunk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        patch.setattr(verify_pairs.os, "fsync", refuse)
        done = rim(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"rim: {tmp_path}/.answers.csv.answers.jsonl: No space left on device; make room")
    again = rim(*words)
    assert again.exit_code == 3
    assert "4 of 5 pairs were answered before" in again.stderr
    assert len(table_of(table)) == 5


@pytest.mark.slow
def test_a_killed_command_goes_on(model, listed, tmp_path):
    file, table = listed([PAIRS[0]] * 3000), tmp_path / "answers.csv"
    program = (
        "import sys; from rim_lightning.commands.rim import main, verify_pairs\n"
        "verify_pairs.CHUNK = 1; sys.argv[0] = 'rim'; main.main()"
    )
    words = ["verify", "-m", model, "--pairs", file, "--csv", table]
    journal = tmp_path / ".answers.csv.answers.jsonl"
    with subprocess.Popen([sys.executable, "-c", program, *map(str, words)]) as process:
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    answered = journal.read_bytes().count(b"\n") - 1
    done = rim(*words)
    assert done.exit_code == 0
    assert f"{answered} of 3000 pairs were answered before" in done.stderr
    rows = table_of(table)
    assert len(rows) == 3000
    assert len({row["similarity"] for row in rows}) == 1


def test_a_second_command_for_the_same_table_is_refused(model, listed, tmp_path):
    """Both would add to one file of answers, and remove it when they end."""
    file, table = listed(PAIRS[:1]), tmp_path / f"{'n' * 250}.csv"[-255:]  # the longest name that a disk takes
    words = ("verify", "-m", model, "--pairs", file, "--csv", table)
    with verify_pairs._alone(table):
        done = rim(*words)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"rim: Another command answers the pairs for {table}: wait until it ends")
        assert not table.exists()
    assert rim(*words).exit_code == 0
    assert {path.name for path in tmp_path.iterdir() if "n" * 99 in path.name} == {table.name}


def test_texts_that_a_spreadsheet_would_run_are_made_harmless(model, pictures, listed, tmp_path):
    name = "=cmd|' C calc'!A0.png"
    shutil.copy(pictures / "1.png", pictures / name)
    file = listed([(name, "a/1.png", "@SUM(1)")], "probe,gallery,-note")
    assert rim("verify", "-m", model, "--pairs", file, "--csv", tmp_path / "answers.csv").exit_code == 0
    with (tmp_path / "answers.csv").open(newline="") as stream:
        header, row = csv.reader(stream)
    assert (row[0], header[2], row[2]) == (f"'{name}", "'-note", "'@SUM(1)")
    begun = [cell for cell in (*header, *row) if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert all(np.isfinite(float(cell)) for cell in begun)  # a number is none


HOSTILE = {
    "million columns": (b"probe,gallery" + b",x" * 1_000_000 + b"\n", "has 1000002 columns"),
    "a row of a million": (b"probe,gallery\n" + b"a," * 1_000_000, "line 2 has 1000001 columns"),
    "zero bytes": (b"probe,gallery\na\0,b\n", "line 2 holds a zero byte"),
    "no text": (b"probe,gallery\n\xff,b\n", "is no text in UTF-8 (line 2)"),
    "open quote": (b'probe,gallery\n"a.png,b.png\nc,d\n', "is no table"),
    "quote inside": (b'probe,gallery\n"a"x,b.png\n', "is no table"),
    "long cell": (b"probe,gallery\n" + b"a" * 200_000 + b",b\n", "is no table"),
    "long path": (b"probe,gallery\n" + b"a" * 5_000 + b",b\n", "too long for a path"),
    "empty": (b"", "has no columns 'probe' and 'gallery'"),
    "no rows": (b"probe,gallery\n", "names no pair"),
    "empty cell": (b"probe,gallery\na.png,b.png\na.png, \n", "line 3 names no gallery picture"),
    "other columns": (b"image,label\na,b\n", "its first line has image, label"),
    "twice": (b"probe,probe,gallery\na,b,c\n", "has two columns 'probe'"),
    "taken": (b"probe,gallery,error\na,b,c\n", "has a column 'error'"),
    "unnamed": (b"probe,gallery,\na,b,c\n", "has a column without a name"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_wrong_list_is_refused_before_the_model_is_loaded(tmp_path, name):
    content, said = HOSTILE[name]
    (tmp_path / "pairs.csv").write_bytes(content)
    done = rim("verify", "-m", "no such model", "--pairs", tmp_path / "pairs.csv", "--csv", tmp_path / "out.csv")
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 1_000
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.csv"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffprobe,gallery\r\n1.png,a/1.png\r\n".encode(),
        "\ufeffprobe,gallery\n1.png,a/1.png\n".encode("utf-16-le"),
        b'gallery;"probe"\n"a/1.png";1.png\n;\n\n',
        b"probe\tgallery\n 1.png \ta/1.png",
        b'\n\r\n"probe";"gallery";"a, b, c, d"\n1.png;a/1.png;x\n',
    ],
)
def test_lists_of_spreadsheets_are_read(model, pictures, content):
    file = pictures / "pairs.csv"
    file.write_bytes(content)
    plain = json.loads(rim("verify", "-m", model, "--pairs", file, "--json").stdout)
    file.unlink()
    assert [(row["probe"], row["gallery"], row["error"]) for row in plain["pairs"]] == [("1.png", "a/1.png", None)]


def test_special_files_are_errors_of_their_pairs_and_no_lists(model, pictures, listed, tmp_path):
    special = {name: path for name, path in special_files(tmp_path / "special") if "folder" not in name}
    file = listed([(str(path), "a/1.png") for path in special.values()] + [(str(tmp_path), "a/1.png"), PAIRS[0]])
    plain = json.loads(rim("verify", "-m", model, "--pairs", file, "--json").stdout)
    assert all(row["error"] for row in plain["pairs"][:-1])
    assert plain["pairs"][-1]["error"] is None
    for path in (*special.values(), tmp_path):
        done = rim("verify", "-m", model, "--pairs", path)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1), done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("1.png", "2.png", "--pairs", "pairs.csv"), "leave PROBE and GALLERY out"),
        (("--pairs", "pairs.csv", "--face", 2), "leave the choice of faces out"),
        (("--pairs", "pairs.csv", "--faces", "all"), "leave the choice of faces out"),
        (("--pairs", "pairs.csv", "--csv", "answers.txt"), "does not end in .csv"),
        (("--pairs", "pairs.csv", "--csv", "pairs.csv", "--overwrite"), "is read, and would be overwritten"),
        (("--pairs", "pairs.csv", "--overwrite"), "leave it out"),
        (("--pairs", "none.csv"), "none.csv does not exist"),
        (("1.png",), "Missing argument 'GALLERY'"),
        ((), "Missing argument 'PROBE'"),
    ],
)
def test_wrong_words_are_one_sentence(model, pictures, listed, monkeypatch, words, said):
    listed(PAIRS)
    monkeypatch.chdir(pictures)
    done = rim("verify", "-m", model, *words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", " ").split())


def test_two_pictures_and_every_face_are_rows_too(model, pictures, tmp_path):
    probe, gallery = pictures / "1.png", pictures / "a/1.png"
    for number, more in enumerate(((), ("--faces", "all"))):
        table = tmp_path / f"{number}.csv"
        done = rim("verify", "-m", model, probe, gallery, "--csv", table, "--far", 0.1, *more, "--json")
        answer = json.loads(done.stdout)
        (row,) = table_of(table)
        assert (row["probe"], row["gallery"], row["face"]) == (str(probe), str(gallery), "1")
        expected = answer["faces"][0] if more else answer
        assert float(row["similarity"]) == pytest.approx(expected["similarity"], rel=1e-5)
        assert rim("verify", "-m", model, probe, gallery, "--csv", table).exit_code == 2


def test_faces_are_rows_of_their_boxes(pictures, tmp_path):
    done = rim("faces", pictures / "a/1.png", "--csv", tmp_path / "faces.csv", "--json")
    (face,) = json.loads(done.stdout)["faces"]
    (row,) = table_of(tmp_path / "faces.csv")
    assert [float(row[name]) for name in ("x0", "y0", "x1", "y1")] == face["box"]
    assert [float(row["nose_x"]), float(row["nose_y"])] == pytest.approx(face["points"][2], rel=1e-5)
    assert (row["number"], row["turned"], row["fault"]) == ("1", "0", "")


def test_a_search_is_a_row_for_each_hit(model, pictures, tmp_path):
    pytest.importorskip("lancedb")
    index = tmp_path / "index"
    assert rim("enroll", "-m", model, "-i", index, pictures / "a").exit_code == 0
    words = ("identify", "-m", model, "-i", index, pictures / "1.png", pictures / "wall.png", "--far", 0.1)
    done = rim(*words, "--csv", tmp_path / "hits.csv", "--json")
    plain = json.loads(done.stdout)
    rows = table_of(tmp_path / "hits.csv")
    (answer,) = plain["probes"]
    assert len(rows) == len(answer["hits"]) + 1 == 3
    for rank, (row, hit) in enumerate(zip(rows, answer["hits"], strict=False), start=1):
        assert (row["probe"], row["face"], row["rank"]) == (str(pictures / "1.png"), "1", str(rank))
        assert (row["person"], row["picture"], row["state"]) == (hit["person"], hit["source"], hit["state"])
        assert row["accepted"] == ("yes" if hit["accepted"] else "no")
        for column, value in (("similarity", hit["similarity"]), ("threshold", answer["threshold"]), ("far", 0.1)):
            assert float(row[column]) == pytest.approx(value, rel=1e-5)
    assert (rows[-1]["probe"], rows[-1]["rank"]) == (str(pictures / "wall.png"), "")
    assert rows[-1]["error"] == plain["left_out"][str(pictures / "wall.png")]
    pooled = rim(*words[:5], "--pool", pictures / "a", "--csv", tmp_path / "pooled.csv")
    assert pooled.exit_code in (0, 1), pooled.output
    assert {row["probe"] for row in table_of(tmp_path / "pooled.csv")} == {str(pictures / "a")}
    assert "exists already" in rim(*words, "--csv", tmp_path / "hits.csv").output
