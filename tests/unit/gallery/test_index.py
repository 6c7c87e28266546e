"""A gallery returns what exact search returns, forgets who is deleted, refuses other models and survives a kill."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F

from rim_lightning.gallery.index import KEPT, Enrolled, Gallery, Template
from rim_lightning.gallery.table_files import RECORD, TableFiles

SIZE = 16


@pytest.fixture(scope="module", autouse=True)
def engine():
    """LanceDB, which takes seconds to import."""
    pytest.importorskip("lancedb")


def embeddings(count, seed=0):
    return F.normalize(torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed)))


def templates(vectors, per_person=3, first=0):
    return [
        Template(Enrolled(f"person {(first + i) // per_person}", f"{first + i}.png", f"digest {first + i}"), vector)
        for i, vector in enumerate(vectors)
    ]


@pytest.fixture
def gallery(tmp_path):
    index = Gallery(tmp_path / "index", "abc", SIZE, create=True)
    vectors = embeddings(60)
    index.add(templates(vectors[:45]))
    index.add(templates(vectors[45:], first=45))
    return index


def test_a_gallery_that_a_full_disk_did_not_let_begin_is_begun_again(tmp_path):
    """Lance leaves empty folders; nothing was in them, and the same command makes the gallery."""
    (tmp_path / "index" / "templates.lance" / "_versions").mkdir(parents=True)
    (tmp_path / "index" / "templates.lance" / "_transactions").mkdir()
    with pytest.raises(FileNotFoundError, match="There is no gallery at"):
        Gallery(tmp_path / "index", "abc")
    begun = Gallery(tmp_path / "index", "abc", SIZE, create=True)
    begun.add(templates(embeddings(6)))
    assert len(Gallery(tmp_path / "index", "abc")) == 6


def by_hand(probe, vectors, top, allowed=range(20)):
    """Return the people in the order of their best cosine."""
    cosine = vectors @ probe
    best = {p: max((float(cosine[i]), i) for i in range(3 * p, 3 * p + 3)) for p in allowed}
    order = sorted(best, key=lambda p: -best[p][0])[:top]
    return [(f"person {p}", f"{best[p][1]}.png", best[p][0]) for p in order]


@pytest.mark.parametrize("top", [1, 5, 20, 50])
@pytest.mark.parametrize("count", [1, 4])
def test_a_search_is_exact_and_names_every_person_once(gallery, top, count):
    probes = embeddings(count, seed=1)
    for probe, hits in zip(probes, gallery.search(probes, top), strict=True):
        expected = by_hand(probe, embeddings(60), top)
        assert [(hit.person, hit.source) for hit in hits] == [answer[:2] for answer in expected]
        assert [hit.similarity for hit in hits] == pytest.approx([answer[2] for answer in expected], abs=1e-5)


def test_one_probe_has_the_hits_that_it_has_among_others(gallery):
    probes = embeddings(7, seed=3)
    for top in (1, 4, 19, 50):
        assert [gallery.search(probe[None], top)[0] for probe in probes] == gallery.search(probes, top)


@pytest.mark.filterwarnings("ignore:The create_index.. API with metric:DeprecationWarning")
def test_a_search_stays_exact_where_somebody_made_an_index(tmp_path):
    gallery = Gallery(tmp_path / "index", "abc", SIZE, create=True)
    vectors, probes = embeddings(600), embeddings(20, seed=1)
    gallery.add(templates(vectors))
    gallery._table.create_index("cosine", num_partitions=8, num_sub_vectors=1, vector_column_name="embedding")
    exact = (probes @ vectors.T).amax(1)
    similarities = torch.tensor([hits[0].similarity for hits in gallery.search(probes, 1)])
    torch.testing.assert_close(similarities, exact, atol=1e-5, rtol=0)


def test_a_search_among_some_people(gallery):
    probe = embeddings(1, seed=2)
    (hits,) = gallery.search(probe, 3, people=["person 3", "person 7"])
    assert [hit.person for hit in hits] == [answer[0] for answer in by_hand(probe[0], embeddings(60), 3, (3, 7))]
    assert gallery.search(probe, 3, people=[]) == [[]]
    assert gallery.search(probe, 3, people=["nobody"]) == [[]]


def test_what_was_enrolled_is_there_when_it_is_opened_again(gallery):
    again = Gallery(gallery.address, "abc", SIZE)
    assert len(again) == 60
    assert again.people() == {f"person {p}": 3 for p in range(20)}
    assert {row[:3] for row in again.enrolled()} == {(f"person {i // 3}", f"{i}.png", f"digest {i}") for i in range(60)}


@pytest.mark.parametrize(("together", "tidied"), [(False, False), (True, False), (True, True)])
def test_a_deleted_person_is_gone_from_the_files_too(gallery, tmp_path, together, tidied):
    secret = Template(Enrolled("O'Neill; drop", "holiday-in-secret.png", "d"), embeddings(1, seed=5)[0])
    first, second = templates(embeddings(2, seed=7), first=100)
    gallery.add([first, secret, second] if together else [secret])
    if tidied:
        gallery.tidy()
    (hits,) = gallery.search(secret.embedding[None], 1)
    assert hits[0].person == "O'Neill; drop"
    assert hits[0].similarity == pytest.approx(1.0)
    assert gallery.delete("nobody") == 0
    assert gallery.delete("O'Neill; drop") == 1
    if together:
        assert gallery.delete("person 33") == 2
    assert len(gallery) == 60
    assert "O'Neill; drop" not in gallery.people()
    assert all(hit.person != "O'Neill; drop" for hit in gallery.search(secret.embedding[None], 30)[0])
    content = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert b"person 3" in content
    assert b"holiday-in-secret" not in content
    again = Gallery(gallery.address, "abc", SIZE)  # written anew, and still the gallery of that model
    assert [hit.person for hit in again.search(embeddings(1, seed=2), 4)[0]] == [
        answer[0] for answer in by_hand(embeddings(1, seed=2)[0], embeddings(60), 4)
    ]
    again.add(templates(embeddings(3, seed=9), first=60))
    assert len(again) == 63


def test_a_deletion_that_was_killed_is_finished_by_the_next(gallery, tmp_path):
    gallery.add([Template(Enrolled("secret", "holiday-in-secret.png", "d"), embeddings(1, seed=5)[0])])
    gallery._table.delete("person = 'secret'")  # and then killed
    assert gallery.delete("secret") == 0
    content = b"".join(path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert b"holiday-in-secret" not in content
    assert len(gallery) == 60


def test_a_gallery_that_is_open_sees_what_others_add_and_delete(gallery, tmp_path):
    other = Gallery(tmp_path / "index", "abc")
    probe = embeddings(60)[:1]
    assert other.search(probe, 1)[0][0].person == "person 0"
    gallery.delete("person 0")
    assert other.search(probe, 1)[0][0].person != "person 0"
    assert len(other) == 57
    gallery.add(templates(embeddings(3), first=90))
    gallery.tidy()
    assert other.search(probe, 1)[0][0].person == "person 30"
    assert "person 30" in other.people()
    other.add(templates(embeddings(3, seed=5), first=93))
    assert "person 31" in gallery.people()


def test_whoever_lost_the_model_can_still_delete(gallery):
    assert Gallery(gallery.address, None).delete("person 4") == 3
    assert Gallery(gallery.address, "abc", SIZE).people().get("person 4") is None


def test_a_name_is_one_name_however_it_is_written(gallery):
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    gallery.add([Template(Enrolled(decomposed, "z.png", "d"), embeddings(1, seed=5)[0])])
    assert gallery.search(embeddings(1, seed=5), 1, people=[composed])[0][0].person == composed
    assert gallery.search(embeddings(1, seed=5), 1, people=[decomposed])[0][0].person == composed
    assert gallery.delete(composed) == 1


def test_a_damaged_gallery_gets_a_sentence(gallery, tmp_path):
    for file in (tmp_path / "index").rglob("*.manifest"):
        file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"The gallery .* is damaged: restore it from a copy"):
        Gallery(gallery.address, "abc", SIZE, create=True)


def cut_off(file):
    file.write_bytes(b"")


def half_written(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def zero_but_for_the_end(file):
    content = file.read_bytes()
    file.write_bytes(bytes(len(content) * 3 // 4) + content[len(content) * 3 // 4 :])


@pytest.mark.parametrize("damage", [cut_off, half_written, zero_but_for_the_end, os.unlink])
@pytest.mark.parametrize("damaged", ["*.manifest", "*.lance"])
def test_a_power_cut_takes_nothing_but_what_was_being_written(gallery, tmp_path, monkeypatch, capsys, damage, damaged):
    """The files of the last addition are damaged, as if they had not reached the disk."""
    before = set((tmp_path / "index").rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(TableFiles, "settle", lambda *arguments: None)  # the power fails before it
        gallery.add(templates(embeddings(40, seed=9), first=60))
    for file in set((tmp_path / "index").rglob(damaged)) - before:
        damage(file)
    again = Gallery(gallery.address, "abc", SIZE)
    if damage is os.unlink and damaged == "*.manifest":
        assert capsys.readouterr().err == ""  # as if nothing had been added
    else:
        assert "The newest change of the gallery" in capsys.readouterr().err
    assert {row[:3] for row in again.enrolled()} == {(f"person {i // 3}", f"{i}.png", f"digest {i}") for i in range(60)}
    again.add(templates(embeddings(3, seed=9), first=60))
    assert len(Gallery(gallery.address, "abc", SIZE)) == 63
    assert capsys.readouterr().err == ""


def test_an_addition_that_nothing_damaged_counts_though_its_process_died_before_the_record(
    gallery, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(TableFiles, "settle", lambda *arguments: None)
        gallery.add(templates(embeddings(3, seed=9), first=60))
    assert len(Gallery(gallery.address, "abc", SIZE)) == 63
    assert capsys.readouterr().err == ""


def test_what_remains_is_on_the_disk_before_anything_is_removed(gallery, tmp_path, monkeypatch):
    """No file of before is left, whatever the clock says: Lance would keep versions that are newer than the clock."""
    calls = []
    for name in ("settle", "remove"):
        original = getattr(TableFiles, name)
        spied = lambda *arguments, name=name, original=original: calls.append(name) or original(*arguments)  # noqa: E731
        monkeypatch.setattr(TableFiles, name, spied)
    table = tmp_path / "index" / "templates.lance"
    before = {file for file in table.rglob("*") if file.is_file()}
    gallery.delete("person 0")
    assert calls == ["settle", "remove"]
    after = {file for file in table.rglob("*") if file.is_file()}
    assert {file.name for file in before & after} <= {"latest_version_hint.json"}
    assert gallery.delete("person 1") == 3
    for person in list(gallery.people()):
        gallery.delete(person)
    assert len(gallery) == 0
    assert gallery.delete("nobody") == 0
    gallery.add(templates(embeddings(2)))
    assert len(Gallery(gallery.address, "abc", SIZE)) == 2


@pytest.mark.parametrize("named", ["", "whole path"])
def test_a_reader_whose_files_are_removed_reads_those_of_now(gallery, tmp_path, monkeypatch, named):
    """Another process removes a person between the reader's look at the newest version and its files.

    Some errors of LanceDB name the file with its whole path, which begins with the address of the gallery.
    """
    other = Gallery(gallery.address, "abc", SIZE)
    columns, calls = Gallery._columns, []

    def late(self, names):
        calls.append(names)
        if len(calls) == 1:
            other.delete("person 0")
            place = f"{gallery.address}/" if named else ""
            raise RuntimeError(f"lance error: Not found: {place}templates.lance/data/01.lance")
        return columns(self, names)

    monkeypatch.setattr(Gallery, "_columns", late)
    assert gallery.people() == {f"person {p}": 3 for p in range(1, 20)}
    monkeypatch.undo()
    for file in (tmp_path / "index").rglob("*.lance"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ValueError, match="is damaged: restore it from a copy"):
        gallery.people()


def test_a_gallery_of_one_piece_that_is_gone_gets_a_sentence(tmp_path):
    gallery = Gallery(tmp_path / "index", "abc", SIZE, create=True)
    gallery.add(templates(embeddings(4)))
    (piece,) = (tmp_path / "index" / "templates.lance" / "data").iterdir()
    piece.unlink()
    for read in (gallery.people, gallery.enrolled, lambda: gallery.search(embeddings(1))):
        with pytest.raises(ValueError, match=r"The gallery .* is damaged: restore it from a copy"):
            read()


def test_joined_pieces_are_on_the_disk_before_old_ones_are_removed(gallery, tmp_path, monkeypatch):
    """Versions older than a week go, after the new one is recorded; the removal is no change of its own."""
    ages, table = [], gallery._table
    optimize = type(table).optimize

    def spied(self, cleanup_older_than=None, **options):
        ages.append((cleanup_older_than, gallery._files.durable == self.version))
        return optimize(self, cleanup_older_than=cleanup_older_than, **options)

    monkeypatch.setattr(type(table), "optimize", spied)
    gallery.tidy()
    assert ages == [(KEPT, True), (None, True)]
    assert gallery._files.durable == table.version
    assert len(list((tmp_path / "index" / "templates.lance" / "data").iterdir())) == 3  # of two pieces, and joined


def test_a_damaged_record_is_named(gallery, tmp_path):
    for content in ("", "{}", '{"version": "new"}'):
        (tmp_path / "index" / "durable.json").write_text(content)
        with pytest.raises(ValueError, match=r"durable.json is damaged"):
            Gallery(gallery.address, "abc", SIZE)


def test_a_gallery_of_an_earlier_version_gets_its_record_with_the_next_change(gallery, tmp_path):
    (tmp_path / "index" / "durable.json").unlink()
    again = Gallery(gallery.address, "abc", SIZE)
    again.add(templates(embeddings(1, seed=9), first=60))
    assert TableFiles(tmp_path / "index", tmp_path / "index" / "durable.json").durable == again._table.version


def test_an_empty_gallery_finds_nobody(tmp_path):
    empty = Gallery(tmp_path / "index", "abc", SIZE, create=True)
    empty.add([])
    assert len(empty) == 0
    assert empty.people() == {}
    assert empty.enrolled() == []
    assert empty.search(embeddings(2)) == [[], []]
    assert empty.search(embeddings(0)) == []
    assert empty.delete("nobody") == 0


def test_another_model_is_refused(gallery):
    with pytest.raises(ValueError, match="was made by the model abc, this one is xyz: embeddings of two models do not"):
        Gallery(gallery.address, "xyz", SIZE)


def test_a_place_without_a_gallery_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no gallery at .*nowhere: rim enroll makes one"):
        Gallery(tmp_path / "nowhere", "abc", SIZE)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"There is no gallery at .*empty"):
        Gallery(tmp_path / "empty", "abc", SIZE)


def test_embeddings_of_another_length_are_refused(gallery):
    with pytest.raises(
        ValueError, match=r"The gallery .*index holds embeddings of length 16, got 8: use the model that made it"
    ):
        gallery.add([Template(Enrolled("a", "a.png", "d"), torch.ones(8))])
    assert len(gallery) == 60


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(gallery, value):
    with pytest.raises(
        ValueError, match=r"The embedding of b\.png holds NaN or infinity: check the model and its precision"
    ):
        gallery.add([*templates(embeddings(1)), Template(Enrolled("a", "b.png", "d"), torch.full((16,), value))])
    assert len(gallery) == 60


ENROLL = """
import sys, torch, torch.nn.functional as F
from rim_lightning.gallery.index import Enrolled, Gallery, Template
gallery = Gallery(sys.argv[1], "abc", 16, create=True)
for block in range(10**6):
    pictures = [Enrolled(f"person {block}", f"{i}.png", "d") for i in range(100)]
    gallery.add([Template(picture, F.normalize(torch.randn(16), dim=0)) for picture in pictures])
    print(block, flush=True)
