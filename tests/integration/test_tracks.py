"""`rim tracks` on made-up clips: who was drawn where, when, and what is left of damaged clips."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from tests.helpers.clips import drawn_frames, portrait, write_clip

SIDE = 44


def rim(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def rows_of(folder):
    with (folder / "tracks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def middle(row):
    return (float(row["x0"]) + float(row["x1"])) / 2, (float(row["y0"]) + float(row["y1"])) / 2


def walker(number):
    """From left to right."""
    return (2 + 3 * number, 8)


def visitor(number):
    """Seen on the right at the beginning, and again on the left a second and a half later."""
    return (112, 70) if number < 8 else (10, 70) if number >= 46 else None


@pytest.fixture(scope="module")
def faces():
    return [portrait(person, SIDE) for person in (1, 2)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, faces):
    file = tmp_path_factory.mktemp("clips") / "clip.mp4"
    steps = drawn_frames(38, [(faces[0], walker), (faces[1], lambda n: (114 - 3 * n, 68))])
    return write_clip(file, steps)


@pytest.fixture(scope="module")
def tracked(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "tracks"
    done = rim("tracks", clip, out, "--best", 3, "--json")
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_two_faces_that_pass_each_other_are_two_tracks_with_the_best_pictures(tracked, clip):
    out, plain = tracked
    rows = rows_of(out)
    assert (plain["tracks"], plain["pictures"], plain["frames"], plain["searched"]) == (2, 6, 38, 38)
    assert sorted(row["track"] for row in rows) == ["1"] * 3 + ["2"] * 3
    for row in rows:
        x, y = middle(row)
        frame = int(row["frame"])
        left, top = walker(frame) if y < 60 else (114 - 3 * frame, 68)
        assert (x, y) == pytest.approx((left + SIDE / 2, top + SIDE / 2), abs=5)
        assert row["time"] == f"0:00:0{frame * 40 // 1000}.{frame * 40 % 1000:03}"
    assert len({(row["track"], middle(row)[1] < 60) for row in rows}) == 2


def test_each_picture_is_that_part_of_its_frame(tracked, faces):
    out, _ = tracked
    frames = list(drawn_frames(38, [(faces[0], walker), (faces[1], lambda n: (114 - 3 * n, 68))]))
    for row in rows_of(out):
        picture = np.asarray(Image.open(out / row["picture"]))
        within = np.array(row["face"].split(","), float)
        left, top = (np.array([row["x0"], row["y0"]], float) - within[:2]).round().astype(int)
        drawn = frames[int(row["frame"])][top : top + picture.shape[0], left : left + picture.shape[1]]
        assert picture.shape == drawn.shape
        assert np.abs(picture.astype(int) - drawn).mean() < 6  # the loss of the codec


def test_the_folder_is_private_and_holds_no_path(tracked, clip):
    out, _ = tracked
    assert out.stat().st_mode & 0o777 == 0o700
    for file in (out / "tracks.csv", out / "tracks.json"):
        assert str(clip.parent) not in file.read_text()


def test_the_pictures_are_aligned_again_by_the_other_commands(tracked):
    out, _ = tracked
    for row in rows_of(out):
        found = json.loads(rim("faces", out / row["picture"], "--json").stdout)["faces"]
        assert len(found) == 1
        assert found[0]["fault"] is None
        assert found[0]["size"] == pytest.approx(float(row["size"]), rel=0.15)


def test_the_same_command_says_that_it_is_done_and_another_one_begins_again(tracked, clip, tmp_path):
    out = tmp_path / "tracks"
    first = rim("tracks", clip, out, "--every", 3)
    assert first.exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    again = rim("tracks", clip, out, "--every", 3)
    assert "holds the tracks of" in again.output
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = rim("tracks", clip, out, "--best", 3)
    assert "of other settings: it begins again" in other.output
    assert files_of(out) == files_of(tracked[0])


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_bytes(clip, tracked, tmp_path):
    """It kills itself after two chunks of frames."""
    program = (
        "import os, signal, sys\n"
        "import rim_lightning.inference.track_folder as folder\n"
        "count, whole = [0], os.fsync\n"
        "def killed(descriptor):\n"
        "    whole(descriptor)\n"
        "    if os.readlink(f'/proc/self/fd/{descriptor}').endswith('.found.jsonl'):\n"
        "        count[0] += 1\n"
        "        if count[0] == 2:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.fsync = killed\n"
        "from rim_lightning.commands.rim.main import main\n"
        "main(sys.argv[1:])\n"
    )
    out = tmp_path / "tracks"
    words = ["tracks", str(clip), str(out), "--best", "3"]
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True)
    assert ended.returncode == -signal.SIGKILL
    assert not (out / "tracks.csv").exists()
    with (out / ".found.jsonl").open("ab") as journal:
        journal.write(b"00000000 [half a li")
    done = rim(*words)
    assert done.exit_code == 0
    assert "the faces of the first 16 frames were found before" in done.output
    assert files_of(out) == files_of(tracked[0])
