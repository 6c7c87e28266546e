"""rim-prepare from the command line: every source composes; runs, errors and kills behave as documented."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method
from PIL import Image

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.prepare import main, report, run
from rim_lightning.data import preparation
from rim_lightning.data.stores.prepared import PreparedStore, partial_path
from rim_lightning.data.unused import UnusedFiles
from tests.helpers.commands import run_here
from tests.helpers.faces import face_points

SOURCES = sorted(file.stem for file in (CONF_DIR / "source").glob("*.yaml"))
DATA = Path(__file__).parents[3] / "shared" / "data"


def compose_prepare(*overrides: str):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("prepare", overrides=list(overrides))


def rim_prepare(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rim_lightning.commands.prepare", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment(), timeout=300)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1"}


def write_people(root: Path, count: int = 6, size: int = 64) -> Path:
    """A folder of people with 68 points each, in a table beside it."""
    rng = np.random.default_rng(0)
    rows = ["\t".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])]
    for index in range(count):
        name = f"person{index % 3}/{index:04d}.png"
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(root / "images" / name)
        points = face_points("ibug68", side=size - 4, shift=rng.uniform(0, 4, 2), seed=index)
        rows.append("\t".join([name, *(f"{value:.1f}" for value in points.ravel())]))
    (root / "landmarks68.tsv").write_text("\n".join(rows) + "\n")
    return root


def compose_with_landmarks(root: Path, header: list[str], rows: list[list[str]]):
    """The settings of the people in a folder of `write_people`, with other rows in the table of landmarks."""
    table = root / "landmarks68.tsv"
    table.write_text("".join("\t".join(row) + "\n" for row in [header, *rows]))
    places = (f"source.reader.root={root}/images", f"source.reader.landmarks={table}", f"output={root}/store")
    return compose_prepare("source=folders", *places, "workers=0")


def children(process: int) -> list[int]:
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in listing.stdout.split()]


def is_running(process: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return state not in ("", "Z")


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_composes_and_names_an_existing_reader(source):
    cfg = compose_prepare(f"source={source}", "paths.data_dir=somewhere")
    for part in [cfg.source] if "reader" in cfg.source else cfg.source.values():
        assert callable(get_method(part.reader._target_))
        assert part.name


def test_one_source_is_prepared_and_reported(tmp_path, capsys):
    write_people(tmp_path)
    broken = tmp_path / "images" / "person0" / "0000.png"
    broken.write_bytes(b"")
    cfg = compose_prepare(
        "source=folders",
        f"source.reader.root={tmp_path}/images",
        f"source.reader.landmarks={tmp_path}/landmarks68.tsv",
        f"paths.prepared_dir={tmp_path}/prepared",
        "hr_size=32",
        "workers=0",
    )
    (store,) = run(cfg)
    assert store.path == tmp_path / "prepared" / "folders_32"
    assert (len(store), store.identities, list(store.landmarks)) == (5, ["person0", "person1", "person2"], ["ibug68"])
    printed = capsys.readouterr().out
    assert "5 images" in printed
    assert "3 people, labels: ibug68, 0 found by detection, 1 left out" in printed
    assert "left out person0/0000.png: is empty" in printed


def test_many_failures_are_one_line_for_each_reason(tmp_path):
    write_people(tmp_path, count=30)
    for file in sorted((tmp_path / "images").rglob("*.png"))[:25]:
        file.write_bytes(b"")
    cfg = compose_prepare(
        "source=folders",
        f"source.reader.root={tmp_path}/images",
        f"source.reader.landmarks={tmp_path}/landmarks68.tsv",
        f"output={tmp_path}/store",
        "workers=0",
    )
    (store,) = run(cfg)
    lines = report(store, 1.0, UnusedFiles({}, [])).splitlines()[1:]
    assert lines == [
        "  left out person0/0000.png, person0/0003.png, person0/0006.png and 22 more: is empty: replace the file",
        f"  {tmp_path}/store/left_out.tsv names them all",
    ]
    assert len((tmp_path / "store" / "left_out.tsv").read_text().splitlines()) == 25


def test_a_set_of_which_most_is_left_out_is_no_success(tmp_path):
    """A few pictures that cannot be used are usual; they are named, and the command succeeds."""
    write_people(tmp_path, count=6)
    pictures = sorted((tmp_path / "images").rglob("*.png"))
    places = (f"source.reader.root={tmp_path}/images", f"source.reader.landmarks={tmp_path}/landmarks68.tsv")
    settings = ("source=folders", *places, "hr_size=32", "workers=0")
    for count, code in ((3, 0), (4, 3)):
        for file in pictures[:count]:
            file.write_bytes(b"")
        for _ in range(2):  # repeating the command changes nothing
            done = run_here("prepare", *settings, f"output={tmp_path}/{count}")
            assert done.returncode == code, done.stderr
            assert f"{count} left out" in done.stdout
    assert done.stderr.startswith(f"rim-prepare: 4 of 6 pictures were left out of {tmp_path}/4, which holds the others")
    assert len((tmp_path / "4" / "left_out.tsv").read_text().splitlines()) == 4


def test_every_file_of_a_source_is_used_or_named(tmp_path, capsys):
    """Ten pictures, of which two lie where the source reads, with the right ending."""
    root = tmp_path / "people"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    names = ["ana/1.png", "ben/1.PNG", "loose.png", "also loose.png", "ana/2019/2.png", "ana/a/b/3.png"]
    names += ["ben/scan", "ben/2.png_large", "zoe/2019/1.png", "ben/3.dat"]
    for name in [*names, ".ipynb_checkpoints/1-checkpoint.png", "__MACOSX/ana/._1.png"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name, "PNG")
    (root / "README.txt").write_text("x")
    settings = ["source=folders", f"source.reader.root={root}", f"output={tmp_path}/store"]
    (store,) = run(compose_prepare(*settings, "alignment=none", "hr_size=32", "workers=0"))
    printed = capsys.readouterr().out
    assert store.names == ["ana/1.png", "ben/1.PNG"]
    assert "2 people" in printed
    assert "9 left out" in printed
    deeper = "lies deeper than <person>/<picture>: move it up"
    loose = "lies outside the folders that are read: move it into the folder of its person"
    renamed = "is a PNG picture, but its name does not say so: let it end in .png"
    reasons = dict(line.split("\t") for line in (tmp_path / "store" / "left_out.tsv").read_text().splitlines())
    assert reasons == {
        **dict.fromkeys(("ana/2019/2.png", "ana/a/b/3.png", "zoe/2019/1.png"), deeper),
        **dict.fromkeys(("loose.png", "also loose.png"), loose),
        **dict.fromkeys(("ben/scan", "ben/2.png_large", "ben/3.dat"), renamed),
        "README.txt": "is no picture by its ending (.txt)",
    }
    assert all(f"left out {name}: {reason}" in printed for name, reason in reasons.items())
    assert "hidden and system files and folders are never read: .ipynb_checkpoints, __MACOSX" in printed
    (root / "README.txt").unlink()
    assert run(compose_prepare(*settings, "alignment=none", "hr_size=32", "workers=0"))[0].path == store.path
    assert "8 left out" in capsys.readouterr().out


def test_a_source_without_pictures_where_it_reads_says_where_they_lie(tmp_path):
    picture = tmp_path / "people" / "one.png"
    picture.parent.mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(picture)
    cfg = compose_prepare("source=folders", f"source.reader.root={tmp_path}/people", f"output={tmp_path}/store")
    with pytest.raises(FileNotFoundError, match=r"holds no images in sub-folders.*\(1 images lie elsewhere.*one.png\)"):
        run(cfg)


def test_landmarks_that_cannot_belong_to_their_picture_are_left_out_and_named(tmp_path, capsys):
    table = write_people(tmp_path, count=7) / "landmarks68.tsv"
    header, *rows = (row.split("\t") for row in table.read_text().splitlines())
    for row in rows[:4]:
        points = np.array(row[1:], dtype=float).reshape(68, 2)
        row[1:] = [f"{value:.1f}" for value in points[:, ::-1].ravel()]  # y before x
    rows[5][1:] = [str(2 * float(value)) for value in rows[5][1:]]
    cfg = compose_with_landmarks(tmp_path, header, rows)
    (store,) = run(cfg)
    assert set(store.names) == {rows[4][0], rows[6][0]}
    printed = capsys.readouterr().out
    assert "5 left out" in printed
    assert "4 of 7 pictures have the same fault; it may be one of the whole source" in printed
    for row in rows[:4]:
        assert f"left out {row[0]}: has landmarks with x and y exchanged" in printed
    assert f"left out {rows[5][0]}: has landmarks outside of the picture, as if made for a larger one" in printed


def test_landmarks_that_are_all_wrong_end_the_command_before_any_work(tmp_path):
    table = write_people(tmp_path, count=7) / "landmarks68.tsv"
    header, *rows = (row.split("\t") for row in table.read_text().splitlines())
    rows = [[row[0], *(str(float(value) / 64) for value in row[1:])] for row in rows]
    cfg = compose_with_landmarks(tmp_path, header, rows)
    with pytest.raises(
        ValueError, match=r"None of the 7 pictures of folders .* look normalized to 0 to 1 \(they reach"
    ):
        run(cfg)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["images", "landmarks68.tsv"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["output=file"], r"file exists and is not a prepared data set; choose another output"),
        (["output=images"], r"images exists and is not a prepared data set; choose another output"),
        (["output=file/store"], r"Nothing can be written to file/store \(.*file is a file\): choose another output"),
        (["paths.prepared_dir=file"], r"written to file/folders_128 \(.*\): choose another paths.prepared_dir"),
        (["output="], r"output is empty; name a folder"),
        (["paths.prepared_dir="], r"paths.prepared_dir is empty; name a folder"),
        (["output=."], r"'.' is no name of a file or folder: choose another output"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_before_any_work(tmp_path, monkeypatch, settings, sentence):
    write_people(tmp_path)
    (tmp_path / "file").write_text("content")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preparation, "_prepare_block", None)
    with pytest.raises(ValueError, match=sentence):
        run(compose_prepare("source=folders", "source.reader.root=images", "workers=0", *settings))
    assert [file.name for file in sorted(tmp_path.iterdir()) if file.name[0] != "."] == [
        *("file", "images", "landmarks68.tsv")
    ]
    assert (tmp_path / "file").read_text() == "content"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["hr_size=abc"], "hr_size is abc; it must be a whole number of pixels"),
        (["hr_size=32.5"], r"hr_size is 32.5; it must be a whole number of pixels"),
        (["hr_size=null"], "hr_size is None; it must be a whole number of pixels"),
        (["margin=abc"], "margin is abc; it must be a share of hr_size between 0 and 1"),
        (["workers=-1"], "workers is -1; it must be a number of processes"),
        (["workers=abc"], "workers is abc; it must be a number of processes"),
        (["source.name=a/b"], "source.name is 'a/b'; it must be a name of a folder"),
        (["source.reader.root="], r"source.reader.root is empty; add source.reader.root=<value>"),
        (["+source.reader.depth=2"], "source.reader: got an unexpected keyword argument 'depth'"),
    ],
)
def test_wrong_settings_are_refused_before_a_source_is_read(tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(compose_prepare("source=folders", "source.reader.root=nowhere", f"output={tmp_path}/store", *settings))


def test_a_split_that_does_not_exist_is_refused(tmp_path):
    write_people(tmp_path)
    root = tmp_path / "images" / "person0"
    with pytest.raises(ValueError, match=r"0000.png is in the split 'tset'; choose one of train, val, test"):
        run(compose_prepare("source=folder", f"source.reader.root={root}", "source.reader.split=tset", "output=store"))


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_names_that_are_no_utf8_are_prepared(tmp_path):
    write_people(tmp_path)
    picture = tmp_path / "images" / "person0" / "0000.png"
    picture.rename(os.fsdecode(os.fsencode(picture.parent) + b"/\xff.png"))
    (tmp_path / "images" / "person1").rename(os.fsdecode(os.fsencode(tmp_path / "images") + b"/\xfe"))
    (store,) = run(
        compose_prepare(
            "source=folders",
            f"source.reader.root={tmp_path}/images",
            f"output={tmp_path}/store",
            "alignment=none",
            "workers=0",
        )
    )
    assert len(store) == 6
    assert "person0/\udcff.png" in store.names


def test_a_mistake_in_the_last_source_is_found_before_the_first_is_prepared(tmp_path):
    write_people(tmp_path / "celeba")
    with pytest.raises(FileNotFoundError, match=r"celebamask/images is not a folder"):
        run(
            compose_prepare(
                "source=all",
                f"paths.data_dir={tmp_path}",
                "source.celeba.reader.splits=null",
                f"paths.prepared_dir={tmp_path}/prepared",
            )
        )
    assert not (tmp_path / "prepared").exists()


def test_one_output_for_several_sources_is_refused():
    with pytest.raises(ValueError, match=r"output names one store; with several sources set paths.prepared_dir"):
        run(compose_prepare("source=all", "output=somewhere"))


def test_help_shows_examples_and_leaves_nothing_behind(tmp_path):
    result = rim_prepare("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "rim-prepare source=lfw landmarks=detect" in result.stdout
    assert "celebamask_official" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["source=lfw", "paths.data_dir=nowhere"],
            "nowhere/lfw/lfw-deepfunneled is not a folder; expected one folder of images per person there.",
        ),
        (["source=folders"], "source.reader.root is not set; add source.reader.root=<folder> to the command."),
        (
            ["source=folder", "source.reader.root=.", "hr_size=12"],
            "hr_size is 12; it must be a whole number ≥ 16.",
        ),
    ],
)
def test_mistakes_end_with_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rim-prepare", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == f"rim-prepare: {sentence}"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path):
    write_people(tmp_path, count=400, size=256)
    files = sorted((tmp_path / "images").rglob("*.png"))
    for number, file in enumerate(files[::20]):  # 20 broken files of four kinds
        file.write_bytes([b"", b"no image", file.read_bytes()[:1000], bytes(5000)][number % 4])
    arguments = [
        "source=folders",
        f"source.reader.root={tmp_path}/images",
        f"source.reader.landmarks={tmp_path}/landmarks68.tsv",
        "hr_size=64",
    ]
    assert rim_prepare(*arguments, "output=whole", "workers=1", cwd=tmp_path).returncode == 0

    command = [sys.executable, "-m", "rim_lightning.commands.prepare", *arguments, "output=killed", "workers=2"]
    journal = partial_path(tmp_path / "killed") / "journal.jsonl"
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.is_file() and journal.read_bytes().count(b"\n") >= 50):
        time.sleep(0.002)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journal.read_bytes().count(b"\n")
    assert 50 <= done < 400, "the run was not killed half-way"

    while time.monotonic() < deadline and any(map(is_running, workers)):
        time.sleep(0.05)
    assert len(workers) >= 2
    assert not any(map(is_running, workers)), "workers outlived the run"

    resumed = rim_prepare(*arguments, "output=killed", "workers=2", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    skipped = PreparedStore(tmp_path / "killed").manifest["skipped"]
    assert [entry["name"] for entry in skipped] == [str(file.relative_to(tmp_path / "images")) for file in files[::20]]
    assert all(f"left out {entry['name']}: " in resumed.stdout for entry in skipped)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_the_shared_sets_are_prepared(tmp_path):
    stores = run(compose_prepare("source=all", f"paths.data_dir={DATA}", f"paths.prepared_dir={tmp_path}"))
    splits = json.loads((DATA / "splits.json").read_text())
    celeba, celebamask, helen, lfw = stores
    assert len(celeba) == 5858
    assert len(celeba.identities) == 288
    assert set(np.array(celeba.identities)[np.unique(celeba.identity[celeba.select("val")])]) == set(
        splits["celeba_identities"]["val"]
    )
    assert [len(celebamask.select(split)) for split in ("train", "val", "test")] == [773, 80, 102]
    assert [len(helen.select(split)) for split in ("train", "val", "test")] == [775, 87, 330]
    assert (len(lfw), len(lfw.select("test"))) == (3811, 3811)
    for store in stores:
        assert store.manifest["skipped"] == []
    assert celebamask.parsing is not None
    assert list(helen.landmarks) == ["ibug68"]
