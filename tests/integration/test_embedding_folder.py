"""Embedding a tree of pictures gives what the recognizer gives, on any number of ranks and after any interruption."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import pytorch_lightning as pl
import torch
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.embed import main as embed_command
from rim_lightning.commands.embed import report
from rim_lightning.commands.rim.main import main
from rim_lightning.data.alignment import template
from rim_lightning.data.detection import Face
from rim_lightning.gallery import embedded_folder
from rim_lightning.gallery.embed import EmbeddingProgress, embed_folder
from rim_lightning.gallery.embedded_folder import EmbeddedFolder
from rim_lightning.gallery.enrollment import enroll, enroll_embedded
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference import default_model
from rim_lightning.inference import faces as inference_faces
from rim_lightning.inference.model_folder import write_model
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.networks.rim import RIM
from rim_lightning.runs.signals import Interrupted
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL, perturbed

ROOT = Path(__file__).resolve().parents[2]
SHARD = 4  # of 21 pictures: six files


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads on small tensors wait for each other most of the time, where others use the machine too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(seed=0):
    torch.manual_seed(seed)
    return perturbed(RIM(**MODEL)).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "mine"
    write_model(path, network(), None, {}, onnx=False)
    return path


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Six synthetic people with three pictures each, one right in the tree; one twice; and two that cannot be used."""
    folder = tmp_path_factory.mktemp("synthetic")
    store = small_synthetic_store(folder / "store", people=6, views=3, hr_size=32)
    for index, image in enumerate(store.images):
        path = folder / "tree" / f"person {index // 3}" / f"{index % 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image)).save(path)
    tree = folder / "tree"
    (tree / "person 5" / "2.png").rename(tree / "alone.png")
    shutil.copy(tree / "person 1" / "0.png", tree / "person 1" / "again.png")
    (tree / "person 2" / "cut.png").write_bytes((tree / "person 2" / "0.png").read_bytes()[:400])
    (tree / "torn.jpg").write_bytes(b"no picture")
    return tree


@pytest.fixture
def pictures(synthetic, tmp_path):
    return Path(shutil.copytree(synthetic, tmp_path / "tree"))


def embedded(pictures, output, model=None, precision="32-true", callbacks=(), **settings):
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        precision=precision,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=bool(callbacks),
        use_distributed_sampler=False,
        callbacks=list(callbacks),
    )
    settings = {"aligned": True, "shard": SHARD, "batch_size": 3} | settings
    return embed_folder(model or Recognizer(network()), pictures, output, trainer, **settings)


def rows(folder):
    """All rows, with the embeddings as an array of their own."""
    table, vectors = [], []
    for number in folder.shards:
        for row in folder.read(number).to_pylist():
            vectors.append(row.pop("embedding") or [0.0] * MODEL["recognition"]["teacher"]["embedding_size"])
            table.append(row)
    return table, torch.tensor(vectors)


def assert_same_rows(first, second, tolerance=1e-6):
    (a, x), (b, y) = rows(first), rows(second)
    assert a == b
    assert len(a) == 21
    torch.testing.assert_close(x, y, atol=tolerance, rtol=0)


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.path.glob("*.parquet")}


@pytest.mark.parametrize("side", ["gallery", "probe"])
def test_the_rows_are_what_the_recognizer_says(pictures, tmp_path, side):
    model = Recognizer(network())
    folder = embedded(pictures, tmp_path / "out", model, side=side)
    table, vectors = rows(folder)
    good = [index for index, row in enumerate(table) if row["left_out"] is None]
    paths = [pictures / table[index]["source"] for index in good]
    embed = model.embed_gallery if side == "gallery" else model.embed_probes
    torch.testing.assert_close(vectors[good], embed(paths, aligned=True), atol=1e-6, rtol=0)
    assert [row["source"] for row in table] == sorted(
        (str(path.relative_to(pictures)) for path in pictures.rglob("*.*")), key=lambda name: Path(name).parts
    )
    assert {row["person"] for row in table} == {*(f"person {n}" for n in range(6)), "alone", None}
    assert all(row["size"] == 40 and row["faces"] == 0 for row in table if row["left_out"] is None)
    digests = [row["digest"] for row in table if row["source"] in ("person 1/0.png", "person 1/again.png")]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]
    assert len(pq.read_table(folder.path)) == 21  # what any reader of Parquet makes of the folder


