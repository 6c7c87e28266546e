"""Which files of a folder are pictures, and what is said about the others."""

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from rim_lightning.data.images import ImageError
from rim_lightning.data.listing import folders_in, image_files, is_hidden, list_folder, why_not

HIDDEN = (
    *(".ipynb_checkpoints/a-checkpoint.jpg", ".git/a.jpg", "__MACOSX/ana/._a.jpg", "ana/@eaDir/a.jpg/thumb.jpg"),
    *("$RECYCLE.BIN/a.jpg", "lost+found/a.jpg", "ana/.thumbnails/a.jpg", "ana/._a.jpg", "ana/.DS_Store"),
    *("ana/Thumbs.db", "ana/desktop.ini", "System Volume Information/a.jpg", "ana/.a.jpg.123.part", "#recycle/a.jpg"),
)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def relative(paths, folder):
    return [str(path.relative_to(folder)) for path in paths]


def test_the_images_of_a_folder_in_order(tmp_path):
    touch(tmp_path, "b/2.PNG", "b/1.jpg", "a.jpeg", "notes.txt")
    assert relative(image_files(tmp_path), tmp_path) == ["a.jpeg", "b/1.jpg", "b/2.PNG"]


def test_what_systems_hide_is_no_picture_and_nobody(tmp_path):
    touch(tmp_path, "ana/1.jpg", *HIDDEN)
    files = list_folder(tmp_path)
    assert relative(files.pictures, tmp_path) == ["ana/1.jpg"]
    assert files.others == []
    assert relative(files.hidden, tmp_path) == [
        *("#recycle", "$RECYCLE.BIN", ".git", ".ipynb_checkpoints", "System Volume Information", "__MACOSX"),
        *("ana/.DS_Store", "ana/._a.jpg", "ana/.a.jpg.123.part", "ana/.thumbnails", "ana/@eaDir", "ana/Thumbs.db"),
        *("ana/desktop.ini", "lost+found"),
    ]
    assert relative(folders_in(tmp_path), tmp_path) == ["ana"]


def test_a_folder_that_is_asked_for_by_its_hidden_name_is_read(tmp_path):
    touch(tmp_path, ".cache/faces/1.jpg")
    assert len(image_files(tmp_path / ".cache")) == 1


@pytest.mark.parametrize("name", ["ana", "Ana.b", "_ana", "@ana", "lost", "thumbs.jpg", "$ana", "macosx"])
def test_names_of_people_are_not_hidden(name):
    assert not is_hidden(name)


def test_folders_that_are_not_there_or_hold_nothing(tmp_path):
    with pytest.raises(NotADirectoryError, match=r"There is no folder .*nowhere"):
        image_files(tmp_path / "nowhere")
    with pytest.raises(ImageError, match=r"holds no image: files must end in .jpg"):
        image_files(tmp_path)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "portrait", "PNG")
    with pytest.raises(
        ImageError, match=r"portrait is a PNG picture, but its name does not say so: let it end in .png"
    ):
        image_files(tmp_path)


def test_linked_folders_are_read_once(tmp_path):
    touch(tmp_path, "elsewhere/1.jpg", "faces/zoe/2.jpg")
    (tmp_path / "faces" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "faces" / "loop").symlink_to(tmp_path / "faces")
    (tmp_path / "faces" / "alias").symlink_to(tmp_path / "faces" / "zoe")  # before its target in the alphabet
    files = list_folder(tmp_path / "faces")
    assert relative(files.pictures, tmp_path / "faces") == ["linked/1.jpg", "zoe/2.jpg"]
    assert relative(files.others, tmp_path / "faces") == ["alias", "loop"]
    assert why_not(files.others[0]).reason == "is a link to a folder that is listed already"
    assert relative(folders_in(tmp_path / "faces"), tmp_path / "faces") == ["linked", "zoe"]


def test_links_that_lead_nowhere(tmp_path):
    """Whoever reads a missing picture names it; a pipe would block."""
    for name in ("gone.jpg", "gone.txt"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    files = list_folder(tmp_path)
    assert relative(files.pictures, tmp_path) == ["gone.jpg", "self.jpg"]
    assert [why_not(path) for path in files.others] == [
        ("is a link to a missing file", False),
        ("is no regular file", True),
        ("is no regular file", True),
    ]


def test_every_other_file_has_a_reason(tmp_path):
    image = Image.fromarray(np.zeros((9, 9, 3), np.uint8))
    for name, kind in (
        ("a", "JPEG"),
        ("b.jpg_large", "JPEG"),
        ("c.dat", "WEBP"),
        ("d.jpg ", "JPEG"),
        ("e.nef", "TIFF"),
    ):
        image.save(tmp_path / name, kind)
    touch(tmp_path, "f.txt", "README")
    files = list_folder(tmp_path)
    assert files.pictures == []
    assert {path.name: why_not(path) for path in files.others} == {
        "README": ("is no picture by its ending (none)", False),
        "a": ("is a JPEG picture, but its name does not say so: let it end in .jpg", True),
        "b.jpg_large": ("is a JPEG picture, but its name does not say so: let it end in .jpg", True),
        "c.dat": ("is a WEBP picture, but its name does not say so: let it end in .webp", True),
        "d.jpg ": ("is a JPEG picture, but its name does not say so: let it end in .jpg", True),
        "e.nef": ("is a raw picture of a camera (.nef), which is not read: convert it to JPEG", True),
        "f.txt": ("is no picture by its ending (.txt)", False),
    }


def test_a_picture_that_needs_a_library_is_named_with_it(tmp_path, monkeypatch):
    touch(tmp_path, "a.HEIC", "b.jpg", "c.avif")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    files = list_folder(tmp_path)
    assert relative(files.pictures, tmp_path) == ["b.jpg", "c.avif"]
    install = "is a HEIF picture, which needs a library: pip install 'rim-lightning[heic]'"
    assert why_not(files.others[0]) == (install, True)
    monkeypatch.setitem(sys.modules, "pillow_heif", ModuleType("pillow_heif"))
    monkeypatch.setattr(sys.modules["pillow_heif"], "__spec__", object(), raising=False)
    assert relative(list_folder(tmp_path).pictures, tmp_path) == ["a.HEIC", "b.jpg", "c.avif"]
