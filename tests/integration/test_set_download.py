"""rim-prepare download=<set>: terms, the question, the files of a server on this computer, and the prepared set."""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method
from PIL import Image

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.set_download import remote_files, terms
from rim_lightning.data.downloads import http_file
from rim_lightning.data.downloads.fetch import missing_files
from rim_lightning.data.stores.prepared import PreparedStore
from tests.helpers.commands import run_here
from tests.helpers.servers import Served, file_server

SETS = sorted(file.stem for file in (CONF_DIR / "download").glob("*.yaml"))
PAIRS = b"1\t1\nA\t1\t2\nA\t1\tB\t1\n"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(http_file.time, "sleep", lambda seconds: None)
    with file_server() as running:
        running.files = {"/lfw.tgz": Served(lfw_archive(), cuts=[1000]), "/pairs.txt": Served(PAIRS)}
        yield running


def lfw_archive() -> bytes:
    """An archive in the layout of lfw-funneled.tgz: two people, three pictures of noise, and a list."""
    rng = np.random.default_rng(0)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"):
            picture = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(picture, "JPEG")
            info = tarfile.TarInfo(f"lfw_funneled/{name}")
            info.size = len(picture.getvalue())
            archive.addfile(info, io.BytesIO(picture.getvalue()))
        info = tarfile.TarInfo("lfw_funneled/pairs_01.txt")
        archive.addfile(info)
    return packed.getvalue()


def words(server, folder: Path, *more: str) -> list[str]:
    """The words behind `rim-prepare` that fetch this LFW in place of the real one."""
    digest = hashlib.sha256(server.files["/lfw.tgz"].content).hexdigest()
    return [
        *("download=lfw", f"paths.data_dir={folder}/data", f"paths.prepared_dir={folder}/prepared"),
        *("alignment=none", "hr_size=32", "workers=0"),
        *(f"download.files.images.url={server.address('/lfw.tgz')}", f"download.files.images.sha256={digest}"),
        *(f"download.files.pairs.url={server.address('/pairs.txt')}", "download.files.pairs.sha256=null"),
        *("download.files.images.md5=null", "download.files.pairs.md5=null", *more),
    ]


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_set_is_fetched_and_prepared_and_the_second_time_nothing_is_done(server, tmp_path):
    first = run_here("prepare", *words(server, tmp_path, "accept=true"), cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "No license is known to this project" in first.stdout
    store = PreparedStore(tmp_path / "prepared" / "lfw_32")
    assert [sample["name"] for sample in store.manifest["samples"]] == ["A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"]
    assert (tmp_path / "data" / "lfw" / "pairs.txt").read_bytes() == PAIRS
    assert [path for path, _, _ in server.requests] == ["/lfw.tgz", "/lfw.tgz", "/pairs.txt"]
    before = files_below(tmp_path)
    second = run_here("prepare", *words(server, tmp_path), cwd=tmp_path)  # nothing to accept any more
    assert second.returncode == 0, second.stderr
    assert "Labeled Faces in the Wild: all files are in" in second.stdout
    assert len(server.requests) == 3
    assert files_below(tmp_path) == before


def test_without_a_yes_nothing_is_asked_of_the_server(server, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    ended = run_here("prepare", *words(server, tmp_path), cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "rim-prepare: read the terms above; if you accept them, add accept=true to the command.\n"
    assert f"lfw-funneled.tgz: 245 MB, checked by its digest, to {tmp_path}/data/lfw/lfw_funneled" in ended.stdout
    assert "pairs.txt: size not published, no digest is published" in ended.stdout
    assert server.requests == []
    assert files_below(tmp_path) == {}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_a_person_at_a_terminal_is_asked(server, tmp_path, monkeypatch, answer, code):
    terminal = io.StringIO(answer)
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdin", terminal)
    ended = run_here("prepare", *words(server, tmp_path), cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert "Do you accept these terms, and fetch Labeled Faces in the Wild?" in ended.stdout
    assert ("the terms were not accepted" in ended.stderr) == (code == 2)
    assert bool(server.requests) == (code == 0)


def test_a_moved_file_says_how_to_give_another_address(server, tmp_path):
    del server.files["/pairs.txt"]
    ended = run_here("prepare", *words(server, tmp_path, "accept=true"), cwd=tmp_path)
    assert ended.returncode != 0
    advice = "may have moved: give another address by download.files.pairs.url=<address>, or save the file as"
    assert advice in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "prepared").exists()
    server.files["/there"] = Served(PAIRS)
    moved = f"download.files.pairs.url={server.address('/there')}"
    assert run_here("prepare", *words(server, tmp_path, "accept=true", moved), cwd=tmp_path).returncode == 0


def test_a_wrong_setting_is_refused_before_anything_is_fetched(server, tmp_path):
    for wrong in ("hr_size=8", "download.files.images.sha256=abc", "detector=yunett"):
        ended = run_here("prepare", *words(server, tmp_path, "accept=true", wrong), cwd=tmp_path)
        assert ended.returncode != 0
        assert wrong.partition("=")[0] in ended.stderr
    assert server.requests == []


def compose_prepare(*overrides: str):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("prepare", overrides=list(overrides))


@pytest.mark.parametrize("name", SETS)
def test_every_set_says_what_it_fetches_and_how_it_is_read(name, tmp_path):
    cfg = compose_prepare(f"download={name}", f"paths.data_dir={tmp_path}")
    files = remote_files(cfg)
    assert missing_files(files, tmp_path) == files
    for field in ("name", "place", "url"):
        assert len({getattr(file, field) for file in files}) == len(files)
    assert callable(get_method(cfg.source.reader._target_))
    assert Path(cfg.source.reader.root).is_relative_to(tmp_path)  # what is read is what was fetched
    assert any(Path(tmp_path, file.place).is_relative_to(cfg.source.reader.root) for file in files)
    shown = "\n".join(terms(cfg, files))
    assert cfg.download.page in shown
    assert all(file.url in shown for file in files)


def test_a_file_of_ones_own_needs_all_entries(tmp_path):
    cfg = compose_prepare("download=lfw", "+download.files.mine.url=https://example.org/a")
    with pytest.raises(ValueError, match=r"^download\.files\.mine must have the entries md5, megabytes, name, place"):
        remote_files(cfg)


def test_digests_of_scikit_learn_and_torchvision_are_those_of_the_settings():
    """The addresses and digests of LFW and CelebA, by two packages that fetch the same files."""
    from sklearn.datasets import _lfw
    from torchvision.datasets import CelebA
    from torchvision.datasets.lfw import _LFW

    lfw = {file.name: file for file in remote_files(compose_prepare("download=lfw"))}
    for name, theirs in (("lfw-funneled.tgz", _lfw.FUNNELED_ARCHIVE), ("pairs.txt", _lfw.TARGETS[2])):
        assert (lfw[name].name, lfw[name].url, lfw[name].sha256) == theirs
    assert lfw["lfw-funneled.tgz"].md5 == _LFW.file_dict["funneled"][2]
    assert lfw["pairs.txt"].md5 == _LFW.checksums["pairs.txt"]
    celeba = {file.name: file for file in remote_files(compose_prepare("download=celeba"))}
    published = {name: (identity, md5) for identity, md5, name in CelebA.file_list}
    assert len(celeba) == 4
    for name, file in celeba.items():
        assert (file.url.partition("?id=")[2], file.md5) == published[name]