def test_a_picture_that_cannot_be_used_is_named_and_the_rest_is_done(pictures, tmp_path):
    (pictures / "person 3" / "wide.png").write_bytes((pictures / "alone.png").read_bytes())
    Image.new("RGB", (40, 20)).save(pictures / "person 3" / "wide.png")
    (pictures / "person 3" / "gone.png").symlink_to(pictures / "nowhere.png")
    os.mkdir(os.fsencode(pictures) + b"/\xff")
    shutil.copy(os.fsencode(pictures / "alone.png"), os.fsencode(pictures) + b"/\xff/a.png")
    folder = embedded(pictures, tmp_path / "out", batch_size=1)  # a batch without any face, too
    left_out = folder.left_out()
    reasons = {
        "person 2/cut.png": "person 2/cut.png is damaged or incomplete",
        "person 3/wide.png": "person 3/wide.png is 40 x 20 pixels: an aligned face is square",
        "person 3/gone.png": "person 3/gone.png is a link to a missing file",
        "torn.jpg": "torn.jpg is not an image of a known format",
        "'\\udcff/a.png'": "is not UTF-8 text: rename the file or folder",
    }
    assert left_out.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in left_out[name]
    assert sum(row["left_out"] is None for row in rows(folder)[0]) == 19


@pytest.mark.parametrize("workers", [0, 2])
def test_faces_are_found_in_the_workers(pictures, tmp_path, monkeypatch, workers):
    """By a detector that knows where the face is, sees two in some pictures, and none in others."""
    face = Face(np.zeros(4), template(32) * 0.7 + 6, 1.0)

    def find(images, *sides):
        marks = [int(image.sum()) % 7 for image in images]
        return [[] if mark == 0 else [face] * (2 if mark == 1 else 1) for mark in marks]

    monkeypatch.setattr(inference_faces, "find_faces", find)
    model = Recognizer(network())
    table, vectors = rows(embedded(pictures, tmp_path / "out", model, aligned=False, workers=workers))
    assert len({row["faces"] for row in table if row["left_out"] is None}) == 2
    assert any("shows no face that could be found" in (row["left_out"] or "") for row in table)
    for row, vector in zip(table, vectors, strict=True):
        if row["left_out"] is None:
            (aligned,) = model.align(pictures / row["source"])
            assert (row["faces"], row["size"]) == (aligned.faces, pytest.approx(aligned.size, rel=1e-6))
            torch.testing.assert_close(vector, model.embed_gallery([aligned])[0], atol=1e-6, rtol=0)


def test_a_resumed_run_does_what_is_missing_and_nothing_twice(pictures, tmp_path, monkeypatch):
    whole = embedded(pictures, tmp_path / "whole")
    model, batches = Recognizer(network()), []
    embed = model.rim.embed_gallery
    monkeypatch.setattr(model.rim, "embed_gallery", lambda faces: (batches.append(len(faces)), embed(faces))[1])
    replace = os.replace

    def die_at_the_third(part, file):
        if "000002" in str(file):
            raise KeyError("as if killed")
        replace(part, file)

    monkeypatch.setattr(os, "replace", die_at_the_third)
    with pytest.raises(KeyError):
        embedded(pictures, tmp_path / "out", model)
    monkeypatch.undo()
    monkeypatch.setattr(model.rim, "embed_gallery", lambda faces: (batches.append(len(faces)), embed(faces))[1])
    before = written(EmbeddedFolder(tmp_path / "out"))
    assert sorted(before) == ["embeddings_000000.parquet", "embeddings_000001.parquet"]
    batches.clear()
    folder = embedded(pictures, tmp_path / "out", model)
    assert sum(batches) == sum(row["left_out"] is None for row in rows(folder)[0][2 * SHARD :])
    assert {name: time for name, time in written(folder).items() if name in before} == before
    assert_same_rows(folder, whole)
    batches.clear()
    times = written(folder)
    assert embedded(pictures, tmp_path / "out", model).missing() == []
    assert not batches
    assert written(folder) == times


