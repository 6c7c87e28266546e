"""`rim tracks` on made-up clips: who was drawn where, when, and what is left of damaged clips."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import weakref

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.rim.main import main
from rim_lightning.data.video import Clip
from rim_lightning.inference.tracks import CHUNK
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


def test_a_command_that_was_stopped_while_it_removed_the_earlier_tracks_leaves_none_that_count_as_whole(
    tracked, clip, tmp_path, monkeypatch
):
    out = tmp_path / "tracks"
    shutil.copytree(tracked[0], out)

    def stopped(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rim_lightning.inference.track_folder.shutil.rmtree", stopped)
        assert rim("tracks", clip, out, "--every", 5).exit_code == 130
    again = rim("tracks", clip, out, "--best", 3)
    assert "already" not in again.output
    assert files_of(out) == files_of(tracked[0])


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


KILLED = (
    "import os, signal, sys\n"
    "count, synchronize = [0], os.fsync\n"
    "def killed(descriptor):\n"
    "    synchronize(descriptor)\n"
    "    count[0] += 1\n"
    "    if count[0] == int(sys.argv[1]):\n"
    "        os.kill(os.getpid(), signal.SIGKILL)\n"
    "os.fsync = killed\n"
    "from rim_lightning.commands.rim.main import main\n"
    "main(sys.argv[2:])\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 4, 9, 20, 22])
def test_a_killed_command_ends_with_the_same_bytes(clip, tracked, tmp_path, moment):
    """It kills itself when it writes the record, the faces of a chunk, a picture, the table, the record at the end."""
    out = tmp_path / "tracks"
    words = ["tracks", str(clip), str(out), "--best", "3"]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(moment), *words], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (moment < 22) == (not (out / "tracks.csv").exists())
    if (out / ".found.jsonl").exists():  # a line that did not reach the disk as a whole
        with (out / ".found.jsonl").open("ab") as journal:
            journal.write(b"00000000 [half a li")
    done = rim(*words)
    assert done.exit_code == 0, done.output
    assert ("the faces of the first 16 frames were found before" in done.output) == (moment == 4)
    assert files_of(out) == files_of(tracked[0])


def test_a_face_that_comes_back_after_a_second_is_another_track_and_time_codes_are_those_of_the_frames(tmp_path, faces):
    """Seen until .28 s and again from 1.84 s on, in another place."""
    clip = write_clip(tmp_path / "visitor.mp4", drawn_frames(54, [(faces[1], visitor)]))
    assert rim("tracks", clip, tmp_path / "out", "--every", 2, "--best", 100).exit_code == 0
    rows = rows_of(tmp_path / "out")
    assert [int(row["frame"]) for row in rows] == [0, 2, 4, 6, 46, 48, 50, 52]
    assert [row["track"] for row in rows] == ["1"] * 4 + ["2"] * 4
    assert [row["time"] for row in rows[3:5]] == ["0:00:00.240", "0:00:01.840"]
    assert all(abs(middle(row)[0] - (134 if row["track"] == "1" else 32)) < 5 for row in rows)


def test_a_face_that_is_hidden_for_half_a_second_stays_one_track(tmp_path, faces):
    """It walks on behind something, while another one sits there."""
    hidden = drawn_frames(
        38, [(faces[0], lambda n: None if 12 <= n < 24 else walker(n)), (faces[1], lambda n: (60, 72))]
    )
    clip = write_clip(tmp_path / "hidden.mp4", hidden)
    assert rim("tracks", clip, tmp_path / "out", "--best", 100).exit_code == 0
    rows = rows_of(tmp_path / "out")
    assert len({(row["track"], middle(row)[1] < 60) for row in rows}) == len({row["track"] for row in rows}) == 2
    assert len(rows) == 26 + 38


def test_the_largest_and_sharpest_pictures_are_kept(tmp_path):
    """The face comes nearer; frame 20 is blurred."""
    sides = [30 + number for number in range(24)]

    def frames():
        for number, side in enumerate(sides):
            (frame,) = drawn_frames(1, [(portrait(1, side), lambda n: (40, 30))])
            yield cv2.GaussianBlur(frame, (0, 0), 4) if number == 20 else frame

    clip = write_clip(tmp_path / "near.mp4", frames())
    assert rim("tracks", clip, tmp_path / "out", "--best", 6).exit_code == 0
    kept = [int(row["frame"]) for row in rows_of(tmp_path / "out")]
    assert len(kept) == 6
    assert 20 not in kept
    assert min(kept) >= 14


def test_the_number_of_frames_in_memory_does_not_grow_with_the_clip(tmp_path, faces, monkeypatch):
    references, most = [], []
    convert = Clip._image

    def counted(clip, frame):
        image = convert(clip, frame)
        references.append(weakref.ref(image))
        most.append(sum(reference() is not None for reference in references))
        return image

    monkeypatch.setattr(Clip, "_image", counted)
    for frames in (20, 80):
        most.clear()
        clip = write_clip(tmp_path / f"{frames}.mp4", drawn_frames(frames, [(faces[0], lambda n: (30, 40))]))
        assert rim("tracks", clip, tmp_path / f"out_{frames}").exit_code == 0
        assert len(most) == frames
        assert max(most) <= CHUNK + 1
    assert len(references) == 100


def test_a_clip_without_faces_answers_no(tmp_path):
    clip = write_clip(tmp_path / "empty.mp4", drawn_frames(6, []))
    done = rim("tracks", clip, tmp_path / "out")
    assert done.exit_code == 1
    assert f"no face was found in 6 of 6 frames of {clip}" in done.stderr
    assert rows_of(tmp_path / "out") == []


def test_a_damaged_clip_keeps_what_was_read_and_says_so(tmp_path, faces):
    whole = write_clip(tmp_path / "whole.mp4", drawn_frames(30, [(faces[0], lambda n: (20, 20))]), movflags="faststart")
    clip = tmp_path / "cut.mp4"
    clip.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    done = rim("tracks", clip, tmp_path / "out")
    assert done.exit_code == 3
    assert f"{clip} is " in done.stderr
    assert rows_of(tmp_path / "out")
    again = rim("tracks", clip, tmp_path / "out")
    assert again.exit_code == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("picture.mp4", None, "is a picture (PNG), not a clip"),
        ("text.mp4", b"no clip " * 99, "is no clip that can be read"),
        ("empty.mp4", b"", "is empty"),
        ("none.mp4", ..., "There is no clip"),
    ],
)
def test_what_is_no_clip_is_one_sentence_and_leaves_nothing(tmp_path, name, content, said):
    if content is None:
        Image.new("RGB", (40, 30)).save(tmp_path / name, "PNG")
    elif content is not ...:
        (tmp_path / name).write_bytes(content)
    done = rim("tracks", tmp_path / name, tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_files_and_a_damaged_record_are_refused(tmp_path, clip):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = rim("tracks", clip, tmp_path / "mine")
    assert (done.exit_code, "holds other files than tracks" in done.stderr) == (2, True)
    (tmp_path / "mine" / "tracks.json").write_text('{"settings": {}}')
    done = rim("tracks", clip, tmp_path / "mine")
    assert (done.exit_code, "tracks.json has no settings.clip" in done.stderr) == (2, True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    (tmp_path / "file").touch()
    done = rim("tracks", clip, tmp_path / "file")
    assert (done.exit_code, "is a file: give a folder" in done.stderr) == (2, True)


def test_the_extra_is_asked_for_before_any_work(tmp_path, clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for words in (["tracks", clip, tmp_path / "out"], ["identify", "-i", tmp_path / "index", clip]):
        done = rim(*words)
        assert done.exit_code == 2
        assert "Reading a clip needs av, which is not installed: pip install 'rim-lightning[video]'" in done.stderr
    assert not (tmp_path / "out").exists()
