"""Label files of any content give labels, or one sentence with the name of the file."""

import os

import numpy as np
import pytest

from rim_lightning.data.readers.celebamask import read_celebamask_official
from rim_lightning.data.readers.files import read_label_text, read_landmark_table, read_splits
from rim_lightning.data.readers.helen import read_annotation, read_helen, read_smith
from rim_lightning.data.readers.lfw import read_pairs
from rim_lightning.data.readers.pair_lists import read_annotated_pairs, read_pair_csv
from rim_lightning.data.readers.pts import read_points
from rim_lightning.data.readers.table import read_table
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.gallery.embedded_folder import EmbeddedFolder
from rim_lightning.inference.card import read_card
from tests.helpers.hostile_labels import hostile_arrays, hostile_labels, npy, whole_labels

READERS = {
    "landmarks.pts": read_points,
    "landmarks.tsv": read_landmark_table,
    "people.csv": lambda file: read_table(file.parent, file),
    "splits.json": lambda file: read_splits(file, "helen"),
    "pairs.txt": read_pairs,
    "pairs_CALFW.txt": read_annotated_pairs,
    "pairs.csv": read_pair_csv,
    "1.txt": read_annotation,
    "manifest.json": lambda file: PreparedStore(file.parent),
    "images.npy": lambda file: PreparedStore(file.parent),
    "card.json": lambda file: read_card(file.parent),
    "_embedding.json": lambda file: EmbeddedFolder(file.parent),
}


@pytest.fixture
def folder(tmp_path):
    for name in ("manifest.json", "images.npy"):
        (tmp_path / name).write_bytes(whole_labels()[name])
    return tmp_path


@pytest.mark.parametrize("name", READERS)
def test_a_whole_file_is_read_and_a_damaged_one_is_named(folder, name):
    if name == "_embedding.json":
        pytest.importorskip("pyarrow")
    whole, refused = (folder / name), 0
    whole.write_bytes(whole_labels()[name])
    READERS[name](whole)
    for other, content in hostile_labels(1700, seed=1):
        if other == name:
            whole.write_bytes(content)
            said = sentence(READERS[name], whole)
            if said is not None:
                assert str(folder) in said
                assert "\n" not in said
                assert len(said) < 1000
                refused += 1
    assert refused > 20


def sentence(read, file):
    try:
        read(file)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def test_arrays_that_lie_are_refused_and_none_is_unpickled(folder):
    for content in hostile_arrays():
        (folder / "images.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"images.npy (is truncated or damaged|holds .* where its manifest says)"):
            PreparedStore(folder)
    (folder / "images.npy").write_bytes(npy(np.zeros((1, 16, 16, 3), np.uint8)))
    assert PreparedStore(folder).images.shape == (1, 16, 16, 3)


NOWHERE = "../../etc/passwd"
CUT = {
    "a long cell": (read_pair_csv, b"gallery,probe,same\na," + b"x" * 200_000, r"is no table \(line 2: field larger"),
    "many digits": (read_pair_csv, b"gallery,probe,same,fold\na,b,1," + b"9" * 5000, r"line 2 is not 'gallery,probe"),
    "many digits of a flag": (read_annotated_pairs, b"a.jpg " + b"9" * 5000, r"line 1 is not '<image> <flag>'"),
    "negative numbers of pairs": (read_pairs, b"-2\t-1\n" + b"Ann\t1\t2\n" * 4, r"does not begin with '<folds>"),
    "a negative image": (
        read_pairs,
        b"1\t1\nAnn\t-1\t2\nAnn\t1\tBob\t2\n",
        r"line 2 is not '<person><tab><i><tab><j>'",
    ),
    "latin-1": (read_points, b"version: 1\n{\n1 2\n\xe9", r"is no text in UTF-8 \(line 4\); expected landmarks"),
    "zero bytes": (read_points, "version: 1\n{".encode("utf-16-le"), r"is no text in UTF-8 \(line 1 holds a zero byte"),
    "a line behind an empty one": (
        lambda file: read_landmark_table(file),
        b"image,five_x0,five_y0,five_x1,five_y1,five_x2,five_y2,five_x3,five_y3,five_x4,five_y4\n\n\na,x" + b",1" * 9,
        r"line 4 holds something that is not a number",
    ),
    "names that are no texts": (
        lambda file: read_splits(file, "k"),
        b'{"k": {"train": [[1]]}}',
        r"is not JSON with an",
    ),
    "a text for a list": (lambda file: read_splits(file, "k"), b'{"k": {"train": "abc"}}', r"is not JSON with an"),
    "deep JSON": (lambda file: read_splits(file, "k"), b"[" * 100_000, "is nested too deeply"),
}


@pytest.mark.parametrize("kind", CUT)
def test_what_is_wrong_is_said_with_its_line(tmp_path, kind):
    read, content, sentence = CUT[kind]
    file = tmp_path / "labels"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{file} {sentence}"):
        read(file)


def test_no_name_leads_out_of_the_folder(tmp_path):
    for folder in ("annotation", "helen_1", "images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "helen_1" / "a.jpg").write_bytes(b"x")
    whole = whole_labels()
    for name in ("exemplars.txt", "tuning.txt", "testing.txt", "testnames.txt"):
        (tmp_path / name).write_bytes(f"1 , {NOWHERE}\n".encode())
    (tmp_path / "annotation" / "1.txt").write_bytes(whole["1.txt"].replace(b"100_1", NOWHERE.encode()))
    (tmp_path / "people.csv").write_bytes(whole["people.csv"].replace(b"a.png", NOWHERE.encode()))
    absolute = tmp_path / "absolute.csv"
    absolute.write_bytes(whole["people.csv"].replace(b"a.png", b"/etc/passwd"))
    for read, file in (
        (read_helen, "1.txt line 1"),
        (read_smith, "exemplars.txt line 1"),
        (lambda root: read_table(root, root / "people.csv"), "people.csv"),
        (lambda root: read_table(root, absolute), "absolute.csv"),
    ):
        with pytest.raises(ValueError, match=rf"{file} names '.*etc/passwd', which can be no image in the folder"):
            read(tmp_path)


def test_the_mapping_of_celeba_is_named_with_its_line(tmp_path):
    for folder in ("CelebA-HQ-img", "CelebAMask-HQ-mask-anno"):
        (tmp_path / folder).mkdir()
    (tmp_path / "CelebA-HQ-img" / "0.jpg").write_bytes(b"x")
    mapping = tmp_path / "CelebA-HQ-to-CelebA-mapping.txt"
    for line in ("nan 1 1.jpg", "9" * 5000 + " 1 1.jpg", "1 1", "x" * 9000):
        mapping.write_text(f"idx orig_idx orig_file\n\n{line}\n".replace("\n\n", "\n"))
        with pytest.raises(ValueError, match=r"mapping.txt line 2 is '.{3,90}'; expected '<number> <index>"):
            read_celebamask_official(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
def test_pipes_and_devices_are_no_labels(tmp_path, folder):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "nothing").symlink_to("nowhere")
    faults = {"pipe": "is no regular file", "zero": "is no regular file", "itself": "does not exist"}
    for name, fault in (faults | {"nothing": "does not exist"}).items():
        with pytest.raises(FileNotFoundError, match=rf"{name} {fault}; expected lines there"):
            read_label_text(tmp_path / name, "lines")
    for name in ("images.npy", "manifest.json"):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises((OSError, ValueError), match=name if name == "images.npy" else "no prepared data"):
            PreparedStore(folder)