def test_the_bar_counts_the_pictures_that_are_left(pictures, tmp_path, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, total, shown, **options):
            self.total, self.shown, self.done, self.closed = total, shown, 0, False
            bars.append(self)

        def update(self, pictures):
            self.done += pictures

        def close(self):
            self.closed = True

    monkeypatch.setattr("rim_lightning.gallery.embed.progress_bar", Bar)
    folder = embedded(pictures, tmp_path / "out", callbacks=[EmbeddingProgress()])
    folder.file(1).unlink()
    embedded(pictures, tmp_path / "out", callbacks=[EmbeddingProgress()])
    assert [(bar.total, bar.done, bar.shown, bar.closed) for bar in bars] == [(21, 21, True, True), (4, 4, True, True)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": 1}, "was begun with model=[0-9a-f]{16}, this is model=[0-9a-f]{16}: repeat the command that it was"),
        (
            {"side": "probe"},
            "was begun with side=gallery, this is side=probe: repeat the command that it was begun",
        ),
        ({"aligned": False}, "was begun with aligned=True, this is aligned=False"),
        ({"shard": 5}, "was begun with shard=4, this is shard=5"),
        ({"precision": "bf16-mixed"}, "was begun with precision=32-true, this is precision=bf16-mixed"),
        ({"side": "both"}, "side is both: choose from gallery, probe"),
        ({"batch_size": 0}, "shard and batch_size must be at least 1 and workers at least 0, got [0-9]+, 0 and"),
    ],
)
def test_another_run_is_refused_in_its_folder(synthetic, begun, settings, sentence):
    model = Recognizer(network(settings.pop("model"))) if "model" in settings else None
    times = written(begun)
    with pytest.raises(ValueError, match=sentence):
        embedded(synthetic, begun.path, model, **settings)
    assert written(begun) == times


@pytest.fixture(scope="module")
def begun(synthetic, tmp_path_factory):
    return embedded(synthetic, tmp_path_factory.mktemp("begun") / "out")


def test_other_pictures_are_refused(pictures, tmp_path):
    folder = embedded(pictures, tmp_path / "out")
    (pictures / "alone.png").rename(pictures / "renamed.png")
    with pytest.raises(ValueError, match=r"was begun with 21 pictures, but .*tree now holds other pictures \(21\)"):
        embedded(pictures, folder.path)
    (pictures / "renamed.png").rename(pictures / "alone.png")
    shutil.copy(pictures / "alone.png", pictures / "new.png")
    with pytest.raises(ValueError, match=r"now holds other pictures \(22\): choose another output"):
        embedded(pictures, folder.path)
    (pictures / "new.png").unlink()
    shutil.move(pictures, tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"was begun with pictures=.*tree, this is pictures=.*elsewhere"):
        embedded(tmp_path / "elsewhere", folder.path)


def test_a_folder_of_something_else_is_no_output(pictures, tmp_path):
    with pytest.raises(ValueError, match="holds something other than embeddings: choose another output"):
        embedded(pictures, pictures)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / embedded_folder.MANIFEST).write_text("{")
    with pytest.raises(
        ValueError, match=r"_embedding.json is damaged, it is no JSON file .*: embed the pictures again"
    ):
        embedded(pictures, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"holds no embeddings: it has no _embedding.json"):
        EmbeddedFolder(pictures)


def test_pictures_that_were_replaced_are_embedded_again(pictures, tmp_path):
    """With the same size and date; a picture that could not be used, too. Other files stay."""
    folder = embedded(pictures, tmp_path / "out")
    before = written(folder)
    target, other = pictures / "person 3" / "1.png", pictures / "person 4" / "1.png"
    content = other.read_bytes()
    status = target.stat()
    target.write_bytes(content)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    shutil.copy(other, pictures / "torn.jpg")
    with pytest.raises(
        ValueError, match=r"1 pictures have changed since rim-embed wrote .*: repeat the command of rim-"
    ):
        enroll_embedded(Gallery(tmp_path / "index", folder.manifest.model, 16, create=True), folder)
    again = embedded(pictures, tmp_path / "out")
    after = written(again)
    assert sum(before[name] != after[name] for name in before) == 2
    assert_same_rows(again, embedded(pictures, tmp_path / "fresh"))
    assert list(again.left_out()) == ["person 2/cut.png"]


def test_other_pictures_are_named(pictures, tmp_path):
    embedded(pictures, tmp_path / "out")
    (pictures / "alone.png").rename(pictures / "lonely.png")
    with pytest.raises(
        ValueError, match=r"restore the pictures \(1 new, the first is lonely.png; 1 gone, the first is alone.png\)"
    ):
        embedded(pictures, tmp_path / "out")


