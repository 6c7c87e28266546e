"""A gallery is what its folder is: by the commands, as a user changes the folder."""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Queue

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.gallery.enrollment import enroll
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.recognizer import Recognizer
from rim_lightning.locks import process_lock
from tests.integration.test_cli import model_folder

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "mine")


def picture(path, seed):
    """Write a picture of 12 px. All have the same number of bytes, as pictures in a plain format have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def site(tmp_path):
    """Two pictures of ana, one each of ben and zoe."""
    for seed, name in enumerate(("ana/1.bmp", "ana/2.bmp", "ben/1.bmp", "zoe/1.bmp")):
        picture(tmp_path / "site" / name, seed)
    return tmp_path / "site"


@pytest.fixture
def rim(model, tmp_path):
    """rim("enroll", folder, ...) calls the command with the model, the gallery and --aligned."""

    def call(command, *words, aligned=True):
        options = {"enroll": ["-m", model], "identify": ["-m", model]}.get(command.split()[0], [])
        options += ["--aligned"] if aligned and options else []
        words = [*command.split(), "-i", tmp_path / "index", *options, *words]
        return CliRunner().invoke(main, [str(word) for word in words])

    return call


@pytest.fixture
def enrolled(rim, site):
    done = rim("enroll", site)
    assert done.exit_code == 0, done.output
    return site


def templates(tmp_path):
    """(person, path in the folder) of every template."""
    return sorted(
        (row.person, os.path.relpath(row.source, row.root)) for row in Gallery(tmp_path / "index", None).enrolled()
    )


def kinds(done):
    return sorted(difference["kind"] for difference in json.loads(done.stdout)["differences"])


def embedding_error(model, tmp_path):
    """Largest difference between a template and the embedding of the file that it names."""
    gallery, recognizer = Gallery(tmp_path / "index", None), Recognizer.from_checkpoint(model)
    rows = gallery._table.search().limit(len(gallery)).to_arrow().to_pylist()
    stored = torch.tensor([row["embedding"] for row in rows])
    return float((stored - recognizer.embed_gallery([row["source"] for row in rows], aligned=True)).abs().max())


def on_disk(tmp_path):
    return b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())


def test_a_picture_that_was_replaced_is_never_kept_in_silence(rim, enrolled, model, tmp_path):
    """A stranger's picture takes ana's path, with the same size and date: what rsync -t and cp -p do."""
    target = enrolled / "ana" / "1.bmp"
    status = target.stat()
    old = Gallery(tmp_path / "index", None).enrolled()
    picture(target, 99)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert target.stat().st_size == status.st_size
    told = rim("enroll", enrolled)
    assert told.exit_code == 3
    assert f"replaced: {target}, enrolled as ana on " in told.stderr
    assert "--sync makes the gallery what the folder is" in told.stderr
    assert Gallery(tmp_path / "index", None).enrolled() == old
    shown = rim("identify", target, "--top", 4, "--json")
    states = {hit["person"]: hit["state"] for hit in json.loads(shown.stdout)["probes"][0]["hits"]}
    assert set(states) == {"ana", "ben", "zoe"}
    assert {states["ben"], states["zoe"]} == {"unchanged"}
    assert "CHANGED since it was enrolled" in rim("gallery list", "ana").stdout
    synced = rim("enroll", enrolled, "--sync")
    assert synced.exit_code == 0, synced.output
    assert "put right in the gallery: 1 replaced" in synced.stdout
    assert embedding_error(model, tmp_path) < 1e-5
    assert len(templates(tmp_path)) == 4
    assert "CHANGED" not in rim("gallery list").stdout


def test_everything_that_can_happen_to_a_folder(rim, enrolled, model, tmp_path):
    picture(enrolled / "ana" / "1.bmp", 50)  # replaced
    (enrolled / "ana" / "2.bmp").rename(enrolled / "ana" / "two.bmp")  # renamed
    (enrolled / "eve").mkdir()
    (enrolled / "ben" / "1.bmp").rename(enrolled / "eve" / "1.bmp")  # of another person
    (enrolled / "zoe" / "1.bmp").unlink()  # removed
    picture(enrolled / "zoe" / "new.bmp", 51)  # new
    expected = ["moved", "removed", "renamed", "replaced"]
    before = on_disk(tmp_path)
    dry = rim("enroll", enrolled, "--dry-run", "--json")
    assert dry.exit_code == 3
    assert kinds(dry) == expected
    assert json.loads(dry.stdout)["new"] == [str(enrolled / "zoe" / "new.bmp")]
    assert on_disk(tmp_path) == before
    told = rim("enroll", enrolled, "--json")
    assert (told.exit_code, kinds(told), json.loads(told.stdout)["added"]) == (3, expected, 1)
    synced = rim("enroll", enrolled, "--sync", "--json")
    assert (synced.exit_code, kinds(synced), json.loads(synced.stdout)["added"]) == (0, expected, 3)
    assert templates(tmp_path) == [
        ("ana", "ana/1.bmp"),
        ("ana", "ana/two.bmp"),
        ("eve", "eve/1.bmp"),
        ("zoe", "zoe/new.bmp"),
    ]
    assert embedding_error(model, tmp_path) < 1e-5
    again = rim("enroll", enrolled, "--sync", "--json")
    assert (again.exit_code, kinds(again), json.loads(again.stdout)["added"]) == (0, [], 0)
    assert str(enrolled / "ben").encode() not in on_disk(tmp_path)  # gone from the disk, not only from the answers


def test_the_same_dry_run_needs_no_model_and_makes_no_gallery(site, tmp_path):
    words = ["enroll", "--index", tmp_path / "index", site, "--aligned", "--dry-run"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "4 pictures are new, 0 are known" in done.stdout
    assert not (tmp_path / "index").exists()


def test_two_pictures_that_change_places(rim, enrolled, model, tmp_path):
    first, second = enrolled / "ana" / "1.bmp", enrolled / "ben" / "1.bmp"
    first.rename(tmp_path / "x.bmp")
    second.rename(first)
    (tmp_path / "x.bmp").rename(second)
    assert kinds(rim("enroll", enrolled, "--json")) == ["replaced", "replaced"]
    assert rim("enroll", enrolled, "--sync").exit_code == 0
    assert embedding_error(model, tmp_path) < 1e-5


def test_a_replacement_that_cannot_be_used_removes_the_template(rim, enrolled, tmp_path):
    (enrolled / "ana" / "1.bmp").write_bytes(b"")
    done = rim("enroll", enrolled, "--sync")
    assert done.exit_code == 3
    assert "1.bmp is empty" in done.stderr
    assert ("ana", "ana/1.bmp") not in templates(tmp_path)


def test_a_picture_that_cannot_be_read_keeps_its_template(rim, enrolled, tmp_path, monkeypatch):
    from rim_lightning.gallery import folder_pictures

    read = folder_pictures.content_digest

    def refused(path):
        if str(path).endswith("ben/1.bmp"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(folder_pictures, "content_digest", refused)
    done = rim("enroll", enrolled, "--sync")
    assert done.exit_code == 3
    assert "ben/1.bmp: Permission denied" in done.stderr
    assert len(templates(tmp_path)) == 4


def test_folders_do_not_remove_each_other(rim, enrolled, tmp_path):
    picture(tmp_path / "other" / "max" / "1.bmp", 70)
    assert rim("enroll", tmp_path / "other").exit_code == 0
    assert rim("enroll", enrolled, "--sync").exit_code == 0
    assert len(templates(tmp_path)) == 5
    shutil.rmtree(tmp_path / "other" / "max")
    assert "holds no image" in rim("enroll", tmp_path / "other", "--sync").output  # an unmounted disk is empty, too
    assert len(templates(tmp_path)) == 5
    assert rim("forget", "--folder", tmp_path / "other").exit_code == 0
    assert len(templates(tmp_path)) == 4


def test_a_folder_that_was_moved(rim, enrolled, tmp_path):
    enrolled.rename(tmp_path / "elsewhere")
    told = rim("enroll", tmp_path / "elsewhere", "--json")
    assert (told.exit_code, kinds(told)) == (3, ["renamed"] * 4)
    assert rim("enroll", tmp_path / "elsewhere", "--sync").exit_code == 0
    rows = Gallery(tmp_path / "index", None).enrolled()
    assert {row.root for row in rows} == {str(tmp_path / "elsewhere")}
    assert len(rows) == 4


@pytest.mark.parametrize("first", [True, False])
def test_another_way_of_reading_is_noticed(rim, site, tmp_path, monkeypatch, first):
    face = Recognizer.align
    monkeypatch.setattr(Recognizer, "align", lambda self, source, aligned=False, name=None: face(self, source, True))
    assert rim("enroll", site, aligned=first).exit_code == 0
    rows = Gallery(tmp_path / "index", None).enrolled()
    assert {row.alignment for row in rows} == {"aligned" if first else "detected"}
    done = rim("enroll", site, aligned=not first)
    assert done.exit_code == 2
    before, now = ("with", "without") if first else ("without", "with")
    advice = "add --aligned" if first else "leave --aligned out"
    assert f"were enrolled {before} --aligned, this command is {now} it: {advice}, or add --sync" in done.output
    assert Gallery(tmp_path / "index", None).enrolled() == rows
    done = rim("enroll", site, "--sync", "--json", aligned=not first)
    assert (done.exit_code, kinds(done)) == (0, ["made differently"] * 4)
    assert {row.alignment for row in Gallery(tmp_path / "index", None).enrolled()} == {
        "detected" if first else "aligned"
    }


def test_another_face_of_the_pictures_is_noticed(rim, site, tmp_path, monkeypatch):
    face = Recognizer.align
    monkeypatch.setattr(Recognizer, "align", lambda self, source, *_, **__: face(self, source, True))
    assert rim("enroll", site, "--face", 1, aligned=False).exit_code == 0
    assert rim("enroll", site, aligned=False).exit_code == 0  # the largest is the first
    done = rim("enroll", site, "--face", 2, aligned=False)
    assert done.exit_code == 2
    assert "were enrolled with another choice of the face (detected): give the same --face or --box" in done.output
    done = rim("enroll", site, "--face", 2, "--sync", "--json", aligned=False)
    assert (done.exit_code, kinds(done)) == (0, ["made differently"] * 4)
    assert {row.alignment for row in Gallery(tmp_path / "index", None).enrolled()} == {"detected, face 2"}


def test_another_detector_is_noticed(rim, site, model, tmp_path, monkeypatch):
    face = Recognizer.align
    monkeypatch.setattr(Recognizer, "align", lambda self, source, *_, **__: face(self, source, True))
    recognizer = Recognizer.from_checkpoint(model)
    recognizer.aligner = replace(recognizer.aligner, detector="mtcnn")
    enroll(recognizer, Gallery(tmp_path / "index", recognizer.fingerprint, recognizer.embedding_size, True), site)
    rows = Gallery(tmp_path / "index", None).enrolled()
    assert [row.detector for row in rows] == ["mtcnn"] * 4
    done = rim("enroll", site, aligned=False)
    assert done.exit_code == 2
    assert "were enrolled by the detector mtcnn: add --detector mtcnn, or add --sync to embed them" in done.stderr
    told = rim("enroll", site, "--dry-run", aligned=False)
    assert (told.exit_code, told.stdout.count("was read as detected by mtcnn")) == (3, 4)
    assert Gallery(tmp_path / "index", None).enrolled() == rows
    done = rim("enroll", site, "--sync", "--json", aligned=False)
    assert (done.exit_code, kinds(done)) == (0, ["made differently"] * 4)
    assert [row.detector for row in Gallery(tmp_path / "index", None).enrolled()] == ["yunet"] * 4


def test_who_comes_second_waits_and_adds_nothing_again(rim, site, tmp_path, monkeypatch):
    """Two commands at once would embed every picture twice."""
    assert rim("enroll", site / "ana").exit_code == 0
    other = process_lock(tmp_path / "index" / ".lock")
    other.acquire(timeout=0)
    sentences = Queue()
    monkeypatch.setattr("rim_lightning.locks.print", lambda text, **_: sentences.put(text), raising=False)
    with ThreadPoolExecutor(1) as threads:
        try:
            second = threads.submit(rim, "enroll", site)
            assert "Waiting for another process, which writes to" in sentences.get(timeout=60)
            assert not second.done()
            assert len(templates(tmp_path)) == 2
        finally:
            other.release()
        assert second.result().exit_code == 0
    assert len(templates(tmp_path)) == 6


def test_templates_that_are_there_twice_are_named(rim, enrolled, model, tmp_path):
    """An earlier version let two commands write at once."""
    gallery = Gallery(tmp_path / "index", None)
    (row,) = [row for row in gallery.enrolled() if row.person == "zoe"]
    gallery.add(gallery.templates_of({row.digest})[row.digest])
    done = rim("enroll", enrolled, "--json")
    assert (done.exit_code, kinds(done)) == (3, ["doubled"] * 2)
    assert "has several templates" in rim("enroll", enrolled).stderr
    assert rim("enroll", enrolled, "--sync").exit_code == 0
    assert templates(tmp_path) == [
        ("ana", "ana/1.bmp"),
        ("ana", "ana/2.bmp"),
        ("ben", "ben/1.bmp"),
        ("zoe", "zoe/1.bmp"),
    ]
    assert embedding_error(model, tmp_path) < 1e-5


def test_one_template_is_forgotten(rim, enrolled, tmp_path):
    Gallery(tmp_path / "index", None)
    assert rim("forget", "--picture", enrolled / "ana" / "nothing.bmp").exit_code == 1
    (enrolled / "ana" / "1.bmp").unlink()  # it may be gone already
    done = rim("forget", "--picture", enrolled / "ana" / "1.bmp")
    assert done.exit_code == 0
    assert "1 templates of" in done.stdout
    assert templates(tmp_path) == [("ana", "ana/2.bmp"), ("ben", "ben/1.bmp"), ("zoe", "zoe/1.bmp")]
    assert b"ana/1.bmp" not in on_disk(tmp_path)
    assert rim("forget", "--picture", "zoe/1.bmp").exit_code == 0  # as its folder calls it
    for words in ((), ("ana", "--picture", "a.png")):
        done = rim("forget", *words)
        assert done.exit_code == 2
        assert "Give one of PERSON, --picture and --folder" in done.output


def test_one_path_in_two_folders_is_asked_about(rim, enrolled, tmp_path):
    second = tmp_path / "second"
    shutil.copytree(enrolled / "ana", second / "ana")
    (second / "ana" / "1.bmp").write_bytes((enrolled / "ben" / "1.bmp").read_bytes())
    assert rim("enroll", second).exit_code == 0
    before = len(Gallery(tmp_path / "index", None))
    done = rim("forget", "--picture", "ana/1.bmp")
    assert done.exit_code == 2
    assert f"ana/1.bmp may be {second / 'ana' / '1.bmp'} or {enrolled / 'ana' / '1.bmp'}: give the" in done.output
    assert rim("forget", "--picture", second / "ana" / "1.bmp").exit_code == 0
    assert len(Gallery(tmp_path / "index", None)) == before - 1


def test_the_list_shows_people_pictures_and_dates(rim, enrolled, tmp_path):
    from datetime import UTC, datetime

    today = datetime.now(UTC).date().isoformat()
    shown = rim("gallery list")
    assert shown.exit_code == 0
    assert "ana: 2 pictures" in shown.stdout
    assert f"  {today}  aligned   {enrolled / 'ana' / '2.bmp'}" in shown.stdout
    assert "4 pictures of 3 people" in shown.stdout
    (enrolled / "ben" / "1.bmp").unlink()
    answer = json.loads(rim("gallery list", "--json").stdout)
    assert answer["people"] == {"ana": 2, "ben": 1, "zoe": 1}
    assert {row["person"]: row["state"] for row in answer["templates"]} == {
        "ana": "unchanged",
        "ben": "gone",
        "zoe": "unchanged",
    }
    assert "no longer there" in rim("gallery list", "ben").stdout
    assert rim("gallery list", "nobody").exit_code == 1


def test_identify_names_picture_and_date(rim, enrolled):
    done = rim("identify", enrolled / "ben" / "1.bmp", "--top", 3)
    assert f"({enrolled / 'ben' / '1.bmp'}, on 20" in done.stdout


def earlier_gallery(model, site, index, sources):
    """A gallery with the four columns that version 0.1 wrote."""
    import lancedb
    import pyarrow as pa

    recognizer = Recognizer.from_checkpoint(model)
    fields = [pa.field(name, pa.string(), nullable=False) for name in ("person", "source", "digest")]
    fields.append(pa.field("embedding", pa.list_(pa.float32(), recognizer.embedding_size), nullable=False))
    schema = pa.schema(fields, metadata={"fingerprint": recognizer.fingerprint})
    table = lancedb.connect(index).create_table("templates", schema=schema)
    rows = [
        {"person": person, "source": str(site / source), "digest": digest, "embedding": embedding.tolist()}
        for person, source, digest, embedding in sources(recognizer)
    ]
    table.add(pa.Table.from_pylist(rows, schema=schema))


def test_a_gallery_of_an_earlier_version(rim, model, site, tmp_path):
    """It held both the old and the new picture of one path."""
    from rim_lightning.files import content_digest

    def sources(recognizer):
        for name in ("ana/1.bmp", "ana/2.bmp"):
            yield "ana", name, content_digest(site / name), recognizer.embed_gallery(site / name, aligned=True)[0]
        yield "ana", "ana/1.bmp", "0" * 64, F.normalize(torch.ones(recognizer.embedding_size), dim=0)

    earlier_gallery(model, site, tmp_path / "index", sources)
    shown = rim("gallery list")
    assert shown.exit_code == 0, shown.output
    assert "unknown     unknown" in shown.stdout
    assert "come from an earlier version" in shown.stderr
    assert rim("identify", site / "ana" / "1.bmp", "--json").exit_code == 1
    told = rim("enroll", site)
    assert told.exit_code == 3
    assert "2 pictures added, 2 were known" in told.stdout
    assert "2 templates come from an earlier version, which recorded neither date nor alignment" in told.stderr
    assert "replaced: " in told.stderr
    assert rim("forget", "ben").exit_code == 0
    synced = rim("enroll", site, "--sync")
    assert synced.exit_code == 0, synced.output
    rows = Gallery(tmp_path / "index", None).enrolled()
    assert sorted((row.person, row.alignment) for row in rows) == [
        (name, "aligned") for name in ("ana", "ana", "ben", "zoe")
    ]
    assert None not in {row.enrolled for row in rows}
    assert embedding_error(model, tmp_path) < 1e-5


def test_an_interrupted_sync_is_resumed(rim, enrolled, model, tmp_path, monkeypatch):
    """What was wrong is gone at once; the rest comes with the next call."""
    for number, name in enumerate(("ana/1.bmp", "ben/1.bmp")):
        picture(enrolled / name, 80 + number)
    (enrolled / "zoe" / "1.bmp").rename(enrolled / "zoe" / "one.bmp")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recognizer, "embed_gallery", interrupted)
        assert rim("enroll", enrolled, "--sync").exit_code == 130
    assert templates(tmp_path) == [("ana", "ana/2.bmp"), ("zoe", "zoe/one.bmp")]
    assert embedding_error(model, tmp_path) < 1e-5
    assert rim("enroll", enrolled, "--sync").exit_code == 0
    assert len(templates(tmp_path)) == 4
    assert embedding_error(model, tmp_path) < 1e-5


def test_people_who_are_doubtful_are_named(rim, site):
    shutil.copyfile(site / "ana" / "1.bmp", site / "ben" / "copy.bmp")
    for name in ("Ana", "ana ", "Zoe\u0308", "Zo\u00eb"):
        picture(site / name / "1.bmp", 90)
    done = rim("enroll", site)
    assert done.exit_code == 0, done.output
    places = f"'ana ({site / 'ana' / '1.bmp'})', 'ben ({site / 'ben' / 'copy.bmp'})'"
    assert f"one picture is enrolled under several people: {places}. Remove it from all but one" in done.stderr
    assert "these people may be one: 'Ana', 'ana', 'ana '" in done.stderr
    assert "these people may be one: 'Zo\u0308e', 'Zo\u00eb'" in done.stderr or "'Zoe\u0308', 'Zo\u00eb'" in done.stderr


def test_a_stranger_who_is_enrolled_elsewhere_takes_a_place(rim, enrolled, tmp_path):
    """Her picture takes ana's place: after --sync it is the picture of two people."""
    stranger = picture(tmp_path / "other" / "eve" / "1.bmp", 77)
    assert rim("enroll", tmp_path / "other").exit_code == 0
    shutil.copyfile(stranger, enrolled / "ana" / "1.bmp")
    done = rim("enroll", enrolled, "--sync")
    assert "put right in the gallery: 1 replaced" in done.stdout
    assert "one picture is enrolled under several people: 'eve (" in done.stderr