"""


@pytest.mark.slow
def test_nothing_that_was_enrolled_is_lost_when_killed(tmp_path):
    for attempt in range(3):
        folder = tmp_path / f"index {attempt}"
        process = subprocess.Popen([sys.executable, "-c", ENROLL, str(folder)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()  # it is at work
        time.sleep(0.05 + 0.13 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        printed = [line for line in process.stdout.read().split("\n") if line]
        process.wait()
        left = Gallery(folder, "abc", 16)
        people = left.people()
        assert set(people.values()) == {100}  # no half block
        assert len(people) - (1 + len(printed)) in (0, 1)  # all that it printed, and maybe one more
        left.add([Template(Enrolled("after", "a.png", "d"), embeddings(1)[0])])
        assert len(left) == 100 * len(people) + 1


def test_a_gallery_in_an_object_store_is_searched_and_not_changed(gallery, tmp_path):
    """Such a store cannot keep a second writer out: an addition or removal of another process could be lost."""
    address = f"file://{tmp_path / 'index'}"  # LanceDB's way to an object store that is a folder
    stored = Gallery(address, "abc")
    probe = embeddings(1, seed=1)
    assert stored.search(probe) == gallery.search(probe)
    before = {path: path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file()}
    for change in (
        lambda: stored.add(templates(embeddings(1))),
        lambda: stored.delete("person 1"),
        lambda: stored.remove(set(stored.enrolled())),
        stored.tidy,
        lambda: Gallery(f"file://{tmp_path / 'new'}", "abc", SIZE, create=True),
    ):
        with pytest.raises(ValueError, match="object store, which cannot keep a second writer out: change a copy"):
            change()
    assert before == {path: path.read_bytes() for path in (tmp_path / "index").rglob("*") if path.is_file()}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content", ['{"version": -1}', '{"version": true}', '{"version": 1e999}', '{"version": []}', "[]"]
)
def test_a_record_of_no_version_is_named(gallery, tmp_path, content):
    (tmp_path / "index" / RECORD).write_text(content)
    with pytest.raises(ValueError, match=r"durable\.json.*: ?remove it"):
        Gallery(gallery.address, "abc", SIZE)


def test_a_record_of_a_version_that_is_not_there_removes_nothing(gallery, tmp_path):
    (tmp_path / "index" / RECORD).write_text('{"version": 1000000}')
    files = TableFiles(tmp_path / "index" / "templates.lance", tmp_path / "index" / RECORD)
    before = files.all()
    assert not files.drop_unfinished()
    (tmp_path / "index" / RECORD).write_text('{"version": 1}')
    for manifest in (tmp_path / "index").rglob("*.manifest"):  # all but one that is newer
        if str(2**64 - 1 - 1) in manifest.name or manifest.stem == "1":
            manifest.unlink()
    left = files.all()
    assert not files.drop_unfinished()
    assert files.all() == left < before


@pytest.mark.parametrize("value", [3e38, 0.0])  # LanceDB refuses NaN
def test_a_template_that_has_no_cosine_is_no_answer(gallery, value):
    """LanceDB passes it over in the search for one probe; the search for several reads it."""
    import pyarrow as pa

    rows = gallery._table.search().limit(1).to_arrow()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([value] * SIZE, pa.float32()), SIZE)
    position = rows.schema.get_field_index("embedding")
    gallery._table.add(rows.set_column(position, rows.schema.field(position), vectors))
    (hits,) = gallery.search(embeddings(1, seed=1), 100)
    assert len(hits) == 20
    with pytest.raises(ValueError, match="is damaged"):
        gallery.search(embeddings(2, seed=1), 100)


@pytest.mark.parametrize("damage", [b"", b"LANCE", bytes(64)])
def test_a_damaged_file_of_a_gallery_is_one_sentence(gallery, tmp_path, damage):
    for file in (tmp_path / "index").rglob("*.lance"):
        if file.is_file():
            file.write_bytes(damage)
    with pytest.raises((OSError, ValueError), match=rf"The gallery {gallery.address} (cannot be read|is damaged)"):
        Gallery(gallery.address, "abc", SIZE).search(embeddings(1), 3)