def test_a_full_disk_leaves_the_finished_files_whole(pictures, tmp_path, monkeypatch):
    synced = []

    def full_at_the_third(file):
        if ".parquet" in os.readlink(f"/proc/self/fd/{file}"):  # not those of other files
            synced.append(file)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full_at_the_third)
    with pytest.raises(OSError, match=r"000002.parquet could not be written \(No space left on device\); the finished"):
        embedded(pictures, tmp_path / "out")
    folder = EmbeddedFolder(tmp_path / "out")
    assert folder.missing() == [2, 3, 4, 5]
    assert all(len(folder.read(number)) == SHARD for number in (0, 1))
    assert not list(folder.path.glob(".*"))
    assert_same_rows(embedded(pictures, tmp_path / "out"), embedded(pictures, tmp_path / "whole"))


def test_a_disk_of_pictures_that_goes_away_ends_the_run(pictures, tmp_path, monkeypatch):
    """Its pictures are not taken for pictures that cannot be used."""
    replace = os.replace

    def unplug(part, file):
        replace(part, file)
        if "000001" in str(file):
            pictures.rename(tmp_path / "unplugged")

    monkeypatch.setattr(os, "replace", unplug)
    with pytest.raises(FileNotFoundError, match=r"The folder .* is gone. The finished files are untouched"):
        embedded(pictures, tmp_path / "out")
    assert EmbeddedFolder(tmp_path / "out").missing() == [2, 3, 4, 5]
    monkeypatch.undo()
    (tmp_path / "unplugged").rename(pictures)
    assert len(embedded(pictures, tmp_path / "out").left_out()) == 2


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_ends_the_run_at_once(pictures, tmp_path, monkeypatch, signum):
    handler = signal.getsignal(signum)
    replace = os.replace

    def stopped(part, file):
        replace(part, file)
        if "000001" in str(file):
            signal.raise_signal(signum)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(Interrupted, match=f"stopped by {signum.name}; the finished files stay") as stop:
        embedded(pictures, tmp_path / "out")
    assert stop.value.signum == signum
    assert signal.getsignal(signum) == handler
    assert EmbeddedFolder(tmp_path / "out").missing() == [2, 3, 4, 5]


def content_of(gallery, probes):
    """Templates and answers of a gallery."""
    hits = [[(hit.person, hit.source) for hit in of_probe] for of_probe in gallery.search(probes, 4)]
    scores = [hit.similarity for of_probe in gallery.search(probes, 4) for hit in of_probe]
    rows = sorted(row._replace(enrolled=None) for row in gallery.enrolled())
    return (len(gallery), gallery.people(), rows, hits), torch.tensor(scores)


def test_enrolling_the_embeddings_is_enrolling_the_pictures(pictures, tmp_path):
    pytest.importorskip("lancedb")
    Image.new("RGB", (12, 12), "red").save(pictures / "person 0" / "small.png")
    model = Recognizer(network())
    folder = embedded(pictures, tmp_path / "out", model)
    galleries = [Gallery(tmp_path / name, model.fingerprint, 16, create=True) for name in ("pictures", "embeddings")]
    done = enroll(model, galleries[0], pictures, aligned=True)
    assert enroll_embedded(galleries[1], folder) == (19, 1, 0, 1, 2, [], 0)
    numbers = (done.added, done.already_enrolled, len(done.several), len(done.small), len(done.left_out))
    again = Gallery(tmp_path / "embeddings", model.fingerprint, 16)
    probes = model.embed_probes(sorted((pictures / "person 4").iterdir()), aligned=True)
    (first, scores), (second, others) = content_of(galleries[0], probes), content_of(again, probes)
    assert first == second
    torch.testing.assert_close(scores, others, atol=1e-5, rtol=0)
    assert numbers == (19, 1, 0, 1, 2)


def test_embeddings_that_are_no_templates_are_refused(pictures, begun, tmp_path):
    pytest.importorskip("lancedb")
    gallery = Gallery(tmp_path / "index", begun.manifest.model, 16, create=True)
    with pytest.raises(ValueError, match="holds embeddings of probes, a gallery those of sharp pictures"):
        enroll_embedded(gallery, embedded(pictures, tmp_path / "probes", side="probe"))
    other = Gallery(tmp_path / "other", "abc", 16, create=True)
    with pytest.raises(ValueError, match=r"was made by the model .*, not by abc: embeddings of two models do not mix"):
        enroll_embedded(other, begun)
    folder = embedded(pictures, tmp_path / "out")
    content = folder.file(3).read_bytes()
    for damage in (content[:-100], content[:200] + bytes(100) + content[300:], b""):
        folder.file(3).write_bytes(damage)
        with pytest.raises(ValueError, match=r"embeddings_000003.parquet is missing or damaged: remove it, then"):
            enroll_embedded(Gallery(tmp_path / "fresh", begun.manifest.model, 16, create=True), folder)
    folder.file(3).unlink()
    with pytest.raises(ValueError, match="is not finished, 1 of 6 files are missing: repeat the command of rim-embed"):
        enroll_embedded(gallery, folder)
    assert enroll_embedded(gallery, embedded(pictures, tmp_path / "out")).added == 18