def test_a_picture_of_two_nested_folders_is_put_right(rim, site, tmp_path):
    parent = tmp_path / "parent"
    parent.mkdir()
    shutil.move(site, parent / "site")
    assert rim("enroll", parent).exit_code == 0  # every picture as 'site'
    done = rim("enroll", parent / "site", "--json")
    assert len(json.loads(done.stdout)["shared"]) == 4
    done = rim("enroll", parent / "site")
    assert "ana/1.bmp is enrolled as 'ana' and as 'site', because a folder and one inside it" in done.stderr
    assert done.stderr.count("remove the wrong name by rim forget, and enroll only one of the folders") == 3
    assert "1 more pictures are enrolled under several people; --json names them all" in done.stderr
    assert rim("forget", "site").exit_code == 0
    done = rim("enroll", parent / "site", "--sync")
    assert (done.exit_code, done.stderr) == (0, "")
    assert {person for person, _ in templates(tmp_path)} == {"ana", "ben", "zoe"}


def test_a_gallery_inside_its_folder_is_not_named(rim, site, tmp_path):
    (tmp_path / "index").symlink_to(site / "index")
    (site / "index").mkdir()
    (site / "index" / "notes.txt").write_text("mine")
    for words in ((), (), ("--sync",), ("--dry-run",)):
        done = json.loads(rim("enroll", site, *words, "--json").stdout)
        assert list(done["unused"]) == [str(site / "index" / "notes.txt")]
        assert done["hidden"] == []
    assert len(list((site / "index").rglob("*.lance"))) > 1


