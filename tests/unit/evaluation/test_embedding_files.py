"""Files of embeddings: the same rows from every format, and one sentence for a wrong file."""

import pickle

import numpy as np
import pytest

from rim_lightning.data.pairs import Pair
from rim_lightning.evaluation.embedding_files import read_embeddings
from rim_lightning.evaluation.judged_pairs import judge_everybody, judge_pairs

VALUES = np.array([[1, 0], [0, 2], [3, 4], [0, 1]], np.float32)
NAMES, PEOPLE = ["a.png", "b.png", "c.png", "d.png"], ["Ann", "Ann", "Bob", "Cy"]


@pytest.fixture
def npz(tmp_path):
    """npz(**arrays) writes a file with other arrays than usual."""

    def write(**arrays):
        usual = {"embeddings": VALUES, "names": np.array(NAMES), "people": np.array(PEOPLE)}
        np.savez(tmp_path / "a.npz", **{k: v for k, v in (usual | arrays).items() if v is not None})
        return tmp_path / "a.npz"

    return write


def same_faces(faces):
    assert list(faces.names) == NAMES
    assert list(faces.people) == PEOPLE
    np.testing.assert_array_equal(faces.embeddings.numpy(), VALUES)


def test_every_format_gives_the_same_rows(tmp_path, npz):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    same_faces(read_embeddings(npz()))
    np.save(tmp_path / "a.npy", VALUES.astype(np.float64))
    pictures = tmp_path / "pictures.csv"
    pictures.write_text("name,person\n" + "".join(f"{n},{p}\n" for n, p in zip(NAMES, PEOPLE, strict=True)))
    same_faces(read_embeddings(tmp_path / "a.npy", pictures))
    columns = {"name": NAMES, "person": PEOPLE, "embedding": list(VALUES)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    same_faces(read_embeddings(tmp_path / "a.parquet"))


def test_a_folder_of_rim_embed_is_read_without_what_was_left_out(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for number, rows in enumerate((slice(0, 2), slice(2, 4))):
        left_out = {"source": ["x"], "person": [None], "embedding": [None]}
        columns = {"source": NAMES[rows], "person": PEOPLE[rows], "embedding": list(VALUES[rows])}
        table = pa.table({key: values + left_out[key] for key, values in columns.items()})
        pq.write_table(table, tmp_path / f"embeddings_{number}.parquet")
    same_faces(read_embeddings(tmp_path))


def test_wrong_parquet_is_refused(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for columns, said in (
        ({"name": NAMES[:2], "embedding": [[1.0, 2.0], [1.0]]}, "embeddings of several lengths"),
        ({"name": NAMES[:2], "embedding": [1.0, 2.0]}, "embeddings of several lengths"),
        ({"name": NAMES[:2]}, "has no column 'embedding'; it has name"),
        ({"name": NAMES[:1], "embedding": [[None, 1.0]]}, r"the embedding of a.png is not finite|no numbers"),
    ):
        pq.write_table(pa.table(columns), tmp_path / "a.parquet")
        with pytest.raises(ValueError, match=said) as caught:
            read_embeddings(tmp_path / "a.parquet")
        assert "a.parquet" in str(caught.value)


def test_rows_without_names_are_numbered_as_in_a_pack(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    faces = read_embeddings(tmp_path / "a.npy")
    assert faces.names == ["000000.jpg", "000001.jpg", "000002.jpg", "000003.jpg"]
    pairs = [Pair("000000.jpg", "000001.jpg", True, 0), Pair("000002.jpg", "000001.jpg", False, 0)]
    assert judge_pairs(faces, faces, pairs, "x").scores.tolist() == pytest.approx([0.0, 0.8])


def test_labels_that_contradict_the_people_and_missing_pictures_are_refused(npz):
    faces = read_embeddings(npz())
    with pytest.raises(ValueError, match=r"list says that a.png and c.png show one person, the people .* otherwise"):
        judge_pairs(faces, faces, [Pair("a.png", "c.png", True, 0), Pair("a.png", "b.png", True, 0)], "list")
    with pytest.raises(
        ValueError, match=r"list names z.png, the first of 1 pictures that have no embedding in .*a.npz"
    ):
        judge_pairs(faces, faces, [Pair("a.png", "z.png", True, 0)], "list")
    with pytest.raises(ValueError, match="names no people"):
        judge_everybody(faces._replace(people=()), faces, "file")
    with pytest.raises(ValueError, match="has no pair of one person"):
        judge_everybody(*[faces._replace(people=["a", "b", "c", "d"])] * 2, "file")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"names": None}, "has no array 'names'"),
        ({"embeddings": None}, "has no array 'embeddings'"),
        ({"names": np.array(NAMES, object)}, "no whole .npz or .npy file"),
        ({"names": np.arange(4)}, "names or people that are no texts"),
        ({"names": np.array(NAMES[:3])}, "names 3 pictures, .* has 4 embeddings"),
        ({"names": np.array(["a", "a", "b", "c"])}, "names two pictures alike"),
        ({"embeddings": VALUES[0]}, r"holds an array \(2,\)"),
        ({"embeddings": np.array([["a", "b"]] * 4)}, "of <U1; expected numbers"),
        ({"embeddings": VALUES * np.nan}, "the embedding of a.png is not finite, or its length is 0"),
        ({"embeddings": VALUES * 0}, "the embedding of a.png is not finite, or its length is 0"),
        ({"embeddings": VALUES * 1e30}, "beyond 1e-10 to 1e.15"),  # float32 would make every cosine 0
        ({"embeddings": VALUES * 1e-30}, "beyond 1e-10 to 1e.15"),
        ({"embeddings": VALUES.astype(np.float64) * 1e300}, "is not finite"),
    ],
)
def test_wrong_arrays_are_refused(npz, arrays, said):
    file = npz(**arrays)
    with pytest.raises(ValueError, match=said) as caught:
        read_embeddings(file)
    assert str(file) in str(caught.value)


def test_damaged_files_are_refused(tmp_path, npz):
    whole = npz().read_bytes()
    for name, content in {
        "cut.npz": whole[:-30],
        "empty.npy": b"",
        "pickle.npy": pickle.dumps([1]),
        "no.parquet": b"PAR1abc",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
            read_embeddings(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"none.npz does not exist"):
        read_embeddings(tmp_path / "none.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"holds neither embeddings_\*.parquet nor card.json"):
        read_embeddings(tmp_path / "folder")