def test_aligned_of_faces_that_were_searched_for_is_refused(begun, tmp_path):
    pytest.importorskip("lancedb")
    shutil.copytree(begun.path, tmp_path / "out")
    manifest = json.loads((begun.path / embedded_folder.MANIFEST).read_text()) | {"aligned": False}
    (tmp_path / "out" / embedded_folder.MANIFEST).write_text(json.dumps(manifest))
    refused = CliRunner().invoke(main, ["enroll", "-i", str(tmp_path / "index"), str(tmp_path / "out"), "--aligned"])
    assert refused.exit_code == 2
    assert "holds embeddings of faces that were searched for: leave --aligned out" in refused.stderr
    assert not (tmp_path / "index").exists()


def test_rim_enroll_takes_embeddings(begun, model, tmp_path, monkeypatch):
    pytest.importorskip("lancedb")
    write_model(tmp_path / "other", network(1), None, {}, onnx=False)

    def enroll(*words):
        return CliRunner().invoke(main, ["enroll", "-i", str(tmp_path / "index"), *map(str, words)])

    refused = enroll("-m", tmp_path / "other", begun.path)
    assert refused.exit_code == 2
    assert "embeddings of two models do not mix" in refused.stderr
    assert not (tmp_path / "index").exists()
    for words, sentence in (
        (("--face", 2), "holds embeddings of the largest faces: leave --face and --box out"),
        (("--box", "1,1,9,9", "--dry-run"), "leave --face and --box out"),
    ):
        refused = enroll(begun.path, *words)
        assert refused.exit_code == 2
        assert sentence in refused.stderr
    dry = enroll(begun.path, "--dry-run")
    assert "18 pictures are new, 1 are known" in dry.stdout
    assert not (tmp_path / "index").exists()
    done = enroll(begun.path)
    assert done.exit_code == 3
    assert "18 pictures added, 1 were known; 7 people in" in done.stdout
    assert "pictures that rim-embed has left out: 2" in done.stderr
    again = json.loads(enroll("-m", model, begun.path, "--json").stdout)
    numbers = {"added": 0, "known": 19, "several": 0, "small": 0, "left_out": 2, "templates": 18, "people": 7}
    assert numbers.items() <= again.items()
    monkeypatch.setattr(default_model, "SHIPPED", tmp_path / "nowhere")
    missing = enroll(begun.manifest.pictures)
    assert missing.exit_code == 2
    assert "Missing option '--model'" in missing.stderr


SETTINGS = ["aligned=true", f"shard={SHARD}", "batch_size=3", "workers=1"]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.benchmark=false"]


def command(model, pictures, output, *settings):
    return [f"checkpoint={model}", f"pictures={pictures}", f"output={output}", *SETTINGS, *settings]


def run(*words):
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)


def embed_here(monkeypatch, capsys, *words):
    """Run the command in this process: whether it failed, its standard output, and its sentence."""
    monkeypatch.setattr("sys.argv", ["rim-embed", *words, "workers=0"])
    try:
        embed_command()
    except SystemExit as end:  # Python prints the sentence and ends with 1
        return True, capsys.readouterr().out, str(end.code)
    return False, *capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("side", ["gallery", "probe"])
@pytest.mark.parametrize("aligned", ["true", "both", "gallery", "probe", "false"])
def test_the_command_reads_the_aligned_side(model, pictures, tmp_path, monkeypatch, capsys, side, aligned):
    words = (f"checkpoint={model}", f"pictures={pictures}", f"output={tmp_path / 'out'}", f"side={side}")
    failed, _, wrong = embed_here(monkeypatch, capsys, *words, f"aligned={aligned}")
    if aligned not in ("true", "both", "false", side):
        assert failed
        assert f"aligned={aligned}, but only side={side} is embedded: set aligned={side} or false." in wrong
        assert not (tmp_path / "out").exists()
        return
    assert not failed, wrong
    table, _ = rows(EmbeddedFolder(tmp_path / "out"))
    searched = {row["faces"] == 0 for row in table if row["left_out"] is None}
    assert searched == {aligned != "false"}
    other = "false" if aligned != "false" else "true"
    failed, _, wrong = embed_here(monkeypatch, capsys, *words, f"aligned={other}")
    assert failed
    assert f"was begun with aligned={aligned != 'false'}, this is aligned={other == 'true'}" in wrong