def test_files_that_are_not_read_are_named(rim, site):
    (site / "notes.txt").write_text("x")
    (site / ".ipynb_checkpoints").mkdir()
    shutil.copyfile(site / "ana" / "1.bmp", site / ".ipynb_checkpoints" / "1-checkpoint.bmp")
    shutil.copyfile(site / "ana" / "1.bmp", site / "ana" / "scan.dat")
    done = rim("enroll", site)
    assert done.exit_code == 3
    assert "4 pictures added" in done.stdout
    assert "scan.dat is a BMP picture, but its name does not say so: let it end in .bmp." in done.stderr
    assert "not read: a file that is no picture by its ending (.txt)" in done.stderr
    assert "never read: 1 hidden or system files and folders: '.ipynb_checkpoints'" in done.stderr


def test_pictures_of_phones_are_enrolled(rim, site, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for name, kind in (("eve/1.heic", "HEIF"), ("eve/2.avif", "AVIF")):
        (site / "eve").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(site / name, kind)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        done = rim("enroll", site)
        assert done.exit_code == 3
        assert "5 pictures added" in done.stdout
        sentence = "1.heic is a HEIF picture, which needs a library: pip install 'rim-lightning[heic]'."
        assert sentence in done.stderr
    done = rim("enroll", site)
    assert done.exit_code == 0, done.output
    assert "1 pictures added, 5 were known; 4 people" in done.stdout
    with monkeypatch.context() as patch:  # a template stays where its library is missing
        patch.setitem(sys.modules, "pillow_heif", None)
        assert kinds(rim("enroll", site, "--sync", "--json")) == []
    assert len(json.loads(rim("gallery list", "eve", "--json").stdout)["templates"]) == 2


def test_a_name_that_is_almost_right(rim, enrolled):
    done = rim("forget", "ANA ")
    assert done.exit_code == 1
    assert "0 templates of ANA" in done.stdout
    assert "the gallery has 'ana': names are compared letter by letter" in done.stderr
    done = rim("gallery list", "Ana")
    assert done.exit_code == 1
    assert "the gallery has 'ana': names are compared letter by letter" in done.stderr


def test_a_probe_folder_names_what_it_does_not_read(rim, enrolled, tmp_path):
    probe = picture(tmp_path / "probes" / "1.bmp", 5)
    shutil.copyfile(probe, tmp_path / "probes" / "2")
    picture(tmp_path / "probes" / ".hidden" / "3.bmp", 6)
    done = rim("identify", tmp_path / "probes", "--json")
    answer = json.loads(done.stdout)
    assert [one["picture"] for one in answer["probes"]] == [str(probe)]
    assert list(answer["left_out"]) == [str(tmp_path / "probes" / "2")]
    assert done.exit_code == 3


def test_photographs_are_not_taken_for_aligned_faces(rim, tmp_path, monkeypatch):
    """The face takes half of each picture."""
    from rim_lightning.data.alignment import template
    from rim_lightning.data.detectors import Face
    from rim_lightning.gallery import aligned_check

    for number in range(4):
        picture(tmp_path / "photographs" / "ana" / f"{number}.bmp", number)
    faces = [[Face(np.zeros(4), template(6) + 3, 1.0)]]
    monkeypatch.setattr(aligned_check, "find_faces", lambda *_: faces)
    done = rim("enroll", tmp_path / "photographs")
    assert done.exit_code == 2
    assert "The pictures are no aligned faces, as --aligned says: in 4 of them the face takes 50%" in done.output
    assert not (tmp_path / "index").exists()