def test_an_output_inside_the_tree_is_not_named(pictures):
    (pictures / "notes.txt").write_text("mine")
    folder = embedded(pictures, pictures / "out")
    for _ in range(2):
        printed = report(folder)
        listed = (pictures / "out" / "_left_out.tsv").read_text().splitlines()
        assert [line.split("\t")[0] for line in listed] == ["person 2/cut.png", "torn.jpg", "notes.txt"]
        assert not (pictures / "out" / "_notes.tsv").exists()
        assert "out/" not in printed.partition("\n")[2]


def test_a_finished_folder_on_a_disk_that_is_read_only(begun, monkeypatch):
    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("rim_lightning.data.unused.write_text", read_only)
    (begun.path / "_left_out.tsv").unlink(missing_ok=True)
    assert "19 of 21 pictures embedded, 2 left out" in report(begun)


def test_new_pictures_of_an_embedded_tree_are_enrolled_alone(model, pictures, tmp_path):
    pytest.importorskip("lancedb")
    recognizer = Recognizer.from_checkpoint(model)
    folder = embedded(pictures, tmp_path / "out", recognizer)
    index = Gallery(tmp_path / "index", recognizer.fingerprint, recognizer.embedding_size, create=True)
    enroll_embedded(index, folder)
    Image.new("RGB", (40, 40), "gray").save(pictures / "person 1" / "new.png")
    with pytest.raises(ValueError, match="New ones alone are embedded by rim enroll --model"):
        embedded(pictures, tmp_path / "out", recognizer)
    done = enroll(recognizer, index, pictures, aligned=True)
    assert (done.added, done.already_enrolled, done.differences) == (1, 19, [])


@pytest.mark.parametrize("aligned", ["wrong", "null", "yes", "[probe]", "2"])
def test_another_word_for_the_aligned_side_is_refused(pictures, tmp_path, monkeypatch, capsys, aligned):
    words = ("checkpoint=no_model", f"pictures={pictures}", f"output={tmp_path / 'out'}", f"aligned={aligned}")
    failed, _, wrong = embed_here(monkeypatch, capsys, *words)
    assert failed
    assert "it must be true or false, or one of probe, gallery, both." in wrong
    assert len(wrong.splitlines()) == 1


def test_turned_pictures_and_several_faces_are_named(model, tmp_path, monkeypatch, capsys):
    pytest.importorskip("lancedb")
    store = small_synthetic_store(tmp_path / "store", people=6, views=1, hr_size=96)
    upright = np.pad(np.asarray(store.images[0]), ((40, 40), (40, 40), (0, 0)), constant_values=120)
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, picture in {
        "a": np.rot90(upright),
        "b": np.rot90(upright, 2),
        "c": upright,
        "d": np.concatenate([upright, upright[:, ::-1]], 1),
    }.items():
        Image.fromarray(np.ascontiguousarray(picture)).save(tree / f"{name}.png")
    words = (f"checkpoint={model}", f"pictures={tree}", f"output={tmp_path / 'out'}")
    failed, printed, wrong = embed_here(monkeypatch, capsys, *words)
    assert not failed, wrong
    notes = {
        "d.png": "shows several faces: the largest was taken",
        "a.png": "shows the face turned: the picture was turned by 90° clockwise",
        "b.png": "shows the face turned: the picture was turned by 180° clockwise",
    }
    assert {f"  {name} {note}" for name, note in notes.items()} <= set(printed.splitlines())
    folder = EmbeddedFolder(tmp_path / "out")
    assert dict(line.split("\t") for line in (folder.path / "_notes.tsv").read_text().splitlines()) == notes
    assert [row["turned"] for row in rows(folder)[0]] == [90, 180, 0, 0]
    enrolled = CliRunner().invoke(main, ["enroll", "-i", str(tmp_path / "known"), str(folder.path)])
    assert "pictures that were turned, because their face lies on its side: 2" in enrolled.stderr
    assert "pictures with several faces, of which the largest was taken: 1" in enrolled.stderr


def test_files_without_a_column_of_turns_are_read(begun, tmp_path):
    """As an earlier version wrote them."""
    folder = EmbeddedFolder(shutil.copytree(begun.path, tmp_path / "out"))
    for number in folder.shards:
        table = pq.read_table(folder.file(number)).drop_columns(["turned"])
        pq.write_table(table, folder.file(number), write_page_checksum=True)
    now, before = rows(begun)[0], rows(folder)[0]
    assert [row.pop("turned") for row in before] == [None] * 21
    for row in now:
        row.pop("turned")
    assert before == now
    assert list(before[0]) == list(now[0])
    assert folder.notes() == {}
    assert folder.read(0, ["source", "turned"]).column_names == ["source", "turned"]
    assert not folder.needs_work()


@pytest.mark.slow
def test_two_ranks_write_the_rows_of_one_process(model, synthetic, begun, tmp_path):
    """Started by torchrun, with three files each, the last one shorter; and with one file for both of them."""
    torchrun = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "rim_lightning.commands.embed",
    ]
    done = run(*torchrun, *command(model, synthetic, tmp_path / "out", *TWO))
    assert done.returncode == 0, done.stderr
    assert "19 of 21 pictures embedded, 2 left out" in done.stdout
    assert "torn.jpg is not an image" in done.stdout
    assert_same_rows(EmbeddedFolder(tmp_path / "out"), begun)
    single = run(*torchrun, *command(model, synthetic, tmp_path / "single", *TWO, "shard=21"))
    assert single.returncode == 0, single.stderr
    assert_same_rows(EmbeddedFolder(tmp_path / "single"), begun)


@pytest.mark.slow
def test_lightning_starts_the_other_rank_and_waits_for_it(model, synthetic, begun, tmp_path):
    """It resumes what an earlier run left: one file for the first process, two for the other."""
    call = ("-m", "rim_lightning.commands.embed", *command(model, synthetic, tmp_path / "out", *TWO))
    shutil.copytree(begun.path, tmp_path / "out")
    folder = EmbeddedFolder(tmp_path / "out")
    for number in (1, 3, 4):
        folder.file(number).unlink()
    before = written(folder)
    done = run(*call)
    assert done.returncode == 0, done.stderr
    assert_same_rows(folder, begun)
    assert before.items() <= written(folder).items()


DIES = """
import os, signal, sys
replace, done = os.replace, []
def die_at_the_third(part, file):
    done.append(file)
    if len(done) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(part, file)
os.replace = die_at_the_third
from rim_lightning.commands.embed import main
main()
"""


@pytest.mark.slow
def test_killed_while_it_writes_it_resumes_with_the_same_command(model, synthetic, begun, tmp_path):
    call = command(model, synthetic, tmp_path / "out")
    assert run("-c", DIES, *call).returncode == -signal.SIGKILL
    folder = EmbeddedFolder(tmp_path / "out")
    assert folder.missing() == [2, 3, 4, 5]
    assert len(list(folder.path.glob(".*.part"))) == 1
    before = written(folder)
    done = run("-m", "rim_lightning.commands.embed", *call)
    assert done.returncode == 0, done.stderr
    assert_same_rows(folder, begun)
    assert before.items() <= written(folder).items()
    assert not list(folder.path.glob(".*"))


FULL = """
import os, resource
replace, done = os.replace, []
def full_after_the_second(part, file):
    replace(part, file)
    done.append(file)
    if len(done) == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
os.replace = full_after_the_second
from rim_lightning.commands.embed import main
main()
"""


@pytest.mark.slow
def test_a_file_that_cannot_be_written_gets_a_sentence(model, synthetic, begun, tmp_path):
    done = run("-c", FULL, *command(model, synthetic, tmp_path / "out", "+trainer.enable_progress_bar=false"))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    sentence = r"rim-embed: .*embeddings_000002.parquet could not be written \(File too large\); the finished files are"
    assert re.search(sentence, done.stderr), done.stderr
    folder = EmbeddedFolder(tmp_path / "out")
    assert folder.missing() == [2, 3, 4, 5]
    assert not list(folder.path.glob(".*"))
    for number in (0, 1):
        assert folder.read(number).drop_columns(["embedding"]) == begun.read(number).drop_columns(["embedding"])
